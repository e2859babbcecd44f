"""Many calls and casts under way at a time, over whole hubs: all is as without runs, and no fault loses anything."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.stage import boot

import hubkit
from hubkit.errors import Deadlock, HubkitError, NodeDown
from hubkit.events import DeadLetter, Event
from hubkit.node import node as room
from hubkit.node.runs import CAPABILITY
from hubkit.strategies import HotSwap
from hubkit.testing import Simulation, simulated

COUNT = 6
CHILDREN = tuple(f"s{number}" for number in range(COUNT))
#: What goes in runs, and what does not, in a row.
VALUES: tuple[Any, ...] = (
    0, -1, (1 << 63) - 1, 1 << 63, 2.5, math.inf, True, None, "", "x", "é" * 40, "y" * 5000, b"bytes", [1, [2]], {"a": 1}, (),
)  # fmt: skip

#: In which order each child was told what: (child, sender) -> numbers. All simulated processes are one Python.
TOLD: dict[tuple[str, str], list[int]] = {}
#: What callers that do not wait for each other have asked, and how often it was begun.
BEGUN: Tally[tuple[str, int]] = Tally()


class Refused(hubkit.Reject):
    """As asked."""


class Sink(hubkit.Actor):
    """Writes down what it is told."""

    def hear(self, sender: str, number: int) -> None:
        assert self.context.child_id is not None
        TOLD.setdefault((self.context.child_id, sender), []).append(number)
        BEGUN[sender, number] += 1

    async def note(self, sender: str, number: int, value: object = None) -> int:
        self.hear(sender, number)
        return number

    async def echo(self, sender: str, number: int, value: object) -> object:
        BEGUN[sender, number] += 1
        return value

    async def work(self, sender: str, number: int, seconds: float) -> int:
        BEGUN[sender, number] += 1
        await trio.sleep(seconds)
        return number

    async def refuse(self, sender: str, number: int) -> None:
        self.hear(sender, number)
        raise Refused(number)

    async def crash(self) -> None:
        raise ValueError("as asked")

    async def walk(self, sender: str, number: int, path: str) -> str:
        """Tell the next on this path three times, and call it."""
        me, hub = self.context.child_id, self.context.hub
        head, _, rest = path.partition(" ")
        if not head:
            return f"{me}"
        assert hub is not None
        ref = hub.ref(head, Sink)
        for _ in range(3):
            ref.cast_nowait(Sink.note, f"{sender} by {me}", number)
        if number % 2 and head != me:
            await ref.cast(Sink.note, f"{sender} by {me}", number)
        try:
            return f"{me} {await ref.call(Sink.walk, sender, number, rest)}"
        except Deadlock:
            return f"{me} was refused"

    async def on_info(self, message: Any) -> None:
        self.hear(*message)

    def handover_state(self) -> Any:
        return None

    def accept_handover(self, state: Any) -> None:
        assert state is None


@contextmanager
def without_runs() -> Iterator[None]:
    """Nodes that are started meanwhile do not know of runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "CAPABILITIES", tuple(word for word in room.CAPABILITIES if word != CAPABILITY))
        yield


# -- as without them


@dataclass(frozen=True)
class Step:
    """``kind`` to child ``to``, of one sender; then others run."""

    kind: str
    to: int
    value: int
    pause: bool


KINDS = (
    "cast_nowait", "named", "valued", "cast", "send_nowait", "send", "call", "burst", "burst", "casts", "casts", "casts",
    "walk", "walks", "late", "refuse", "nothing", "unfit",
)  # fmt: skip
step = st.builds(
    Step,
    st.sampled_from(KINDS),
    st.integers(0, COUNT - 1),
    st.integers(0, len(VALUES) - 1),
    st.sampled_from([False] * 4 + [True]),
)
plans = st.lists(st.lists(step, min_size=10, max_size=40), min_size=3, max_size=4)


class Sender:
    """One task that sends; ``outcomes``: what it was told of each step."""

    def __init__(self, name: str, hub: hubkit.Hub) -> None:
        self.name = name
        self.refs = [hub.ref(child, Sink) for child in CHILDREN]
        self.outcomes: list[str] = []

    async def play(self, plan: list[Step]) -> None:
        for number, step in enumerate(plan):
            try:
                self.outcomes.append(repr(await self.do(step, number)))
            except (HubkitError, TypeError, Refused) as error:
                self.outcomes.append(repr(error))
            if step.pause:
                await trio.sleep(0.001)

    async def do(self, step: Step, number: int) -> object:
        ref, value, note = self.refs[step.to], VALUES[step.value], (self.name, number)
        match step.kind:
            case "cast_nowait":
                ref.cast_nowait(Sink.note, *note)
            case "named":
                ref.cast_nowait("note", *note)
            case "valued":
                ref.cast_nowait(Sink.note, *note, value)
            case "cast":
                await ref.cast(Sink.note, *note, value)
            case "send_nowait":
                ref.send_nowait(note)
            case "send":
                await ref.send(note)
            case "burst":
                await self._burst(number)
            case "casts":
                self._casts(ref, number, step.value)
            case "walk":
                return await ref.call(Sink.walk, *note, " ".join(CHILDREN[step.to + 1 :]))
            case "walks":
                return await self._walks(number, step.value)
            case "late":  # its time is over before it is sent
                with trio.move_on_after(0):
                    await ref.call(Sink.note, *note)
            case "refuse":
                await ref.call(Sink.refuse, *note)
            case "nothing":
                ref.cast_nowait("nothing", *note)
            case "unfit":
                return await ref.call("note", *note, value, value)
            case _:
                return await ref.call(Sink.note, *note, value)
        return None

    def _casts(self, ref: hubkit.Ref[Sink], number: int, pattern: int) -> None:
        """Several in a row, of which not all go with the one before."""
        for at in range(12):
            note = (self.name, 100 * number + at)
            match (at * pattern // 3 + pattern) % 4:
                case 0:
                    ref.cast_nowait(Sink.note, *note, at)
                case 1:
                    ref.send_nowait(note)
                case 2:
                    ref.cast_nowait(Sink.note, *note, VALUES[pattern])
                case _:
                    ref.cast_nowait(Sink.note, *note)

    async def _walks(self, number: int, pattern: int) -> list[str]:
        """From each child to the next ones, all at a time; some come back to where they have been, and are refused."""
        outcomes: list[str] = []

        async def walk(start: int) -> None:
            path = CHILDREN[start + 1 :][: 1 + pattern % 3]
            back = CHILDREN[start : start + 1] if (start + pattern) % 3 else ()
            outcomes.append(await self.refs[start].call(Sink.walk, self.name, number, " ".join(path + back)))

        async with trio.open_nursery() as nursery:
            for start in range(COUNT):
                nursery.start_soon(walk, start)
        return sorted(outcomes)

    async def _burst(self, number: int) -> None:
        """Many at a time: each gets what it has asked for."""

        async def ask(at: int) -> None:
            value = VALUES[at % len(VALUES)]
            answer = await self.refs[at % COUNT].call(Sink.echo, self.name, 1000 * (number + 1) + at, value)
            assert answer == value
            assert type(answer) is type(value)

        async with trio.open_nursery() as nursery:
            for at in range(24):
                nursery.start_soon(ask, at)


def played(plan: list[list[Step]]) -> Any:
    """What became of a plan: what children were told, in order; what senders were told; what was lost."""
    result: list[Any] = []

    async def main(sim: Simulation) -> None:
        TOLD.clear()
        BEGUN.clear()
        lost: list[str] = []

        def letter(event: Event) -> None:
            assert isinstance(event, DeadLetter)
            lost.append(f"{event.target} {event.message}")

        hubs = await boot(sim, "ab", hooks=[(DeadLetter, letter)])
        await hubs[0].start_children([hubkit.child(child, Sink) for child in CHILDREN])
        await sim.settled(within=5)
        assert {info.pids[0].node for info in hubs[0].children().values()} == {"a", "b"}
        senders = [Sender(f"t{number}", hubs[number % 2]) for number in range(len(plan))]
        async with trio.open_nursery() as nursery:
            for sender, steps in zip(senders, plan, strict=True):
                nursery.start_soon(sender.play, steps)
        await sim.sleep(3)
        for hub in hubs:
            exchange = hub.node._exchange
            assert exchange is not None
            assert not exchange._waiting
            assert not any(exchange._serving.values())
        sim.check()
        result.extend([dict(sorted(TOLD.items())), BEGUN.copy(), [sender.outcomes for sender in senders], sorted(lost)])

    Simulation.run(main, seed=1)
    return result


@settings(max_examples=25)
@given(plans)
def test_all_is_as_without_runs(plan: list[list[Step]]) -> None:
    with_runs = played(plan)
    with without_runs():
        assert played(plan) == with_runs


# -- in faults


class Storm:
    """Callers that are cancelled at any moment, and casters, from all nodes; and what became of each request."""

    def __init__(self, sim: Simulation, seed: int) -> None:
        self.sim = sim
        self.random = Random(seed)
        self.number = 0
        self.over = False
        self.under_way: set[int] = set()
        self.cast: dict[int, hubkit.Pid | None] = {}  # to whom
        self.answered: set[int] = set()
        self.not_begun: set[int] = set()
        self.lost: set[int] = set()

    def hear(self, event: Event) -> None:
        assert isinstance(event, DeadLetter)
        self.lost.add(event.message[1][1])

    async def caster(self, name: str) -> None:
        refs: list[hubkit.Ref[Sink]] = [self.sim.hub(name).ref(child, Sink) for child in CHILDREN]
        while not self.over:
            ref = self.random.choice(refs)
            for _ in range(self.random.choice((1, 5, 40, 150))):
                number, pid = self.number + 1, ref.pid
                self.number = number
                try:
                    ref.cast_nowait(Sink.note, name, number)
                except (HubkitError, trio.WouldBlock):
                    self.not_begun.add(number)
                else:
                    self.cast[number] = pid
            await self.sim.sleep(self.random.choice((0, 0.001, 0.01)))

    async def callers(self, name: str, nursery: trio.Nursery) -> None:
        refs: list[hubkit.Ref[Sink]] = [self.sim.hub(name).ref(child, Sink) for child in CHILDREN]
        while not self.over:
            for _ in range(30):
                self.number += 1
                self.under_way.add(self.number)
                nursery.start_soon(self._call, self.random.choice(refs), name, self.number)
            await self.sim.sleep(self.random.choice((0, 0.001, 0.01)))

    async def _call(self, ref: hubkit.Ref[Sink], name: str, number: int) -> None:
        seconds = self.random.choice((0, 0.001, 0.003, 0.005, 0.02, math.inf, math.inf))
        try:
            with trio.move_on_after(seconds):
                assert await ref.call(Sink.work, name, number, self.random.choice((0, 0.0005))) == number
                self.answered.add(number)
        except NodeDown as error:
            if not error.maybe_executed:
                self.not_begun.add(number)
        self.under_way.discard(number)

    def check(self) -> None:
        begun = {number for _, number in BEGUN}
        assert max(BEGUN.values()) == 1, "nothing is done twice"
        assert not self.under_way, "every call ends"
        assert self.answered <= begun
        assert not self.not_begun & begun
        assert self.cast.keys() <= begun | self.lost, "no cast vanishes unseen"
        for numbers in TOLD.values():
            for pid in set(
                map(self.cast.get, numbers)
            ):  # what goes to a new incarnation may overtake what is passed on to it
                to_one = [number for number in numbers if self.cast[number] == pid]
                assert to_one == sorted(to_one), "nothing overtakes anything on its way to one incarnation"


def reconnects(hubs: list[hubkit.Hub]) -> list[int]:
    return [link.reconnects for hub in hubs for link in hub.statistics().links.values()]


@pytest.mark.parametrize("fault", ["move", "break", "hold"])
@simulated(seeds=2)
async def test_no_request_is_lost_doubled_or_overtaken_in_a_storm(sim: Simulation, fault: str) -> None:
    TOLD.clear()
    BEGUN.clear()
    storm = Storm(sim, sim.seed)
    hubs = await boot(sim, "abc", migration=HotSwap(), hooks=[(DeadLetter, storm.hear)])
    await hubs[0].start_children([hubkit.ChildSpec(child, Sink, mailbox=50 + sim.seed) for child in CHILDREN])
    await sim.settled(within=5)
    links = reconnects(hubs)
    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(storm.caster, name)
            nursery.start_soon(storm.callers, name, nursery)
        for turn in range(6):
            await sim.sleep(0.03)
            one, two = storm.random.sample("abc", 2)
            if fault == "move":
                await sim.hub(one).move(CHILDREN[turn % COUNT], two)
            elif fault == "break":
                sim.break_links(one, two)
            else:
                sim.hold(one, two)
                await sim.sleep(0.05)
                sim.release(one, two)
        storm.over = True
        with trio.fail_after(20):
            while storm.under_way:
                await sim.sleep(0.1)
    await sim.settled(within=20)
    await sim.sleep(5)
    assert len(BEGUN) > 500
    assert fault == "break" or reconnects(hubs) == links, "no link ends because of it"
    storm.check()
    sim.check()
