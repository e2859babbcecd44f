"""A whole network in one process: `SimulatedNetwork`, under any clock of trio, with any disaster, and one seed for all chance.

Law of this room: to those who use it, it is WebSocket over TCP. Links are message-framed and FIFO; a frame is lost only by
its link's end, and then all later ones are, too. A cut holds what would cross, as kernels send again until it gets
through, and no link notices; a dead host answers nothing, a living one without the connection, or the listener, answers so.

All chance (jitter, breaks) comes from one seeded generator, and all order from the order of calls: the same calls at the
same times give the same frames at the same times.

Refused: loss, doubling and reordering of frames. TCP hides them from everybody above it, so no test of hubkit could fail by
them and be right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.environment import Environment
from hubkit.errors import ConfigurationError
from hubkit.net.agenda import Scheduler
from hubkit.net.lanes import Path
from hubkit.net.simulated_transport import SimulatedTransport
from hubkit.net.switchboard import Conditions, Host, Switchboard
from hubkit.net.transport import Transport
from hubkit.specs import check_flag

if TYPE_CHECKING:
    from random import Random

__all__ = ["Cut", "NetworkStatistics", "Scheduler", "SimulatedNetwork"]


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """A snapshot of a simulated network, counted from its making; ``bytes`` of frames, ``in_flight`` frames on their way."""

    frames: int
    bytes: int
    dials: int
    breaks: int
    links: int
    in_flight: int


class Cut:
    """One partition of a simulated network, to be healed alone. ``groups``: who was cut off from whom."""

    def __init__(
        self,
        groups: tuple[tuple[str, ...], ...],
        paths: tuple[Path, ...],
        *,
        one_way: bool,
        before: Callable[[], None],
    ) -> None:
        self.groups: tuple[tuple[str, ...], ...] = groups
        self.one_way: bool = one_way
        self.healed: bool = False
        self._paths = paths
        self._before = before
        for path in paths:
            path.change(cuts=1)

    def __repr__(self) -> str:
        state = ", healed" if self.healed else ""
        return f"<Cut {self}{state}>"

    def __str__(self) -> str:
        groups = ["{" + ", ".join(group) + "}" for group in self.groups]
        if self.one_way:
            return f"{groups[0]} -/-> {' | '.join(groups[1:])}"
        return " | ".join(groups)

    def heal(self) -> None:
        """End this cut; other cuts stay. Raises `ConfigurationError` if it has been healed."""
        if self.healed:
            msg = f"the cut {self} is healed already: heal it once, or make a new one with partition()"
            raise ConfigurationError(msg)
        self._before()
        self.healed = True
        for path in self._paths:
            path.change(cuts=-1)


class SimulatedNetwork:
    """A network of hosts that are known by name. `transport` gives a process on one of them its `Transport`.

    ``seed``: an int, or the `random.Random` to use. ``latency``: seconds that every frame takes; ``jitter``: up to so many
    more; ``bandwidth``: bytes per second from each host to each other; ``break_rate``: how often each link breaks by itself,
    per second, on average. `link` changes these for a pair of hosts. ``scheduler``: where time comes from, trio's clock if
    not given. ``observe(kind, node, peer, text)`` is told of everything that happens: ``"send"``, ``"deliver"`` (text: number
    of the link, size, digest), ``"dial"``, ``"link"`` and ``"break"`` (an end of a link has learnt of its end).

    A host is known from the first call of `transport` or `address` for it. Unknown names, and other wrong values, raise
    `ConfigurationError` everywhere. A network may be used in several trio runs, one after the other; cuts and the like last,
    links do not.

    Nodes on it have its clocks: all that they measure is in seconds of trio's clock (or of ``scheduler``), their wall clocks
    read 2030-01-01 when the run begins, and their chance follows from ``seed``. So under a clock that jumps, hours pass in
    moments::

        async def main() -> None:
            network = SimulatedNetwork(seed=7)
            join = [network.address("a")]
            async with hubkit.Hub("shop", transport=network.transport("a")) as a:
                async with hubkit.Hub("shop", transport=network.transport("b"), join=join) as b:
                    network.partition({"a"}, {"b"})
                    await trio.sleep(10)  # each believes that the other is dead
                    network.heal()
                    await trio.sleep(10)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    `Simulation` is made of this, and adds crashes of whole processes, pauses, clocks that are wrong, and checks.
    """

    def __init__(
        self,
        seed: int | Random = 0,
        *,
        latency: float = 0.001,
        jitter: float = 0.001,
        bandwidth: float = math.inf,
        break_rate: float = 0.0,
        scheduler: Scheduler | None = None,
        observe: Callable[[str, str, str, str], None] | None = None,
    ) -> None:
        conditions = Conditions(
            latency=_number("latency", latency),
            jitter=_number("jitter", jitter),
            bandwidth=_number("bandwidth", bandwidth, zero=False, infinite=True),
            break_rate=_number("break_rate", break_rate),
        )
        _check_scheduler(scheduler)
        if observe is not None and not callable(observe):
            msg = f"observe must be a function of (kind, node, peer, text), not {observe!r:.80}"
            raise ConfigurationError(msg)
        self._board = Switchboard(_seeded(seed), conditions, scheduler, observe)
        self._cuts: list[Cut] = []

    def __repr__(self) -> str:
        return f"<SimulatedNetwork of {len(self._board.hosts)} hosts, {len(self._board.links)} links>"

    # -- hosts

    def transport(self, name: str) -> Transport:
        """A new process's transport on the host ``name``, which listens at `address` of it once opened.

        After a crash this is the host's new life: it answers again. What is left of older lives reaches nobody.
        """
        host = self._host(name)
        self._board.power(host, on=True)
        return SimulatedTransport(self._board, host)

    def address(self, name: str) -> str:
        """The URL of the host ``name``."""
        return str(self._host(name).address)

    def _host(self, name: str) -> Host:
        """The host of this name, a new one if need be. Its address shows the name, as far as an address can."""
        if not isinstance(name, str) or not name:
            msg = f"the name of a host must be a str that is not empty; not {name!r:.80}"
            raise ConfigurationError(msg)
        self._board.enter()
        host = self._board.hosts.get(name)
        if host is None:
            label = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "host"
            host = self._board.add(name, label if label[0].isalpha() else f"host-{label}")
        return host

    def _known(self, name: str) -> Host:
        self._board.enter()
        hosts = self._board.hosts
        host = hosts.get(name) if isinstance(name, str) else None
        if host is None:
            known = ", ".join(map(repr, hosts)) or "none yet"
            msg = (
                f"no host of this network is called {name!r:.80}; it knows {known:.500}: make it known with transport()"
            )
            raise ConfigurationError(msg)
        return host

    def _check_pair(self, a: str, b: str) -> None:
        self._known(a)
        self._known(b)
        if a == b:
            msg = f"two different hosts are expected, not {a!r} twice"
            raise ConfigurationError(msg)

    # -- the weather

    def partition(self, *groups: Iterable[str], one_way: bool = False) -> Cut:
        """Cut the groups off from each other, on top of the cuts that there are. Hosts in no group are untouched.

        One group alone is cut off from all other hosts known now. ``one_way``: the first group cannot reach the others, but
        hears them. Links stay up; what would cross is held, and travels on after the heal.
        """
        self._board.enter()
        check_flag(one_way, "one_way")
        named = [self._group(group) for group in groups]
        if len(named) == 1:
            named.append(tuple(name for name in self._board.hosts if name not in named[0]))
        wrong = "at least one group of hosts is expected" if not named else ""
        seen: dict[str, tuple[str, ...]] = {}
        for group in named:
            if not group:
                wrong = "one side of it is empty: name hosts on both"
            for name in group:
                if name in seen:
                    wrong = f"{name!r} is in two groups: a host is on one side only"
                seen[name] = group
        if wrong:
            msg = f"not a partition: {wrong}"
            raise ConfigurationError(msg)
        pairs = [(a, b) for a in seen for b in seen if seen[a] is not seen[b] and (not one_way or seen[a] is named[0])]
        paths = tuple(self._board.path(a, b) for a, b in pairs)
        cut = Cut(tuple(named), paths, one_way=one_way, before=self._board.enter)
        self._cuts = [old for old in self._cuts if not old.healed] + [cut]
        return cut

    def _group(self, group: Iterable[str]) -> tuple[str, ...]:
        if isinstance(group, str | bytes) or not isinstance(group, Iterable):
            msg = f"a group of a partition must be a set of names such as {{'a', 'b'}}; not {group!r:.80}"
            raise ConfigurationError(msg)
        return tuple(sorted({self._known(name).name for name in group}))

    def heal(self) -> None:
        """End all cuts. Raises `ConfigurationError` if there is none. Holds stay: see `release`."""
        self._board.enter()
        cuts = [cut for cut in self._cuts if not cut.healed]
        if not cuts:
            msg = "nothing to heal: no partition is in force (a hold is ended by release())"
            raise ConfigurationError(msg)
        self._cuts = []
        for cut in cuts:
            cut.heal()

    def hold(self, a: str, b: str) -> None:
        """Hold all that travels between two hosts, both ways, until `release`. Independent of cuts."""
        self._check_pair(a, b)
        if self._board.path(a, b).held:
            msg = f"what travels between {a!r} and {b!r} is held already: release() it first"
            raise ConfigurationError(msg)
        for path in (self._board.path(a, b), self._board.path(b, a)):
            path.change(held=True)

    def release(self, a: str, b: str) -> None:
        """End a `hold`."""
        self._check_pair(a, b)
        if not self._board.path(a, b).held:
            msg = f"nothing is held between {a!r} and {b!r}: hold() it first (a cut is ended by heal())"
            raise ConfigurationError(msg)
        for path in (self._board.path(a, b), self._board.path(b, a)):
            path.change(held=False)

    def reaches(self, a: str, b: str) -> bool:
        """Whether a frame from ``a`` to ``b`` would travel now, as far as cuts and holds are concerned."""
        self._known(a)
        self._known(b)
        return self._board.reaches(a, b)

    def link(
        self,
        a: str,
        b: str,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
        break_rate: float | None = None,
    ) -> Conditions:
        """Change what the network between two hosts is like from now on, and return what it was. What is not given stays."""
        self._check_pair(a, b)
        weather = self._board.weather(a, b)
        before = Conditions(weather.latency, weather.jitter, weather.bandwidth, weather.break_rate)
        new = (
            weather.latency if latency is None else _number("latency", latency),
            weather.jitter if jitter is None else _number("jitter", jitter),
            weather.bandwidth if bandwidth is None else _number("bandwidth", bandwidth, zero=False, infinite=True),
            weather.break_rate if break_rate is None else _number("break_rate", break_rate),
        )
        weather.latency, _, weather.bandwidth, weather.break_rate = new
        weather.set_jitter(new[1])
        if break_rate is not None:
            self._board.redraw(a, b)
        return before

    # -- disasters

    def crash(self, name: str, *, silent: bool = False) -> None:
        """The process on this host is gone at once, and its kernel resets all its links; ``silent``: the machine loses power.

        What the process has sent, and is on its way, may arrive; what waited for a heal does not. Whoever runs on, of the
        crashed process, reaches nobody: it finds its links ended, and every dial fails; what waits (for a frame, for room, to
        be served) waits until it is cancelled.
        """
        self._board.crash(self._known(name), silent=check_flag(silent, "silent"))

    def break_links(self, a: str, b: str | None = None, *, half_open: bool = False) -> int:
        """Reset the links between two hosts, or all of ``a``'s, now; returns how many. What is on its way is lost.

        ``half_open``: only ``a`` learns of it now; the other ends learn it from the answer to what they send next.
        """
        self._known(a)
        if b is not None:
            self._check_pair(a, b)
        check_flag(half_open, "half_open")
        ends = [end for end in self._board.between(a, b) if end.is_open and not end.is_gone]
        for end in ends:
            end.snap("the connection broke", half=half_open)
        return len(ends)

    def refuse(self, name: str) -> None:
        """From now on the host answers every dial that nobody listens. Links stay."""
        self._board.set_mood(self._known(name), refuses=True)

    def silence(self, name: str) -> None:
        """From now on the host answers no dial. Links stay."""
        self._board.set_mood(self._known(name), silent=True)

    def answer(self, name: str) -> None:
        """End `refuse` or `silence`: dials are answered again, and those that wait, too."""
        self._board.set_mood(self._known(name))

    # -- figures

    def statistics(self) -> NetworkStatistics:
        """A snapshot."""
        figures = self._board.figures
        links = list(self._board.links.values())
        return NetworkStatistics(
            frames=figures.frames,
            bytes=figures.bytes,
            dials=figures.dials,
            breaks=figures.breaks,
            links=sum(end.is_open and not (end.is_gone or end.peer.is_gone) for end in links),
            in_flight=sum(end.out.frames + end.peer.out.frames for end in links),
        )


def _seeded(seed: int | Random) -> Random:
    source = not isinstance(seed, type) and hasattr(seed, "expovariate")
    if isinstance(seed, bool) or not (isinstance(seed, int) or source):
        msg = f"seed must be an int, or a random.Random; not {seed!r:.80}"
        raise ConfigurationError(msg)
    if not isinstance(seed, int):
        return seed
    random = Environment().random
    random.seed(seed)
    return random


def _check_scheduler(scheduler: object) -> None:
    methods = [getattr(scheduler, name, None) for name in ("now", "call_at")]
    if scheduler is not None and (isinstance(scheduler, type) or not all(map(callable, methods))):
        msg = f"scheduler must have the methods now() and call_at(when, action), or be None for trio's; not {scheduler!r:.80}"
        raise ConfigurationError(msg)


def _number(what: str, value: float, *, zero: bool = True, infinite: bool = False) -> float:
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # an int that is too large for a float
            number = float(value)
    if not number >= 0 or (not zero and not number) or (not infinite and math.isinf(number)):
        least = "at least 0" if zero else "above 0"
        most = "" if infinite else ", finite"
        msg = f"{what} must be a number, {least}{most}; not {value!r:.80}"
        raise ConfigurationError(msg)
    return number
