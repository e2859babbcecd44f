"""Asking for ever: at whose pace, with what patience, and with how many words. All in virtual time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from hubkit.discovery.finder import ANSWER_WITHIN, Finder, Joined
from hubkit.discovery.protocol import Discovery, Here
from hubkit.environment import Environment

OWN, WRITTEN, A, B = (f"ws://10.0.0.{n}:4040" for n in range(4))


class Steady(Environment):
    """No jitter."""

    def __init__(self) -> None:
        super().__init__()
        self.random.random = lambda: 0.0  # type: ignore[method-assign]  # the one chance that is used


class Script:
    """A discovery that does as it is told, and notes when it was asked."""

    def __init__(self, answer: Callable[[], object] = lambda: ()) -> None:
        self.answer = answer
        self.asked: list[float] = []

    def __repr__(self) -> str:
        return "<script>"

    async def addresses(self) -> Iterable[str]:
        self.asked.append(trio.current_time())
        found = self.answer()
        if isinstance(found, Exception):
            raise found
        if found == "sleep":
            await trio.sleep_forever()
        return found  # type: ignore[return-value]  # wrong on purpose, in some tests


Told = list[tuple[float, Mapping[str, bool], bool]]


@asynccontextmanager
async def finding(*discoveries: Discovery, urls: tuple[str, ...] = ()) -> AsyncIterator[Told]:
    """A finder at work; all that it has told."""
    told: Told = []
    finder = Finder(
        Joined(urls, discoveries),
        url=OWN,
        secrets=(),
        environment=Steady(),
        tell=lambda urls, complete: told.append((trio.current_time(), urls, complete)),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(finder.run)
        yield told
        nursery.cancel_scope.cancel()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all((r.name, r.levelno) == ("hubkit.discovery", logging.WARNING) for r in caplog.records)
    return [record.getMessage() for record in caplog.records]


async def test_addresses_that_are_written_down_wait_for_nobody(autojump_clock: trio.testing.MockClock) -> None:
    slow, quick = Script(lambda: "sleep"), Script(lambda: [A, OWN])
    async with finding(slow, quick, urls=(WRITTEN, OWN)) as told:
        await trio.sleep(60)
    assert told == [
        (0, {WRITTEN: True}, False),
        (0, {WRITTEN: True, A: False}, False),
        (ANSWER_WITHIN, {WRITTEN: True, A: False}, True),
    ]


async def test_without_discoveries_all_is_said_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with finding(urls=(WRITTEN,)) as told:
        await trio.sleep(1)
    assert told == [(0, {WRITTEN: True}, True)]


async def test_a_discovery_is_asked_every_five_seconds(autojump_clock: trio.testing.MockClock) -> None:
    script = Script(lambda: [A] if trio.current_time() < 12 else [B])
    async with finding(script) as told:
        await trio.sleep(21)
    assert script.asked == [0, 5, 10, 15, 20]
    assert told == [(0, {}, False), (0, {A: False}, True), (15, {B: False}, True)]


async def test_one_that_raises_is_told_once_and_asked_with_backoff(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(lambda: OSError(f"no answer at {trio.current_time()}"))
    async with finding(script) as told:
        await trio.sleep(130)
    assert script.asked == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5, 121.5]
    assert said(caplog) == ["<script>: cannot say where other nodes are: OSError('no answer at 0.0') (told once)"]
    assert told == [(0, {}, False), (0, {}, True)]  # nobody waits for it: the node can begin alone


async def test_what_was_found_stands_while_there_is_no_answer(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(lambda: [A] if trio.current_time() < 7 or trio.current_time() > 100 else ValueError("torn"))
    async with finding(script) as told:
        await trio.sleep(200)
    assert told[-1] == (0, {A: False}, True)
    assert len(said(caplog)) == 1
    late = [moment for moment in script.asked if moment > 105]
    assert late[1] - late[0] == 5  # its failures are forgotten


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda: [A, "garbage"], "1 of 2 answers are no addresses"),
        (lambda: (f"ws://10.1.{n % 250}.{n // 250}:1" for n in range(3000)), "of 3000 addresses only 256 are used"),
        (lambda: A, "an answer must be an iterable of URLs"),
        (lambda: None, "TypeError"),
        (lambda: (1 // 0 for _ in "x"), "ZeroDivisionError"),
        (lambda: "sleep", "no answer within 10 s"),
    ],
)
async def test_wrong_answers_are_told_once(
    answer: Callable[[], object], text: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(answer)
    async with finding(script) as told:
        await trio.sleep(600)
    assert len(script.asked) > 10
    (line,) = said(caplog)
    assert text in line
    assert len(told[-1][1]) <= 256
    assert told[-1][2]


async def test_a_method_that_is_not_async_is_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain:
        def addresses(self) -> list[str]:
            return [A]

    async with finding(Plain()) as told:  # type: ignore[arg-type]  # wrong on purpose
        await trio.sleep(60)
    assert told[-1] == (0, {}, True)
    assert len(said(caplog)) == 1


async def test_a_resident_that_fails_is_run_again_and_tells_what_it_hears(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Ear(Script):
        runs = 0

        def reside(self, here: Here) -> Ear:
            assert (here.url, here.secrets) == (OWN, ())
            self.here = here
            return self

        async def run(self) -> None:
            self.runs += 1
            if self.runs < 5:
                raise OSError("the network is down")
            self.answer = lambda: [A]
            self.here.changed()
            await trio.sleep_forever()

    ear = Ear()
    async with finding(ear) as told:
        await trio.sleep(60)
    assert ear.runs == 5
    assert told[-1] == (0.5 + 1 + 2 + 4, {A: False}, True)  # not only when it is asked next
    assert said(caplog) == ["<script>: does not work: OSError('the network is down') (told once)"]
