"""``hubkit run``: a program's life in a real process, from its import to its drain."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest
import trio
from tests.cli.shell import SHOP, ask, complaint, hubkit, running

FREE = "ws://127.0.0.1:0"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "wrong.py").write_text("import shoop_that_is_not_there\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    return tmp_path


# -- what is typed


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("shop", "'shop' is not module:function"),
        (":main", "is not module:function"),
        ("shop:", "is not module:function"),
        ("shoop:main", "there is no module 'shoop' in "),
        ("shop.web:main", "there is no module 'shop.web'"),
        ("wrong:main", "it needs 'shoop_that_is_not_there', which is not installed"),
        ("shop:maain", "has no function 'maain'; did you mean main?"),
        ("shop:zzz", "async def main(hub: hubkit.Hub) -> None"),
        ("shop:Nested.maain", "has no function 'Nested.maain'"),
        ("shop:plain", "is no async function"),
        ("shop:Counter", "is no async function"),
        ("shop:nothing", "cannot be called with one argument"),
    ],
)
def test_a_wrong_target_is_told_in_one_line(target: str, expected: str, shop: Path) -> None:
    result = hubkit("run", target, cwd=shop)
    assert result.returncode == 2
    assert expected in complaint(result)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--listen", "http://127.0.0.1:1"], "scheme"),
        (["--listen", "127.0.0.1:1"], "ws://"),
        (["--listen", "ws://0.0.0.0:0"], "advertise"),
        (["--listen", "ws://192.0.2.1:4040"], "secret"),
        (["--listen", FREE, "--join", "ws://127.0.0.1:0"], "port"),
        (["--join", "ws://127.0.0.1:1"], "join needs listen"),
        (["--listen", FREE, "--join", "dns://shop.internal"], "it has no port"),
        (["--listen", FREE, "--join", "srv://shop.internal:4040"], "the records have the ports"),
        (["--listen", FREE, "--join", "multicast://shop:4040"], "IPv4"),
        (["--name", "a#b"], "name"),
        (["--secret-file", "nowhere"], "nowhere"),
        (["--weight", "0"], "weight"),
        (["--weight", "much"], "invalid float value: 'much'"),
        (["--label", "zone"], "NAME=TEXT"),
        (["--label", "zone=eu", "--label", "zone=us"], "once"),
        (["--per-address", "1"], "per_address must be an int, at least 2"),
        (["--per-address", "x"], "invalid int value: 'x'"),
    ],
)
def test_options_that_cannot_work_are_told_in_one_line(options: list[str], expected: str, shop: Path) -> None:
    result = hubkit("run", "shop:main", *options, cwd=shop)
    assert result.returncode == 2
    assert expected in complaint(result)


def test_a_program_that_cannot_be_compiled_is_shown_with_the_place(shop: Path) -> None:
    result = hubkit("run", "syntax:main", cwd=shop)
    assert result.returncode == 2
    assert "def f(:" in result.stderr
    assert "hubkit: module 'syntax' cannot be imported: SyntaxError" in result.stderr


# -- how it ends


def test_a_program_that_returns_ends_well(shop: Path) -> None:
    result = hubkit("run", "shop:once", "--listen", FREE, cwd=shop)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("once on shop ws://127.0.0.1:")
    assert "has left" in result.stderr


def test_the_hub_can_be_named_and_the_log_be_silent(shop: Path) -> None:
    result = hubkit("run", "shop:once", "--hub", "market", "--log-level", "error", cwd=shop)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "once on market None\n"


def test_a_node_says_its_weight_and_labels(shop: Path) -> None:
    options = ("--weight", "2.5", "--label", "zone=eu", "--label", "disk=ssd", "--per-address", "1000")
    result = hubkit("run", "shop:about", *options, cwd=shop)
    assert (result.returncode, result.stdout) == (0, "2.5 {'disk': 'ssd', 'zone': 'eu'} 1000\n"), result.stderr


def test_a_function_of_a_class_will_do(shop: Path) -> None:
    assert hubkit("run", "shop:Nested.main", cwd=shop).returncode == 0


def test_a_program_that_raises_ends_with_its_traceback(shop: Path) -> None:
    result = hubkit("run", "shop:broken", cwd=shop)
    assert result.returncode == 1
    assert "the program failed: ValueError: the shop is closed" in result.stderr
    assert 'raise ValueError("the shop is closed")' in result.stderr


def test_a_program_may_choose_its_exit_code(shop: Path) -> None:
    result = hubkit("run", "shop:leaves", cwd=shop)
    assert result.returncode == 7
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_well(number: signal.Signals, shop: Path) -> None:
    async with running("run", "shop:clean", cwd=shop) as run:
        await run.says("ready")
        run.signal(number)
        await run.says("cleaned")
        assert await run.ends() == 0


async def test_the_first_signal_hands_the_children_over(shop: Path) -> None:
    async with running("run", "shop:main", "--listen", FREE, "--name", "one", cwd=shop) as one:
        await one.says("ready")
        url = await one.url()
        async with running("run", "shop:main", "--listen", FREE, "--name", "two", "--join", url, cwd=shop) as two:
            await two.says("ready")
            other = await two.url()
            one.signal(signal.SIGTERM)
            assert await one.ends() == 0
            rows = await ask("children", other, cwd=shop)
            assert {row["child"]: row["nodes"] for row in rows} == {f"c{n}": ["two"] for n in range(5)}
            two.signal(signal.SIGTERM)
            assert await two.ends() == 0


async def test_the_second_signal_ends_it_at_once_within_the_grace(shop: Path) -> None:
    async with running("run", "shop:stubborn", cwd=shop) as run:
        await run.says("ready")
        run.signal(signal.SIGTERM)
        await run.says("on_stop")  # its child may take 100 s to stop, and would
        run.signal(signal.SIGTERM)
        assert await run.ends(within=12) == 128 + signal.SIGTERM
        assert "Traceback" not in run.err


async def test_the_third_signal_ends_it_on_the_spot(shop: Path) -> None:
    async with running("run", "shop:deaf", cwd=shop) as run:
        await run.says("ready")
        run.signal(signal.SIGINT)
        await run.says("once more", on="err")
        run.signal(signal.SIGINT)
        await run.says("stopping at once", on="err")
        run.signal(signal.SIGINT)
        assert await run.ends(within=5) == 128 + signal.SIGINT


async def test_a_signal_before_the_hub_is_open_ends_it_well(shop: Path) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        dialled = trio.Event()

        async def mute(stream: trio.SocketStream) -> None:
            dialled.set()
            await trio.sleep_forever()

        nursery.start_soon(trio.serve_listeners, mute, listeners)
        join = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with running("run", "shop:main", "--listen", FREE, "--join", join, cwd=shop) as run:
            with trio.fail_after(20):
                await dialled.wait()
            run.signal(signal.SIGTERM)
            assert await run.ends() == 0
            assert "Traceback" not in run.err
        nursery.cancel_scope.cancel()


# -- what the world refuses


async def test_a_port_in_use_is_told_in_one_line(shop: Path) -> None:
    async with running("run", "shop:main", "--listen", FREE, cwd=shop) as run:
        url = await run.url()
        result = await trio.to_thread.run_sync(lambda: hubkit("run", "shop:main", "--listen", url, cwd=shop))
        assert result.returncode == 1
        assert complaint(result) == f"hubkit: cannot listen at {url}: Address already in use"


async def test_a_node_with_another_secret_is_refused_in_one_line(shop: Path) -> None:
    (shop / "secret").write_text("one\n")
    async with running("run", "shop:main", "--listen", FREE, "--secret-file", "secret", cwd=shop) as run:
        url = await run.url()
        command = ("run", "shop:main", "--listen", FREE, "--join", url)
        result = await trio.to_thread.run_sync(lambda: hubkit(*command, cwd=shop, env={"HUBKIT_SECRET": "two"}))
        assert result.returncode == 1
        said = complaint(result)
        assert "cannot join" in said
        assert "HUBKIT_SECRET" in said
        assert "two\n" not in result.stderr


async def test_secrets_of_a_file_and_of_the_environment_meet(shop: Path) -> None:
    (shop / "secrets").write_text("new\nold\n")
    async with running("run", "shop:main", "--listen", FREE, "--secret-file", "secrets", cwd=shop) as run:
        url = await run.url()
        old = {"HUBKIT_SECRET": "old"}
        command = ("run", "shop:main", "--listen", FREE, "--name", "late", "--join", url)
        async with running(*command, cwd=shop, env=old) as late:
            await late.says("ready")
            assert (await ask("status", url, cwd=shop, env=old))["links"] == ["late"]


async def test_a_node_to_join_that_is_not_there_yet_is_logged_and_joined_when_it_comes(shop: Path) -> None:
    with socket.socket() as taken:  # a port that nobody listens at, and that nobody else is given meanwhile
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        early = ("run", "shop:main", "--listen", FREE, "--name", "early", "--join", url)
        async with running(*early, cwd=shop) as first:
            await first.says(rf"{re.escape(url)}.*refused", on="err")
            await first.says("ready")
            taken.close()
            async with running("run", "shop:main", "--listen", url, "--name", "late", cwd=shop) as second:
                await second.says("link to early", on="err")
                second.signal(signal.SIGTERM)
                assert await second.ends() == 0
