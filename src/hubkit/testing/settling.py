"""Whether all hubs of a simulation have settled; if not, why not, in words.

Law of this room: settled is what all say who can reach each other, not what one says. Their views of who is there are the
truth, their registries are the same, each says of itself that everything runs where it belongs, and no process is on its way in
or out. A partition that lasts is no trouble as such: each side settles for itself. A paused process counts as gone; but where
all of a hub is gone, and not in good order, there is nobody left to say that all is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hubkit.errors import HubkitError
from hubkit.hub.hub import Hub
from hubkit.pids import name_of

if TYPE_CHECKING:
    from hubkit.testing.world import World

__all__ = ["troubles"]

_STATES = {
    "starting": "is starting",
    "crashed": "has crashed",
    "failed": "has failed",
    "paused": "is paused",
    "leaving": "is leaving",
    "left": "has left",
}

#: so many troubles are told; the others are counted
MANY = 12


def troubles(world: World, *, first: bool = False) -> list[str]:
    """What is not settled, a sentence each; nothing: all is. ``first``: one will do."""
    found: list[str] = []
    more = 0
    for trouble in _all(world):
        if first:
            return [trouble]
        if len(found) < MANY:
            found.append(trouble)
        else:
            more += 1
    return [*found, f"and {more} more"] if more else found


def _all(world: World) -> Iterator[str]:
    for name in sorted(world.hosts):
        host = world.hosts[name]
        if host.alive and not host.paused and host.life is not None and not host.life.up:
            state = host.life.state
            waits = [hub_id for hub_id in host.life.hubs if not host.life.is_open(hub_id)]
            yield f"node {name} is {'opening hub ' + ', '.join(waits) if state == 'open' else state}"
    for hub_id in world.hub_ids():
        hubs = world.hubs(hub_id)
        if not hubs:
            yield from _nobody(world, hub_id)
        for names in world.components(hub_id):
            yield from _company(hub_id, names, {name: hubs[name] for name in names if name in hubs})


def _nobody(world: World, hub_id: str) -> Iterator[str]:
    """No hub of this id is open. That is no trouble if all of them have left in good order."""
    states: list[str] = []
    lost = False
    for name in sorted(world.hosts):
        host = world.hosts[name]
        if hub_id in host.options and host.life is not None:
            lost = lost or host.paused or host.life.state in ("crashed", "failed")
            doing = "has drained it" if host.life.is_open(hub_id) else "is opening it"
            states.append(f"{name} {_STATES.get('paused' if host.paused else host.life.state, doing)}")
    if lost:
        yield f"hub {hub_id}: no hub is open: {', '.join(states)}"


def _company(hub_id: str, names: Sequence[str], hubs: Mapping[str, Hub]) -> Iterator[str]:
    """The troubles of nodes that reach each other."""
    for name, hub in hubs.items():
        try:
            seen = hub.nodes(include_local=True)
        except HubkitError as error:
            yield f"hub {hub_id} on {name}: {error}"
            continue
        if seen != tuple(names):
            missing = [other for other in names if other not in seen]
            extra = [other for other in seen if other not in names]
            said = [f"does not see {', '.join(missing)}"] if missing else []
            said += [f"still believes in {', '.join(extra)}, out of its reach or gone"] if extra else []
            yield f"hub {hub_id}: {name} {' and '.join(said)}"
        ready = {name_of(node) for node in hub._driver.core.ready}
        if ready != set(seen):
            yield f"hub {hub_id}: for {name}, {', '.join(sorted(set(seen) - ready))} may not run children yet, or no more"
        if not hub.is_settled:
            yield from _unsettled(hub_id, name, hub)
    yield from _differences(hub_id, hubs)


def _unsettled(hub_id: str, name: str, hub: Hub) -> Iterator[str]:
    core = hub._driver.core
    children = core.unsettled_children()
    if not children:
        yield f"hub {hub_id}: {name} is {'about to tell what has changed' if core.live else 'still waiting to be let in'}"
    for child in children:
        try:
            why = hub.explain(child)
        except HubkitError as error:
            yield f"hub {hub_id}, as {name} sees it: child {child}: {error}"
        else:
            yield f"hub {hub_id}, as {name} sees it: {why} (rule: {why.rule})"


def _differences(hub_id: str, hubs: Mapping[str, Hub]) -> Iterator[str]:
    """Where the registries of nodes that reach each other differ."""
    first: tuple[str, Hub] | None = None
    for name, hub in hubs.items():
        driver = hub._driver_
        if driver is None or driver.closed:
            continue
        if first is None:
            first = (name, hub)
            continue
        other = first[1]._driver
        if driver.core.wants.keys() != other.core.wants.keys():
            yield from (
                f"hub {hub_id}: {first[0]} and {name} differ about whether child {child} is wanted"
                for child in sorted(driver.core.wants.keys() ^ other.core.wants.keys())
            )
        if driver.pids != other.pids:
            for child in sorted(driver.pids.keys() | other.pids.keys()):
                here, there = other.pids.get(child, ()), driver.pids.get(child, ())
                if here != there:
                    yield f"hub {hub_id}: child {child} is at {_text(here)} for {first[0]}, at {_text(there)} for {name}"


def _text(pids: Sequence[object]) -> str:
    return ", ".join(str(pid) for pid in pids) or "no pid"
