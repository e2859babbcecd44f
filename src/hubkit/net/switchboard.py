"""The inside of a simulated network: its hosts, the paths between them, its links, and what befalls them.

Law of this room: everything is kept in the order in which it came to be, and all chance is drawn from one generator, so that
the same calls at the same times have the same effects at the same times. What users give has been checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from hubkit.environment import EPOCH, VirtualEnvironment
from hubkit.net.address import Address, parse
from hubkit.net.agenda import Agenda, Scheduler, TrioScheduler
from hubkit.net.lanes import GARBLED, REFUSED, SYN, Lane, Path, Weather
from hubkit.net.simulated_link import Figures, SimulatedLink

if TYPE_CHECKING:
    from random import Random

__all__ = ["PORT", "Conditions", "Host", "Switchboard"]

#: Where every simulated host listens.
PORT = 4040
_FIRST_EPHEMERAL, _EPHEMERAL = 49152, 16384  # ports that dialers seem to come from, for logs


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a network is like unless told otherwise: seconds, seconds, bytes per second, breaks of each link per second."""

    latency: float
    jitter: float
    bandwidth: float
    break_rate: float


class Host:
    """A machine, which outlives the processes on it. ``listener``: takes the far ends of links that are dialled."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self.address: Address = Address(secure=False, host=label, port=PORT)
        self.crashes = 0
        self.off = False
        self.refuses = False
        self.silent = False
        self.listener: Callable[[SimulatedLink], None] | None = None


class Switchboard:
    """See the room's law. ``observe`` is told of all that happens."""

    def __init__(
        self,
        random: Random,
        conditions: Conditions,
        scheduler: Scheduler | None,
        observe: Callable[[str, str, str, str], None] | None,
    ) -> None:
        self.conditions = conditions
        self.observe = observe
        self.figures: Figures = Figures()
        self.hosts: dict[str, Host] = {}
        self.links: dict[int, SimulatedLink] = {}  # by number, the dialer's end; until both ends are gone
        self._random = random
        self._own = TrioScheduler() if scheduler is None else None
        self._agenda = Agenda(scheduler or self._own or TrioScheduler())
        self._named: dict[str, Host] = {}  # by the host of their address
        self._weathers: dict[tuple[str, str], Weather] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._run: trio.lowlevel.TrioToken | None = None
        self._began = 0.0  # when that run did
        self._boots = 0

    def enter(self) -> None:
        """Notice that another trio run has begun: the links of the one before are no more. To be called from outside first."""
        try:
            run = trio.lowlevel.current_trio_token()
        except RuntimeError:  # outside
            if self._own is None or not self._own.is_over():
                return
        else:
            if run is self._run:
                return
            self._run = run
            self._began = self._agenda.now()
        for end in self.links.values():
            for one in (end, end.peer):
                one.crash(silent=True)
        self.links.clear()
        self._agenda.clear()
        for path in self._paths.values():
            path.clear()
        for host in self.hosts.values():
            host.listener = None

    def environment(self, host: Host) -> VirtualEnvironment:
        """The clocks and the chance of a new process on this host."""
        seed = self._random.getrandbits(64)
        return VirtualEnvironment(host.name, now=self._agenda.now, wall=self._wall, boot=self._boot, seed=seed)

    def _wall(self) -> float:
        return EPOCH + self._agenda.now() - self._began

    def _boot(self) -> int:
        self._boots += 1
        return self._boots

    # -- hosts and paths

    def add(self, name: str, label: str) -> Host:
        """A new host. Its address is made of ``label``, and of a number if that is taken."""
        plain, number = label, 1
        while label in self._named:
            number += 1
            label = f"{plain}-{number}"
        host = self.hosts[name] = self._named[label] = Host(name, label)
        return host

    def weather(self, a: str, b: str) -> Weather:
        """The weather between two hosts, the same both ways."""
        key = (a, b) if a <= b else (b, a)
        weather = self._weathers.get(key)
        if weather is None:
            c = self.conditions
            weather = self._weathers[key] = Weather(c.latency, c.jitter, c.bandwidth, c.break_rate)
        return weather

    def path(self, a: str, b: str) -> Path:
        """The way from ``a`` to ``b``."""
        path = self._paths.get((a, b))
        if path is None:
            path = self._paths[a, b] = Path(self.weather(a, b))
            path.back = back = self._paths.get((b, a))
            if back is not None:
                back.back = path
            if self.hosts[b].off:
                path.change(dead=True)
        return path

    def reaches(self, a: str, b: str) -> bool:
        """Whether neither a cut nor a hold is in the way."""
        path = self._paths.get((a, b))
        return path is None or not (path.cuts or path.held)

    def _towards(self, host: Host) -> list[Path]:
        return [path for (_, target), path in self._paths.items() if target == host.name]

    def power(self, host: Host, *, on: bool) -> None:
        """Whether anything that comes for the host is heard."""
        if host.off == on:
            host.off = not on
            for path in self._towards(host):
                path.change(dead=host.off)

    def set_mood(self, host: Host, *, refuses: bool = False, silent: bool = False) -> None:
        """How the host answers dials. Those that wait try again."""
        host.refuses = refuses
        host.silent = silent
        for path in self._towards(host):
            path.resume()

    # -- links

    def dial(self, host: Host, target: Address) -> SimulatedLink | None:
        """The near end of a new link, whose answer is awaited; `None` if no host has this address."""
        other = self._named.get(target.host)
        self.figures.dials += 1
        number = self.figures.dials
        if self.observe is not None:
            self.observe("dial", host.name, other.name if other else target.host, f"link {number}")
        if other is None:
            return None
        near = SimulatedLink(self, host.name, number, str(target), dialing=True)
        remote = f"{host.address.host}:{_FIRST_EPHEMERAL + number % _EPHEMERAL}"
        far = SimulatedLink(self, other.name, number, remote, dialing=False)
        near.peer, far.peer = far, near
        near.out = Lane(self._agenda, self._random, self.path(host.name, other.name), far)
        far.out = Lane(self._agenda, self._random, self.path(other.name, host.name), near)
        self.links[number] = near
        near.out.put(SYN)
        return near

    def knocked(self, end: SimulatedLink) -> bool:
        """See `hubkit.net.simulated_link.Office`."""
        host = self.hosts[end.host]
        if host.silent or self.path(end.host, end.peer.host).blocked:
            return False  # a dial needs both directions
        target = parse(end.peer.remote)
        if host.refuses or host.listener is None or target.port != PORT:
            end.decline(REFUSED)
        elif target.secure:
            end.decline(GARBLED)
        else:
            host.listener(end)
        return True

    def established(self, end: SimulatedLink) -> None:
        """See `hubkit.net.simulated_link.Office`."""
        if self.observe is not None:
            self.observe("link", end.host, end.peer.host, f"link {end.number}")
        self._doom(end)

    def gone(self, end: SimulatedLink) -> None:
        """See `hubkit.net.simulated_link.Office`."""
        if end.peer.is_gone:
            self.links.pop(end.number, None)

    def between(self, a: str, b: str | None) -> list[SimulatedLink]:
        """The end at ``a`` of every link between two hosts; without ``b``, of all of ``a``'s (of those to itself, one)."""
        ends = [end if end.host == a else end.peer for end in self.links.values() if a in (end.host, end.peer.host)]
        return [end for end in ends if b is None or end.peer.host == b]

    def redraw(self, a: str, b: str) -> None:
        """The rate of breaks has changed."""
        for end in self.between(a, b):
            self._doom(end if end.dialing else end.peer)

    def _doom(self, end: SimulatedLink) -> None:
        """Draw the time at which a link breaks by itself."""
        end.ticket = 0
        rate = self.weather(end.host, end.peer.host).break_rate
        if rate and end.is_open and not end.is_gone:
            self._agenda.put(self._agenda.now() + self._random.expovariate(rate), end)

    def crash(self, host: Host, *, silent: bool) -> None:
        """The process on the host is gone; ``silent``: so is its kernel."""
        host.crashes += 1
        host.listener = None
        for number, end in [*self.links.items()]:
            for one in (end, end.peer):
                if one.host == host.name:
                    one.crash(silent=silent)
            if end.is_gone and end.peer.is_gone:
                del self.links[number]
        if silent:
            self.power(host, on=False)
