"""What users pass to start children, checked at the call, and turned into wants.

Law of this room: pure, and all at once: whatever is wrong about any of the children is said before one of them is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hubkit.cluster.affinity import Placement
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Want
from hubkit.errors import ConfigurationError, NotSerializable
from hubkit.hub.wants import Wish, check_metadata, check_specs, close_wish
from hubkit.net.payload import Payloads
from hubkit.specs import ChildSpec, check_id
from hubkit.strategies import Guided

__all__ = ["Nodes", "Placements", "check_declared", "close_wishes", "repinned", "rolls_back"]

Nodes = Mapping[str, Sequence[str]] | Sequence[str] | None
Placements = Placement | Mapping[str, Placement] | None


def close_wishes(
    specs: Iterable[ChildSpec],
    *,
    metadata: Any,
    child_metadata: Mapping[str, Any] | None,
    tag: str | None,
    nodes: object,
    placement: object,
    strategies: Strategies,
    members: Iterable[str],
    payloads: Payloads,
) -> tuple[dict[str, Want], dict[str, Exception]]:
    """The wants of these children, by id, and what is wrong with those that cannot travel. Raises `ConfigurationError`."""
    found = check_specs(specs)
    own = check_metadata(child_metadata, found)
    placements = _placements(placement, found, strategies)
    pins = _pins(nodes, found, strategies, sorted(set(members)))
    wants: dict[str, Want] = {}
    errors: dict[str, Exception] = {}
    for spec in found:
        try:
            want = close_wish(Wish(spec, own.get(spec.id, metadata), tag), payloads)
        except NotSerializable as error:
            errors[spec.id] = error
            continue
        if spec.id in pins or spec.id in placements:
            want = replace(want, pins=pins.get(spec.id, ()), placement=placements.get(spec.id))
        wants[spec.id] = want
    return wants, errors


def check_declared(specs: Sequence[ChildSpec], strategies: Strategies) -> Sequence[ChildSpec]:
    """Return ``children`` if they can be started without being told where."""
    if specs and isinstance(strategies.distribution, Guided):
        msg = "children= says nothing of nodes, which Guided() needs: use start_children(..., nodes=...) when the hub is open"
        raise ConfigurationError(msg)
    return specs


def repinned(strategies: Strategies, pins: tuple[str, ...], node: str) -> tuple[str, ...]:
    """The pins of a child that is moved to a node: with a distribution that lives by pins, the other copies stay."""
    if not isinstance(strategies.distribution, Guided) and not hasattr(strategies.distribution, "assign"):
        return (node,)
    others = tuple(name for name in pins if name != node)
    return (node, *(others if node in pins else others[1:]))


def _placements(placement: object, specs: Sequence[ChildSpec], strategies: Strategies) -> dict[str, Placement]:
    if placement is None:
        return {}
    if isinstance(placement, Placement):
        found: dict[Any, Any] = dict.fromkeys((spec.id for spec in specs), placement)
    elif isinstance(placement, Mapping):
        found = dict(placement)
        _check_known("placement", found, specs)
    else:
        msg = f"placement must be a hubkit.Placement, or map child ids to them, not {placement!r:.80}"
        raise ConfigurationError(msg)
    for child, asked in found.items():
        if not isinstance(asked, Placement):
            msg = f"placement of child {child!r} must be a hubkit.Placement, not {asked!r:.80}"
            raise ConfigurationError(msg)
        if asked.key is not None and isinstance(strategies.distribution, Guided):
            msg = f"placement of child {child!r}: together and apart mean nothing to Guided(), where nodes= says it all"
            raise ConfigurationError(msg)
    return found


def _pins(
    nodes: object, specs: Sequence[ChildSpec], strategies: Strategies, members: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    if not isinstance(strategies.distribution, Guided):
        if nodes is not None:
            msg = "nodes= names the nodes of each child for the Guided distribution, and this hub has another one"
            raise ConfigurationError(msg)
        return {}
    copies = strategies.redundancy.copies(len(members))
    if nodes is None:
        msg = f"the Guided distribution needs nodes=, the names of the {_many(copies)} of each child"
        raise ConfigurationError(msg)
    if not isinstance(nodes, Mapping):
        names = _names(nodes, "nodes", copies, members)
        return {spec.id: names for spec in specs}
    _check_known("nodes", nodes, specs)
    missing = next((spec.id for spec in specs if spec.id not in nodes), None)
    if missing is not None:
        msg = f"nodes says nothing of child {missing!r}: the Guided distribution needs the nodes of each child"
        raise ConfigurationError(msg)
    return {child: _names(named, f"nodes of child {child!r}", copies, members) for child, named in nodes.items()}


def _check_known(what: str, by_child: Mapping[Any, Any], specs: Sequence[ChildSpec]) -> None:
    unknown = sorted(by_child.keys() - {spec.id for spec in specs}, key=repr)
    if unknown:
        msg = f"{what} names {unknown[0]!r}, which is not among the specs"
        raise ConfigurationError(msg)


def _names(value: object, what: str, copies: int, members: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        msg = f"{what} must be a list of node names, not {value!r:.80}"
        raise ConfigurationError(msg)
    for name in value:
        if check_id(name, f"each of {what}") not in members:
            msg = f"{what} names {name!r}, which is no member of the hub ({', '.join(members)})"
            raise ConfigurationError(msg)
    if len(set(value)) != len(value):
        msg = f"{what} names a node twice: {list(value)!r:.200}"
        raise ConfigurationError(msg)
    if len(value) != copies:
        msg = f"{what} must name {_many(copies)}, as many as there are copies of a child; not {len(value)}"
        raise ConfigurationError(msg)
    return tuple(value)


def _many(copies: int) -> str:
    return "one node" if copies == 1 else f"{copies} nodes"


def rolls_back(on_failure: object) -> bool:
    """Whether what has started is to be stopped again when a child fails."""
    if on_failure not in ("continue", "rollback"):
        msg = f"on_failure must be 'continue' or 'rollback', not {on_failure!r:.80}"
        raise ConfigurationError(msg)
    return on_failure == "rollback"
