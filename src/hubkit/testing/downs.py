"""`down_exactly_once`: who watches an actor hears of its end, once.

Law of this room: what is demanded is what `Context.monitor` promises, no more. A `Down` may come early, for a node that only
seemed to be dead; it may take as long as it takes a node to be taken for dead, or to be linked again. But it never comes
twice, never of an actor that has not ended (unless its node is said to be down), and never not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.errors import InvariantViolated
from hubkit.testing.monitors import Watched
from hubkit.testing.watching import Checker, Company, Watcher, World, companies

__all__ = ["down_exactly_once"]

#: Seconds beyond those that it takes to find a node dead: for the next heartbeat, the next dial, and slow clocks.
GRACE = 5.0


@dataclass(frozen=True, slots=True, repr=False)
class _DownExactlyOnce:
    def __repr__(self) -> str:
        return "down_exactly_once()"

    def watch(self, world: World) -> Watcher:
        return _DownsWatcher(world)


def down_exactly_once() -> Checker:
    """Each monitor gets one `Down`: never two, and not none.

    At once: no `Down` after a first, or after ``demonitor``; and none that says how an actor ended which has not.

    As long as the watching actor lives and has not demonitored, its `Down` must have come: at once, if the other has ended in
    the same process; else ``2 * (down_after + beat) + 5`` seconds after the latest of: its end, the monitor's making, and the
    last change of the topology, if the hubs that reach each other agree that all is well. It is due when the other has ended,
    its process is dead, or its node is cut off (it stands still, or cannot be reached, not even over others). While the
    other's process lives and the direct way to it is cut, nothing can come, and nothing is due.
    """
    return _DownExactlyOnce()


class _DownsWatcher(Watcher):
    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = len(world.monitors.faults)
        self._since = world.now()

    def look(self) -> None:
        faults = self._world.monitors.faults
        if len(faults) > self._seen:
            fault = faults[self._seen]
            self._seen += 1
            raise InvariantViolated(fault)
        open = [watched for watched in self._world.monitors.open() if not self._world.paused(watched.watcher.node)]
        if open:
            self._check_open(open)

    def verdict(self) -> None:
        if self._world.now() == self._since:
            self._seen = 0
        self.look()

    def _check_open(self, open: list[Watched]) -> None:
        now = self._world.now()
        known: dict[str, list[Company]] = {}
        for hub_id in self._world.hub_ids():
            for company in companies(self._world, hub_id):
                for name in company.names:
                    known.setdefault(name, []).append(company)
        agreed: dict[int, bool] = {}
        for watched in open:
            since = self._due_since(watched, known)
            if since is None:
                continue
            if watched.is_local:
                if now > since:
                    raise self._missing(watched, "it has ended in the same process")
                continue
            mine = known.get(watched.watcher.node)
            if not mine:
                continue
            liveness = mine[0].drivers[watched.watcher.node]._wires.liveness
            patience = 2 * (liveness.down_after + liveness.beat_interval) + GRACE
            if now < max(since, watched.made, self._world.changed_at) + patience:
                continue
            for company in mine:
                if id(company) not in agreed:
                    agreed[id(company)] = company.agrees()
            if all(agreed[id(company)] for company in mine):
                why = "it ended" if watched.lost is not None else "its node is cut off"
                raise self._missing(watched, f"{why}, and all of {mine[0]} take all to be settled")

    def _due_since(self, watched: Watched, known: dict[str, list[Company]]) -> float | None:
        """Since when there is a reason for a `Down`; `None`: there is none, or none can come."""
        target = watched.target
        if target is None or watched.is_local:
            return watched.lost
        world, here, there = self._world, watched.watcher.node, target.node
        if not world.monitors.has_process(target):
            return watched.lost
        if world.paused(there):
            return watched.made
        mine = known.get(here, [])
        if there in known and not any(there in company.names for company in mine):
            return watched.made
        if watched.lost is None or not (world.network.reaches(here, there) and world.network.reaches(there, here)):
            return None
        return watched.lost

    def _missing(self, watched: Watched, why: str) -> InvariantViolated:
        lost = "" if watched.lost is None else f" at {watched.lost:.3f} s"
        return InvariantViolated(
            f"at {self._world.now():.3f} s there has been no Down for {watched}: {why}{lost}; the topology last changed "
            f"at {self._world.changed_at:.3f} s"
        )
