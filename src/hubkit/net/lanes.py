"""What carries the frames of a simulated network: lanes on which nothing overtakes, and the paths and weather they lie in.

Law of this room: a lane is one direction of one link; what is put on it arrives in order, once, or not at all, and if not,
then nothing after it does. Whatever the weather between two hosts, it changes when things arrive, never which.

Every lane stands in the agenda at most once, for its first item.

Refused: retransmission, reordering and loss below the link. TCP hides them; what is left of them is delay.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from hubkit.net.agenda import Agenda

if TYPE_CHECKING:
    from random import Random

__all__ = ["ACK", "FIN", "GARBLED", "REFUSED", "RST", "SYN", "Lane", "Path", "Receiver", "Weather"]

#: What travels besides frames, each as TCP's word of the same name: a dial, its answers, a close, a reset.
SYN, ACK, REFUSED, GARBLED, FIN, RST = range(6)

_STEPS = (
    15  # jitter comes in so many steps: frames of one burst then share instants, and virtual time has fewer of them
)


class Weather:
    """The state of the network between two hosts: seconds, bytes per second, breaks of each link per second."""

    __slots__ = ("bandwidth", "break_rate", "jitter", "latency", "step")

    def __init__(self, latency: float, jitter: float, bandwidth: float, break_rate: float) -> None:
        self.latency: float = latency
        self.bandwidth: float = bandwidth
        self.break_rate: float = break_rate
        self.set_jitter(jitter)

    def set_jitter(self, jitter: float) -> None:
        """Frames take up to so many seconds longer."""
        self.jitter: float = jitter
        self.step: float = jitter / _STEPS


class Path:
    """The way from one host to another. All lanes on it share its bandwidth, and are held up together."""

    __slots__ = ("back", "blocked", "cuts", "dead", "free_at", "held", "parked", "weather")

    def __init__(self, weather: Weather) -> None:
        self.weather: Weather = weather
        self.back: Path | None = None  # dials on this way wait for that one, too
        self.cuts: int = 0
        self.held: bool = False
        self.dead: bool = False  # no power at its end
        self.blocked: bool = False
        self.free_at: float = 0.0  # when the bytes that are being sent have left
        self.parked: dict[Lane, None] = {}

    def change(self, *, cuts: int = 0, held: bool | None = None, dead: bool | None = None) -> None:
        """Add cuts (or take them away), hold or release. What waited travels on if nothing stops it any more."""
        self.cuts += cuts
        if held is not None:
            self.held = held
        if dead is not None:
            self.dead = dead
        self.blocked = self.cuts > 0 or self.held or self.dead
        self.resume()
        if self.back is not None:
            self.back.resume()

    def clear(self) -> None:
        """Forget what was under way."""
        self.free_at = 0.0
        self.parked.clear()

    def resume(self) -> None:
        """Let what waits try again, unless something still stops it."""
        if self.blocked or not self.parked:
            return
        parked, self.parked = self.parked, {}
        for lane in parked:
            lane.resume()


class Receiver(Protocol):
    """The end of a lane."""

    def arrive(self, item: bytes | int, text: str) -> bool:
        """``item`` has come. `False`: nobody answers it now; it waits, with all behind it."""
        ...


class Lane:
    """One direction of one link: what is on its way to ``receiver``.

    ``load``: bytes that have been put on it; whoever takes them off at its end subtracts them.
    """

    __slots__ = ("_agenda", "_draw", "_parked", "_path", "_queue", "_receiver", "load", "ticket")

    def __init__(self, agenda: Agenda, random: Random, path: Path, receiver: Receiver) -> None:
        self.ticket: int = 0
        self.load: int = 0
        self._agenda = agenda
        self._draw = random.getrandbits
        self._path = path
        self._receiver = receiver
        self._queue: deque[tuple[float, bytes | int, str]] = deque()
        self._parked = False

    @property
    def frames(self) -> int:
        """How many frames are on their way."""
        return sum(type(item) is bytes for _, item, _ in self._queue)

    def put(self, item: bytes | int, text: str = "") -> None:
        """Send ``item``, with a text for the records, after all that was sent before."""
        queue = self._queue
        size = 0
        if type(item) is bytes:
            size = len(item)
            self.load += size
        path = self._path
        when = self._arrival(size, self._agenda.now())
        queue.append((when, item, text))
        if self._parked:
            return
        if path.blocked:
            self._park()
        elif len(queue) == 1:
            self._agenda.put(when, self)

    def _arrival(self, size: int, now: float) -> float:
        path = self._path
        weather = path.weather
        if weather.bandwidth != math.inf:
            now = path.free_at = max(now, path.free_at) + size / weather.bandwidth
        when = now + weather.latency
        if weather.step:
            when += self._draw(4) * weather.step
        return when

    def due(self, now: float) -> None:
        """Hand over what has arrived."""
        queue = self._queue
        arrive = self._receiver.arrive
        while queue and queue[0][0] <= now:
            if self._path.blocked:
                self._park()
                return
            entry = queue.popleft()
            if not arrive(entry[1], entry[2]):
                queue.appendleft(entry)
                self._park()
                return
        if queue and not self.ticket:
            self._agenda.put(queue[0][0], self)

    def _park(self) -> None:
        self._parked = True
        self._path.parked[self] = None

    def resume(self) -> None:
        """What waited is sent once more, in its order: it takes as long as anything that is sent now."""
        self._parked = False
        queue = self._queue
        if not queue:
            return
        now = self._agenda.now()
        for _ in range(len(queue)):
            _, item, text = queue.popleft()
            queue.append((self._arrival(len(item) if type(item) is bytes else 0, now), item, text))
        self._agenda.put(queue[0][0], self)

    def drop(self, *, all_of_it: bool = False) -> bool:
        """Forget what waits here and is not on its way yet; or ``all_of_it``. Returns whether that was something."""
        if not (self._parked or all_of_it) or not self._queue:
            return False
        self._queue.clear()
        self.ticket = 0
        return True
