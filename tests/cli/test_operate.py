"""``hubkit explain``, ``plan``, ``drain`` and ``top``: live nodes are asked, in this process and in others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.cli.shell import SHOP, complaint, hubkit, running
from tests.cli.test_ask import Sleeper, cli, node, url_of

import hubkit as library
from hubkit.cli import operate as room
from hubkit.cli.ask import question


async def test_why_a_child_is_where_it_is() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("explain", url, "a")
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == [
            "hub shop, child a: on first",
            "  rule    home: it is where it belongs",
            "  ready   first",
        ]
        for options in ((), ("--hub", "shop")):
            [found] = json.loads((await cli("explain", url, "a", "--json", *options)).stdout)
            assert (found["hub"], found["child"], found["where"], found["rule"]) == ("shop", "a", ["first"], "home")
            assert found["summary"] == str(hub.explain("a"))


async def test_what_there_is_no_reason_for() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("explain", url, "z")
        assert (result.returncode, complaint(result)) == (1, "hubkit: no hub on this node has child 'z'")
        result = await cli("explain", url, "z", "--hub", "shop")
        assert complaint(result) == "hubkit: hub 'shop' has no child 'z'"
        result = await cli("explain", url, "a", "--hub", "market")
        assert "it has: shop" in complaint(result)


async def test_what_would_move() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("plan", url, "--remove", "first")
        assert result.returncode == 0, result.stderr
        header, *rows, _, total = result.stdout.splitlines()
        assert header.split() == ["hub", "child", "source", "target"]
        assert [row.split() for row in rows] == [["shop", "a", "first", "-"], ["shop", "b", "first", "-"]]
        assert total == "2 children would move"
        assert (await cli("plan", url)).stdout == "0 children would move\n"
        moves = json.loads((await cli("plan", url, "--add", "x", "--add", "y", "--json")).stdout)
        wanted = [(move.child_id, move.source, move.target) for move in hub.plan(add=["x", "y"])]
        assert [(move["child"], move["source"], move["target"]) for move in moves] == wanted
        result = await cli("plan", url, "--remove", "z")
        assert "no ready node of the hub" in complaint(result)


async def test_top_shows_the_busiest_first() -> None:
    async with node() as hub:
        url = url_of(hub)
        result = await cli("top", url, "--count", "2", "--interval", "0.05")
        assert result.returncode == 0, result.stderr
        one, _, two = result.stdout.partition("\n\nnode first")
        assert one.startswith("node first  links 0\nhub shop: settled, 1 nodes, 2 of 2 children running, 2 here\n")
        assert [line.split()[:3] for line in two.splitlines()[3:]] == [
            ["hub", "child", "state"],
            ["shop", "a", "running"],
            ["shop", "b", "running"],
        ]
        result = await cli("top", url, "--count", "1", "--json")
        frame = json.loads(result.stdout)
        assert (frame["node"], [child["child"] for child in frame["children"]]) == ("first", ["a", "b"])
    for option, value in (("--interval", "0"), ("--interval", "x"), ("--count", "0")):
        result = hubkit("top", "ws://127.0.0.1:1", option, value)
        assert (result.returncode, option in complaint(result)) == (2, True)


def test_rates_are_of_the_time_between_two_looks() -> None:
    child = {"id": "a", "state": "running", "handled": 30, "mailbox": 2, "restarts": 1, "oldest": 0.55, "actor": "m:A"}
    busy = room._busy("shop", child, {("shop", "a"): 10}, 2.0)
    assert (busy["rate"], busy["handled"], busy["mailbox"], busy["oldest"]) == (10.0, 30, 2, 0.6)
    assert room._busy("shop", {"id": "b", "state": "parked"}, {}, 2.0)["rate"] == 0.0
    assert room._busy("shop", child, {("shop", "a"): 50}, 2.0)["rate"] == 0.0  # it was started anew
    status: dict[str, Any] = {"node": "n\x1b", "links": ["x"], "hubs": []}
    lines = room._frame(status, [busy] * 50, 12)
    assert lines[0] == "node n\\x1b  links 1"
    assert len(lines) <= 12


async def test_a_node_is_told_to_leave(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    free = "ws://127.0.0.1:0"
    async with running("run", "shop:main", "--listen", free, "--name", "one", cwd=tmp_path) as one:
        await one.says("ready")
        first = await one.url()
        async with running("run", "shop:main", "--listen", free, "--name", "two", "--join", first, cwd=tmp_path) as two:
            await two.says("ready")
            second = await two.url()
            result = await cli("drain", second)
            assert result.returncode == 0, result.stderr
            assert result.stdout.startswith("the node has left shop after ")
            with trio.fail_after(20):
                assert await two.process.wait() == 0
        rows = await question(first, ["children", "shop"])
        assert [row["nodes"] for row in rows] == [["one"]] * 5
        result = await cli("drain", first, "--no-wait", "--json")
        assert json.loads(result.stdout)["hubs"] == ["shop"]
        with trio.fail_after(20):
            assert await one.process.wait() == 0
    result = await cli("drain", first)
    assert complaint(result) == f"hubkit: nobody listens at {first}"


async def test_a_hub_that_leaves_lets_its_program_go_on() -> None:
    stopping: list[library.events.HubStopping] = []
    async with node() as hub:
        hub.on(library.events.HubStopping, stopping.append)
        url = url_of(hub)
        result = await cli("drain", url, "--hub", "market")
        assert "it has: shop" in complaint(result)
        result = await cli("drain", url, "--hub", "shop", "--json")
        assert json.loads(result.stdout)["left"] is True
        assert [event.reason for event in stopping] == ["drain"]
        with pytest.raises(library.errors.HubClosed):
            await hub.start_child(library.child("late", Sleeper))
        assert (await question(url, ["status"]))["hubs"] == []


def test_the_package_can_be_run() -> None:
    from tests.house import SRC

    command = [sys.executable, "-m", "hubkit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env={"PYTHONPATH": str(SRC)})
    assert done.stdout.startswith("hubkit ")
