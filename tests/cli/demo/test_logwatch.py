"""The application of the demo, which is an example, too: one actor that follows one log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

import hubkit
from hubkit.cli.demo import logwatch
from hubkit.cli.demo.logwatch import Watcher, main


def watching(path: Path) -> hubkit.ChildSpec:
    return hubkit.child("log", Watcher, str(path), 1000.0)


async def test_it_counts_lines_and_remembers_the_last_error(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("t INFO a\nt ERROR first\nt ERROR second\nt INFO ERRORS are none\n")
    async with hubkit.start(watching(log)) as ref:
        report = await ref.call(Watcher.report)
        assert (report.lines, report.errors, report.last_error) == (4, 2, "t ERROR second")
        assert report.process == os.getpid()

        with log.open("a") as file:
            file.write("t INFO more\n")
        assert (await ref.call(Watcher.report)).lines == 5


async def test_half_a_line_is_left_until_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\ntw")
    async with hubkit.start(watching(log)) as ref:
        assert (await ref.call(Watcher.report)).lines == 1
        with log.open("a") as file:
            file.write("o\n")
        assert (await ref.call(Watcher.report)).lines == 2


async def test_a_log_may_come_later_and_be_rotated(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    async with hubkit.start(watching(log)) as ref:
        assert (await ref.call(Watcher.report)).lines == 0
        log.write_text("x ERROR 1\nx ERROR 2\n")
        assert (await ref.call(Watcher.report)).errors == 2
        log.write_text("new\n")
        report = await ref.call(Watcher.report)
        assert (report.lines, report.errors) == (1, 0)


async def test_a_long_log_is_read_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * (2 * logwatch.CHUNK) + b"\n" + b"line\n" * (logwatch.CHUNK // 4))
    async with hubkit.start(watching(log)) as ref:
        assert (await ref.call(Watcher.report)).lines == 1 + logwatch.CHUNK // 4


async def test_it_looks_by_itself(tmp_path: Path) -> None:
    async with hubkit.start(hubkit.child("log", Watcher, str(tmp_path / "a.log"), 0.01)) as ref:
        asked = messages = 0
        with trio.fail_after(10):
            while messages < asked + 3:  # three looks that nobody asked for
                messages = (await ref.call(Watcher.report)).messages
                asked += 1
        assert messages >= asked + 3


async def test_messages_of_strangers_are_ignored(tmp_path: Path) -> None:
    async with hubkit.start(watching(tmp_path / "a.log")) as ref:
        await ref.send("what is this?")
        assert (await ref.call(Watcher.report)).messages == 1


async def test_a_node_watches_every_log_of_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log").write_text("one\n")
    (tmp_path / "b.log").write_text("one\ntwo\n")
    (tmp_path / "c.txt").write_text("no log\n")
    monkeypatch.setenv("LOGWATCH", str(tmp_path))
    async with hubkit.Hub("logs") as hub, trio.open_nursery() as nursery:
        nursery.start_soon(main, hub)
        with trio.fail_after(10):
            async with hub.events(hubkit.events.ChildRegistered) as registered:
                while len(hub.children()) < 2:
                    await anext(aiter(registered))
            assert (await hub.ref("b", Watcher).call(Watcher.report)).lines == 2
        assert sorted(hub.children()) == ["a", "b"]
        nursery.cancel_scope.cancel()
