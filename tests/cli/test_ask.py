"""``hubkit status`` and ``hubkit children``: a live node is asked, with and without the right secret."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.cli.shell import SHOP, complaint, hubkit, running

import hubkit as library
from hubkit.cli import ask as room
from hubkit.cli.ask import question
from hubkit.cli.failure import Failure, WrongUsage


class Sleeper(library.Actor):
    """Does nothing."""


class Boss(library.Supervisor):
    """Looks after one that does nothing."""

    def __init__(self) -> None:
        super().__init__([library.child("leaf", Sleeper)])


class Broken(library.Actor):
    """Does not even start."""

    async def on_start(self) -> None:
        raise ValueError("no\x1b[31m disk")


@asynccontextmanager
async def node(secret: str | None = None) -> AsyncIterator[library.Hub]:
    async with library.Hub("shop", listen="ws://127.0.0.1:0", name="first", secret=secret) as hub:
        await hub.start_children([library.child("b", Sleeper), library.child("a", Sleeper)], tag="t")
        yield hub


def url_of(hub: library.Hub) -> str:
    assert hub.node.url is not None
    return hub.node.url


async def cli(*arguments: str, **options: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: hubkit(*arguments, **options))


# -- the answers


async def test_status_is_a_table_for_people_and_json_for_programs() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("status", url)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0] == "node      first"
        assert "hub shop: settled, 2 of 2 children running" in lines
        assert re.fullmatch(rf"  first  ready +2  {re.escape(url)}", lines[-1])

        status = json.loads((await cli("status", url, "--json")).stdout)
        assert status["node"] == "first"
        assert status["url"] == url
        assert status["hubs"] == [
            {
                "hub": "shop",
                "settled": True,
                "partitioned": False,
                "children": 2,
                "running": 2,
                "here": 2,
                "nodes": [{"node": "first", "state": "ready", "address": url, "children": 2}],
            }
        ]


async def test_children_is_a_table_for_people_and_json_for_programs() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("children", url)
        assert result.returncode == 0, result.stderr
        header, *rows = [line.split() for line in result.stdout.splitlines()]
        assert header == ["hub", "child", "state", "node", "term", "actor", "tag"]
        assert [row[:4] for row in rows] == [["shop", "a", "running", "first"], ["shop", "b", "running", "first"]]

        for options in ((), ("--hub", "shop")):
            found = json.loads((await cli("children", url, "--json", *options)).stdout)
            assert [(row["hub"], row["child"], row["nodes"], row["tag"]) for row in found] == [
                ("shop", "a", ["first"], "t"),
                ("shop", "b", ["first"], "t"),
            ]
            assert {"actor", "state", "pids", "term", "error"} <= found[0].keys()


async def test_a_tree_is_a_table_for_people_and_json_for_programs() -> None:
    async with node() as hub:
        await hub.start_child(library.child("boss", Boss))
        url = url_of(hub)
        result = await cli("tree", url)
        assert result.returncode == 0, result.stderr
        header, *rows = result.stdout.splitlines()
        assert header.split() == ["child", "state", "restarts", "handled", "mailbox", "oldest", "pid", "actor"]
        assert [row.split("running")[0].rstrip() for row in rows] == ["shop", "  a", "  b", "  boss", "    leaf"]
        for options in ((), ("--hub", "shop")):
            [found] = json.loads((await cli("tree", url, "--json", *options)).stdout)
            assert [child["id"] for child in found["children"]] == ["a", "b", "boss"]
            assert found["children"][0]["pid"] == str(hub.pid("a"))
            assert [child["state"] for child in found["children"][2]["children"]] == ["running"]
        result = await cli("tree", url, "--hub", "market")
        assert result.returncode == 1
        assert "it has: shop" in result.stderr


async def test_a_parked_child_is_shown_with_its_error_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    async with library.Hub("shop", listen="ws://127.0.0.1:0", children=[library.child("x", Broken)]) as hub:
        with trio.fail_after(10):
            async with hub.events(library.events.ChildFailed) as failures:
                if not hub.is_settled:
                    await anext(aiter(failures))
            await hub.settled()
        rows = await question(url_of(hub), ["children", "shop"])
        assert rows[0]["state"] == "parked"
        text = "\n".join(room._children_lines([{"hub": "shop", **row} for row in rows]))
        assert "no\\x1b[31m disk" in text
        assert "\x1b" not in text


def test_a_node_without_hubs_and_a_partitioned_one_say_so() -> None:
    assert room._status_lines({"node": "a", "url": None, "links": [], "hubs": []}) == [
        "node      a",
        "url       -",
        "links     none",
        "",
        "no hubs",
    ]
    hub = {"hub": "h", "partitioned": True, "settled": False, "children": 2, "running": 1, "nodes": []}
    assert "hub h: partitioned, 1 of 2 children running" in room._status_lines({"node": "a", "hubs": [hub]})


# -- what can go wrong


async def test_an_unknown_hub_is_told_with_the_known_ones() -> None:
    async with node() as hub:
        result = await cli("children", url_of(hub), "--hub", "market")
        assert result.returncode == 1
        assert complaint(result) == "hubkit: there is no hub 'market' on this node; it has: shop"


async def test_the_right_secret_opens_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("opensesame\n")
    async with node(secret="opensesame") as hub:
        url = url_of(hub)
        for options in ({"env": {"HUBKIT_SECRET": "opensesame"}}, {}):
            arguments = () if options else ("--secret-file", str(tmp_path / "right"))
            assert (await cli("status", url, *arguments, **options)).returncode == 0
        for options in ({"env": {"HUBKIT_SECRET": "opensesami"}}, {}):
            result = await cli("status", url, **options)
            assert result.returncode == 1
            said = complaint(result)
            assert "has another secret" in said
            assert "opensesam" not in said
        assert hub.nodes() == ()  # whoever asks is no member


def test_an_unreachable_node_is_told_in_one_line() -> None:
    result = hubkit("status", "ws://127.0.0.1:9")
    assert result.returncode == 1
    assert complaint(result) == "hubkit: nobody listens at ws://127.0.0.1:9"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:4040", "ws://127.0.0.1", "ws://:1"])
def test_a_bad_url_is_told_in_one_line(url: str) -> None:
    result = hubkit("children", url)
    assert result.returncode == 2
    assert "ws://host:port" in complaint(result)


async def test_a_port_that_is_no_node_s_is_told() -> None:
    async def rude(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, rude, listeners)
        with pytest.raises(Failure, match="404"):
            await question(f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}", ["status"])
        nursery.cancel_scope.cancel()


async def test_a_node_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(room, "ask", forever)
    monkeypatch.setattr(room, "PATIENCE", 0.01)
    with pytest.raises(Failure, match=r"did not answer within 0\.01 s"):
        await question("ws://127.0.0.1:1", ["status"])


async def test_an_answer_that_makes_no_sense_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nonsense(*_: object, **__: object) -> list[Any]:
        return ["perhaps"]

    monkeypatch.setattr(room, "ask", nonsense)
    with pytest.raises(Failure, match="another version"):
        await question("ws://127.0.0.1:1", ["status"])


async def test_a_wrong_url_is_the_asker_s_mistake() -> None:
    with pytest.raises(WrongUsage):
        await question("nonsense", ["status"])


async def test_two_nodes_show_one_picture(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    free = "ws://127.0.0.1:0"
    async with running("run", "shop:main", "--listen", free, "--name", "one", cwd=tmp_path) as one:
        await one.says("ready")
        first = await one.url()
        async with running("run", "shop:main", "--listen", free, "--name", "two", "--join", first, cwd=tmp_path) as two:
            await two.says("ready")
            second = await two.url()
            with trio.fail_after(20):
                while True:  # each round is a question to both: the map may still be on its way
                    views = [await question(url, ["children", "shop"]) for url in (first, second)]
                    if views[0] == views[1] and {row["nodes"][0] for row in views[0] if row["nodes"]} == {"one", "two"}:
                        break
            status = await question(first, ["status"])
            assert status["links"] == ["two"]
            assert [row["node"] for row in status["hubs"][0]["nodes"]] == ["one", "two"]


async def test_links_are_a_table_for_people_and_json_for_programs() -> None:
    async with node() as hub:
        url, nobody = url_of(hub), "ws://127.0.0.1:9"
        result = await cli("links", url)
        assert (result.returncode, result.stdout) == (0, "no links\n"), result.stderr
        async with library.Hub("shop", listen="ws://127.0.0.1:0", name="second", join=[url, nobody]) as other:
            await other.settled()
            with trio.fail_after(10):
                while not (figures := other.statistics().links["first"]).round_trip:
                    await trio.sleep(0.01)
            assert figures.state == "up"
            assert figures.messages_per_frame > 0
            up, down = json.loads((await cli("links", url_of(other), "--json")).stdout)
            assert (up["peer"], up["state"], up["reconnects"], up["last_error"]) == ("first", "up", 0, None)
            assert 0 < up["rtt_min"] <= up["rtt_median"] <= up["rtt_p99"] < 5
            assert up["bytes_out"] > 0
            assert (down["peer"], down["state"], down["remote"]) == (None, "down", nobody)
            result = await cli("links", url_of(other))
            assert result.returncode == 0, result.stderr
            header, first, second, empty, why = result.stdout.splitlines()
            assert header.split()[:3] == ["peer", "state", "age"]
            assert re.match(r"first +up +\d+ s +\d+\.\d\d ms +\d+\.\d\d ms ", first)
            assert second.split()[:2] == ["-", "down"]
            assert (empty, why.split(": ")[0]) == ("", nobody)


def test_sizes_are_shown_in_units_that_fit() -> None:
    shown = [room._bytes(n) for n in (0, 1023, 1024, 5 << 20, 3 << 40)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3072.0 GiB"]


def test_a_detour_says_over_whom() -> None:
    row = {"peer": "b", "state": "detour", "over": "c", "remote": "ws://b:1", "last_error": "no answer"}
    lines = room._links_lines([row])
    assert lines[1].split()[:3] == ["b", "over", "c"]
    assert lines[-1] == "b: no answer"


def test_how_far_large_values_are_is_shown() -> None:
    row = {
        "peer": "b",
        "state": "up",
        "sent_bytes": 3 << 20,
        "sending_bytes": 1 << 30,
        "received_bytes": 0,
        "receiving_bytes": 0,
    }
    (header, line) = room._links_lines([row])
    assert "large" in header
    assert "out 3.0 MiB of 1.0 GiB" in line
    assert "in 512 B of 2.0 MiB" in room._links_lines([{**row, "received_bytes": 512, "receiving_bytes": 2 << 20}])[1]
    assert "of" not in room._links_lines([{"peer": "b", "state": "up"}])[1]
