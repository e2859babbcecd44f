"""What would move if other nodes were there: the same placement as ever, asked about a hub that does not exist.

Law of this room: pure, and nothing is done. What is answered is what the rules would do, as far as it depends on who is there;
a balancer's choices depend on the load at that moment, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from hubkit.cluster.policy import NodeView
from hubkit.cluster.rows import NodeRow
from hubkit.errors import ConfigurationError
from hubkit.hub.driver import Driver
from hubkit.hub.results import Move
from hubkit.specs import check_id

__all__ = ["plan"]


def plan(driver: Driver, add: object, remove: object) -> list[Move]:
    """What would change its place, by child id; see `Hub.plan`."""
    core = driver.core
    rows = {core.nodes[node].name: core.nodes[node] for node in sorted(core.ready)}
    known = frozenset(rows)
    added, removed = _added(add), _removed(remove)
    for name in removed:
        if name not in known:
            msg = f"remove names {name!r}, which is no ready node of the hub ({', '.join(sorted(known))})"
            raise ConfigurationError(msg)
        del rows[name]
    for item in added:
        view = NodeView(item) if isinstance(item, str) else item
        if item not in known:
            labels = tuple(sorted(view.labels.items()))
            rows[view.name] = NodeRow(view.name, None, "ready", view.actors, view.load, view.weight, labels)
    return [
        Move(child, source, target)
        for child, targets in sorted(core.imagined(rows.values()).items())
        for source, target in _steps([pid.node for pid in core.pids(child)], targets)
    ]


def _steps(sources: list[str], targets: tuple[str, ...]) -> Iterable[tuple[str | None, str | None]]:
    """What goes, and what comes in its place."""
    going = [name for name in sources if name not in targets]
    coming = [name for name in targets if name not in sources]
    return zip_longest(going, coming)


def _added(value: object) -> list[str | NodeView]:
    if isinstance(value, str | NodeView) or not isinstance(value, Iterable):
        msg = f"add must be an iterable of node names or NodeViews, not {value!r:.80}"
        raise ConfigurationError(msg)
    items = list(value)
    for item in items:
        check_id(item.name if isinstance(item, NodeView) else item, "a node name")
    return items


def _removed(value: object) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        msg = f"remove must be an iterable of node names, not {value!r:.80}"
        raise ConfigurationError(msg)
    return list(dict.fromkeys(check_id(name, "a node name") for name in value))
