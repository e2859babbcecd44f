"""What a hub shows of itself: pure readings of the core, for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from hubkit.cluster.explain import Explanation
from hubkit.errors import ConfigurationError, NoSuchActor
from hubkit.hub.driver import Driver
from hubkit.hub.families import check_strategies
from hubkit.hub.household import Household
from hubkit.hub.results import HubStatistics
from hubkit.names import actor_names, is_local_name
from hubkit.pids import name_of

__all__ = ["actor_table", "check_strategies", "explanation", "statistics"]


def actor_table(actors: Iterable[Any] | None) -> Callable[[], tuple[str, ...]]:
    """What this node advertises: the names of ``actors``, or (asked anew each time) all that the process has defined."""
    if actors is None:
        return actor_names
    if not isinstance(actors, Iterable):
        msg = f"actors must be a list of Actor subclasses and @actor functions, not {actors!r:.80}"
        raise ConfigurationError(msg)
    names = set()
    for actor in actors:
        name = getattr(actor, "__hubkit_actor__", None)
        if not isinstance(name, str) or is_local_name(name):
            msg = f"each of actors must be an Actor subclass or @actor function at the top level of a module, not {actor!r:.80}"
            raise ConfigurationError(msg)
        names.add(name)
    fixed = tuple(sorted(names))
    return lambda: fixed


def explanation(driver: Driver, child: str) -> Explanation:
    """Why a child is where it is."""
    if child not in driver.core.wants and child not in driver.core.runs:
        msg = f"hub {driver.hub_id!r} has no child {child!r}"
        raise NoSuchActor(msg)
    return driver.core.why(child, driver.now())


def statistics(driver: Driver, household: Household, node: Any) -> HubStatistics:
    """A snapshot of one hub on one node."""
    core = driver.core
    parked = sum(
        run.role == "active" and run.phase == "failed"
        for child in core.wants
        for holder, run in core.runs.get(child, {}).items()
        if holder in core.alive
    )
    links: Mapping[str, Any] = {name_of(peer): link for peer, link in sorted(node._links().items())}
    return HubStatistics(
        hub=driver.hub_id,
        node=name_of(core.id),
        members=tuple(sorted(name_of(n) for n in core.alive if n in core.nodes)),
        ready=tuple(sorted(name_of(n) for n in core.ready)),
        children=len(core.wants),
        local_children=household.running(),
        parked=parked,
        settled=driver.is_settled,
        starts=household.starts,
        stops=household.stops,
        restarts=household.restarts,
        messages=household.messages(),
        moves=driver.moves,
        longest_pause=0.0 if driver.handovers is None else driver.handovers.longest_pause,
        conflicts=driver.conflicts,
        dead_letters=driver.dead_letters,
        syncs_sent=driver.syncs_sent,
        syncs_received=driver.syncs_received,
        links=MappingProxyType(links),
    )
