"""What a quorum means for the shell: a gate before each message, and what is refused without one.

Law of this room: the right to run children may end at any moment, also while this process stands still; so a child asks at its
gate before it begins a message, and once shut a gate stays shut. Whoever finds it shut sees to it that the core looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

from hubkit.cluster.policy import PartitionTolerance
from hubkit.cluster.quorum import Quorum
from hubkit.errors import ConfigurationError, NoQuorum
from hubkit.pids import name_of
from hubkit.specs import ChildSpec, check_count

if TYPE_CHECKING:
    from hubkit.hub.driver import Driver

__all__ = ["Gate", "check_allowed", "check_lease", "check_shutdown", "confirm", "resize"]


class Gate:
    """Whether one incarnation of a child may begin to handle a message. Calling it is the question, before each."""

    __slots__ = ("_lapses", "_look", "_now", "_quorum")

    def __init__(self, quorum: Quorum, now: Callable[[], float], look: Callable[[], None]) -> None:
        self._quorum = quorum
        self._lapses = quorum.lapses
        self._now = now
        self._look = look

    def renew(self) -> None:
        """It was shut for one that stood by, and handled nothing; from now on that one is the owner, by the present lease."""
        self._lapses = self._quorum.lapses

    @property
    def is_open(self) -> bool:
        """Whether it may."""
        return self._quorum.may_act(self._lapses, self._now())

    @property
    def is_overdue(self) -> bool:
        """Whether whatever began before it was shut must have ended by now."""
        by = self._quorum.stop_by("partition")
        return by is not None and self._quorum.lapses != self._lapses and self._now() >= by

    def __call__(self) -> bool:
        """Whether it may; if nobody has noticed yet that it may not, somebody will look."""
        if self._quorum.may_act(self._lapses, self._now()):
            return True
        if self._quorum.lapses == self._lapses:
            self._look()
        return False


def check_allowed(driver: Driver) -> None:
    """Raise `NoQuorum` when the partition strategy does not let this node place anything."""
    core = driver.core
    if not core.allowed:
        now = driver.now()
        missing = (
            core.quorum.missing(now)
            if not core.quorum.allowed(now)
            else "its voters are being agreed on: wait a moment"
        )
        msg = f"hub {driver.hub_id!r} has no quorum on node {name_of(core.id)!r}: {missing}"
        raise NoQuorum(msg)


def check_shutdown(specs: Iterable[ChildSpec], tolerance: PartitionTolerance) -> None:
    """Raise `ConfigurationError` for a child that may take longer to stop than the partition strategy can wait."""
    most: float | None = getattr(tolerance, "stop", None)
    for spec in specs:
        if most is not None and spec.shutdown > most:
            msg = (
                f"child {spec.id!r} may take {spec.shutdown:g} s to stop, and {type(tolerance).__name__} must be sure of it "
                f"after {most:g} s: give it a lower shutdown, or the strategy a greater stop="
            )
            raise ConfigurationError(msg)


def check_lease(tolerance: PartitionTolerance, beat: float) -> None:
    """Raise `ConfigurationError` for a lease that ends between two heartbeats."""
    lease: float | None = getattr(tolerance, "lease", None)
    if lease is not None and lease < 2 * beat:
        msg = f"{type(tolerance).__name__}.lease must be at least two beats ({2 * beat:g} s), not {lease!r}"
        raise ConfigurationError(msg)


async def confirm(driver: Driver, tolerance: PartitionTolerance) -> None:
    """With ``startup_confirm``, wait for the quorum, for twice the time that any failover takes; then raise `NoQuorum`."""
    lease = driver.core.quorum.lease
    if lease is None or not getattr(tolerance, "startup_confirm", False):
        return
    with trio.move_on_after(2 * lease.wait), driver.watching(other=True) as watch:
        while not driver.core.allowed:
            await watch.next()
    check_allowed(driver)


def resize(driver: Driver, tolerance: PartitionTolerance, size: int) -> None:
    """Set the quorum's size, for the whole hub."""
    check: Any = getattr(tolerance, "check_size", None)
    if check is None:
        check_count(size, "size", least=1)
        msg = f"{tolerance!r} has no quorum whose size could be set"
        raise ConfigurationError(msg)
    check(size, len({name_of(node) for node in driver.core.alive}))
    driver.do(lambda now: driver.core.resize(size, now))
