"""Clients that start, stop, call and cast, from all nodes, through all disasters; and what must be true of every answer."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import trio
from tests.sim.actors import APPLIED, Counter, Friend, Hesitant, Slow, Unstartable
from tests.sim.truth import Memory, every_core, wish_of

import hubkit
from hubkit.errors import (
    ActorCrashed,
    ConfigurationError,
    HubClosed,
    MailboxFull,
    NodeDown,
    NoSuchActor,
    NoSuchMethod,
    StartFailed,
)
from hubkit.testing import Simulation

__all__ = ["Traffic"]

Action = Callable[[Random, hubkit.Hub], Awaitable[str]]

#: What a request may end with. (A start never fails here: all actors can start, all ids are used once.)
OF_START = (HubClosed,)
OF_STOP = (HubClosed, NoSuchActor)
OF_REQUEST = (ActorCrashed, HubClosed, MailboxFull, NodeDown, NoSuchActor, trio.WouldBlock)
#: After these nothing has happened.
NOT_BEGUN = (MailboxFull, NoSuchActor, NoSuchMethod)


class Traffic:
    """Some clients. They belong to nobody's process: what a client does, it does through the hub of some node."""

    def __init__(self, sim: Simulation, memory: Memory, children: list[str], *, pace: float) -> None:
        self.sim, self.memory, self.pace = sim, memory, pace
        self.children: list[str] = list(children)
        self.pending: dict[int, str] = {}
        self.outcomes: Tally[str] = Tally()
        self.over = False
        self.number = 0
        self.expected: dict[str, int | None] = {}  # token -> how often it was applied; None: once, or not at all

    async def client(self, seed: str) -> None:
        """One client, until `over`."""
        random = Random(seed)
        actions: list[Callable[[Random, hubkit.Hub], Awaitable[str]]] = [
            self._start,
            self._stop,
            self._cast,
            self._crash,
        ]
        actions += [self._call] * 6
        while not self.over:
            await self.sim.sleep(random.expovariate(1 / self.pace))
            hub = self._somewhere(random)
            if hub is None or self.over:
                continue
            action = random.choice(actions)
            self.number += 1
            mine = self.number
            self.pending[mine] = f"{action.__name__.strip('_')} from {hub.node.name} since {self.sim.now:.3f} s"
            outcome = "cancelled"
            with trio.move_on_after(random.choice((0.0, 0.002, 0.1, 2.0)) if random.random() < 0.15 else math.inf):
                outcome = await action(random, hub)
            self.outcomes[f"{action.__name__.strip('_')}: {outcome}"] += 1
            del self.pending[mine]

    def _somewhere(self, random: Random) -> hubkit.Hub | None:
        nodes = [node for node in self.sim.nodes if self.sim.alive(node) and not self.sim.paused(node)]
        try:
            hub = self.sim.hub(random.choice(nodes), "shop") if nodes else None
        except ConfigurationError:
            return None
        return None if hub is None or hub._driver_ is None else hub

    def _token(self) -> str:
        self.number += 1
        return f"t{self.number}"

    async def _start(self, random: Random, hub: hubkit.Hub) -> str:
        self.number += 1
        child = f"n{self.number}"
        spec = (
            hubkit.child(child, Friend, random.choice(self.children))
            if random.random() < 0.3
            else hubkit.child(child, Counter)
        )
        try:
            await hub.start_child(spec)
        except OF_START as error:
            return type(error).__name__
        except StartFailed:
            assert hub._draining, "all actors can start everywhere"
            return "StartFailed"
        self._check_held(hub, child, "start")
        self.memory.started(child)
        self.children.append(child)
        return "done"

    def _spec(self, random: Random) -> hubkit.ChildSpec:
        self.number += 1
        child = f"n{self.number}"
        match random.randrange(6):
            case 0:
                return hubkit.child(child, Friend, random.choice(self.children))
            case 1:
                return hubkit.child(child, Hesitant, random.choice((0.002, 0.5)))
            case 2:
                return hubkit.child(child, Slow, random.choice((0.002, 0.5)))
            case _:
                return hubkit.child(child, Counter)

    async def _try(self, random: Random, hub: hubkit.Hub) -> str:
        """Start two, of which one cannot be started, all or nothing."""
        spec = self._spec(random)
        bad = hubkit.child(f"bad {spec.id}", Unstartable)
        try:
            result = await hub.start_children([spec, bad], on_failure="rollback")
        except OF_START as error:
            return type(error).__name__
        except trio.Cancelled:
            self._withdrawn(hub, spec.id)
            raise
        assert result.rolled_back
        assert not result.started
        assert isinstance(result.errors[bad.id], StartFailed)
        for child in (spec.id, bad.id):
            stamp = self._check_held(hub, child, "rollback")
            if stamp is not None:
                self.memory.stopped(child, stamp)
        return "done"

    def _withdrawn(self, hub: hubkit.Hub, child: str) -> None:
        """A start that was to be rolled back was cancelled: nothing of it may be wanted."""
        driver = hub._driver_
        if driver is not None and not driver.closed and not driver.core.left:
            assert child not in driver.core.wants
            stamp = wish_of(driver.core, child)
            if stamp is not None:
                self.memory.stopped(child, stamp)

    async def _read(self, random: Random, hub: hubkit.Hub) -> str:
        """Look at everything: none of it may raise, whatever goes on."""
        child = random.choice(self.children)
        try:
            assert str(hub.explain(child))
        except NoSuchActor:
            pass
        except HubClosed:
            return "HubClosed"
        moves = hub.plan(remove=hub.nodes()[:1])
        assert all(move.source != move.target for move in moves)
        assert hub.statistics().hub == hub.id
        assert set(hub.children("local")) <= set(hub.children())
        hub.lookup(child)
        return "done"

    async def _brief(self, random: Random, hub: hubkit.Hub) -> str:
        """Start a child that ends by itself, and is not to be started again."""
        self.number += 1
        spec = hubkit.ChildSpec(f"brief {self.number}", Counter, restart=random.choice(("temporary", "transient")))
        try:
            ref = await hub.start_child(spec)
            await ref.call(Counter.finish)
            with trio.move_on_after(2.0):
                await ref.call(Counter.add)
        except (*OF_START, *OF_REQUEST) as error:
            return type(error).__name__
        return "done"

    async def _move(self, random: Random, hub: hubkit.Hub) -> str:
        child = random.choice(self.children)
        try:
            with trio.move_on_after(10.0):  # its target may die, and not come back
                await hub.move(child, random.choice((hub.node.name, *hub.nodes())))
                return "done"
        except (ConfigurationError, HubClosed, NoSuchActor) as error:
            return type(error).__name__
        return "given up"

    async def _stop(self, random: Random, hub: hubkit.Hub) -> str:
        if len(self.children) < 5:
            return "nothing to stop"
        child = self.children.pop(random.randrange(len(self.children)))
        self.memory.doubted(child)
        try:
            await hub.stop_child(child)
        except OF_STOP as error:
            return type(error).__name__
        stamp = self._check_held(hub, child, "stop")
        if stamp is not None:
            self.memory.stopped(child, stamp)
        return "done"

    def _check_held(self, hub: hubkit.Hub, child: str, what: str) -> Any:
        """``min(3, members)`` processes have that row, dead or alive by now."""
        core = hub._driver.core
        stamp = wish_of(core, child)
        if stamp is None:  # a tombstone that all have seen, and that is gone
            return None
        holders = sorted(
            {
                other.id
                for other in every_core(self.sim)
                if (wish_of(other, child) or stamp) >= stamp
                and other._store.version.get(stamp.node, (-1, -1)) >= stamp[:2]
            }
        )
        need = min(3, len(core.alive))
        assert len(holders) >= need, (
            f"the {what} of {child} was acknowledged by {hub.node.name}, but only {holders} hold it: {need} should"
        )
        return stamp

    async def _call(self, random: Random, hub: hubkit.Hub) -> str:
        child, token = random.choice(self.children), self._token()
        self.expected[token] = None
        try:
            ref = hub.ref(child, Counter)
            if random.random() < 0.3:
                await ref.call(Counter.linger, token, random.choice((0.01, 0.3, 2.0)))
            else:
                await ref.call(Counter.add, token)
        except OF_REQUEST as error:
            return self._failed(token, error)
        self.expected[token] = 1
        return "done"

    async def _cast(self, random: Random, hub: hubkit.Hub) -> str:
        child, token = random.choice(self.children), self._token()
        self.expected[token] = None
        try:
            ref = hub.ref(child, Counter)
            if random.random() < 0.5:
                ref.cast_nowait(Counter.add, token)
            else:
                await ref.cast(Counter.add, token)
        except OF_REQUEST as error:
            return self._failed(token, error)
        return "done"

    def _failed(self, token: str, error: Exception) -> str:
        if isinstance(error, NOT_BEGUN) or (isinstance(error, NodeDown) and not error.maybe_executed):
            self.expected[token] = 0
        return type(error).__name__

    async def _crash(self, random: Random, hub: hubkit.Hub) -> str:
        try:
            await hub.ref(random.choice(self.children), Counter).call(Counter.fail)
        except OF_REQUEST as error:
            return type(error).__name__
        raise AssertionError("a call that crashes its actor was answered")

    async def end(self, within: float) -> None:
        """All clients end, for every request does."""
        self.over = True
        deadline = self.sim.now + within
        while self.pending:
            assert self.sim.now < deadline, (
                f"requests that do not end {within:g} s after all is well: {list(self.pending.values())[:8]}"
            )
            await self.sim.sleep(0.1)

    def check(self) -> None:
        """What was asked once was done once, or not at all; and what was said of it is true."""
        for token, count in self.expected.items():
            done = APPLIED[token]
            assert done <= 1, f"{token} was applied {done} times: a request is handled at most once"
            assert count is None or done == count, f"{token} was applied {done} times, and its sender was told {count}"
