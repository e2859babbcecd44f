"""A log that cannot be written stops nothing: no link, no actor, no hub."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio
from tests.house import rooms, shown
from tests.hub.clusters import LISTEN, until

import hubkit
from hubkit.logs import Log

FULL = Path("/dev/full")


class Full(logging.Handler):
    """A handler that lets its error out, as those do that do not inherit the care of the standard ones."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.asked.append(record)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def handled(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("hubkit")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        with suppress(OSError):  # what it could not write is still there
            handler.close()


def test_a_record_that_cannot_be_written_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    log, full = Log("hubkit.test"), Full()
    with handled(full):
        for _ in range(3):
            log.warning("%d is %s", 1, "one")
        try:
            raise ValueError
        except ValueError:
            log.exception("and this")
    assert [record.getMessage() for record in full.asked] == ["1 is one"] * 3 + ["and this"]
    assert full.asked[-1].exc_info is not None
    assert {(record.filename, record.name) for record in full.asked} == {("test_logs.py", "hubkit.test")}
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("hubkit: a record of the logger 'hubkit.test' was not written: OSError(28, ")
    log.warning("fine")  # written again
    with handled(Full()):
        log.warning("and not again")
    assert capsys.readouterr().err.count("was not written") == 1


def test_where_it_cannot_be_told_either(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Full()
    with handled(full), suppress(OSError), open(FULL if FULL.exists() else os.devnull, "w") as nowhere:
        for stderr in (None, nowhere):
            monkeypatch.setattr("sys.stderr", stderr)
            Log("hubkit.test").warning("lost")
            monkeypatch.undo()
    assert len(full.asked) == 2


def test_what_nobody_wants_is_not_made() -> None:
    full = Full()
    with handled(full):
        logging.getLogger("hubkit.test").setLevel(logging.ERROR)
        Log("hubkit.test").warning("nobody")
        logging.getLogger("hubkit.test").setLevel(logging.NOTSET)
    assert full.asked == []


class Frail(hubkit.Actor):
    """It crashes when told to."""

    async def crash(self) -> None:
        raise ValueError

    async def add(self, n: int) -> int:
        return n + 1


async def check_that_life_goes_on() -> None:
    """A hub of two nodes, and all that is logged: links, strangers, crashes, handlers that fail, a node that goes."""
    async with hubkit.Hub("shop", listen=LISTEN, name="a", secret="s") as a:
        url = a.node.url
        assert url is not None
        a.on(hubkit.events.ChildRestarted, lambda event: 1 / 0)
        async with hubkit.Hub("shop", listen=LISTEN, name="b", join=[url], secret="s") as b:
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",))
            await a.start_children([hubkit.child(f"c{number}", Frail) for number in range(8)])
            mesh = a.node._mesh
            assert mesh is not None
            (peer,) = mesh.links
            for _ in range(2):
                async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
                    await stream.send_all(b"nonsense\r\n\r\n")
                    await stream.receive_some()
            with pytest.raises(hubkit.errors.HandshakeRefused):
                async with hubkit.Hub("shop", listen=LISTEN, name="c", join=[url], secret="another"):
                    pass
            for number in range(8):
                with pytest.raises(hubkit.errors.ActorCrashed):
                    await a.ref(f"c{number}", Frail).call(Frail.crash)
            await until(lambda: a.is_settled and b.is_settled)
            for number in range(8):
                assert await b.ref(f"c{number}", Frail).call(Frail.add, 1) == 2
            mesh.close_link(peer, "a test")
            await until(lambda: peer in mesh.links and mesh.links[peer].reconnects == 1)
            await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",))
        await until(lambda: a.nodes() == () and a.is_settled)
        assert await a.ref("c0", Frail).call(Frail.add, 1) == 2
        assert all(pids for pids in (a.pids(f"c{number}") for number in range(8)))


async def test_with_a_handler_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    full = Full()
    with handled(full), trio.fail_after(30):
        await check_that_life_goes_on()
    assert {"hubkit.net", "hubkit.actors", "hubkit.hub"} <= {record.name for record in full.asked}
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
async def test_with_a_file_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)  # as in production: or each of them is told at length
    with handled(logging.FileHandler(FULL)), trio.fail_after(30):
        await check_that_life_goes_on()


def test_nobody_writes_to_a_logger_past_it() -> None:
    past = [shown(path) for path in rooms() if "getLogger" in path.read_text(encoding="utf-8")]
    assert past == ["src/hubkit/logs.py"]
