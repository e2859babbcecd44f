"""What a child asks of its nodes beyond what its distribution says: labels, company, and distance.

Law of this room: all of it is a pure function of the child and of the nodes, in front of whatever the distribution is. Labels
choose which nodes the distribution is shown; a common key takes the place of the child's own id when it is asked; and a slot
counts along its answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hubkit.errors import ConfigurationError
from hubkit.specs import check_count, check_id

__all__ = ["Labels", "Placement", "check_labels", "check_weight", "has_labels", "show_labels", "turned"]

#: Labels as rows carry them: sorted pairs.
Labels = tuple[tuple[str, str], ...]

LABELS_MAX = 64
SLOT_MAX = 1 << 31
WEIGHT_MIN, WEIGHT_MAX = 1e-6, 1e6

_NONE: Mapping[str, str] = MappingProxyType({})


def check_labels(value: object, what: str = "labels") -> dict[str, str]:
    """Return labels, a mapping of non-empty `str` to non-empty `str`, as a dict in the order of their names."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > LABELS_MAX:
        msg = f"{what} must be a mapping of at most {LABELS_MAX} names to values, like {{'zone': 'eu'}}; not {value!r:.80}"
        raise ConfigurationError(msg)
    for name, label in value.items():
        check_id(name, f"each name in {what}")
        check_id(label, f"the value of {name!r:.60} in {what}")
    return dict(sorted(value.items()))


def check_weight(value: object, what: str = "weight") -> float:
    """Return the weight of a node: a number from 1e-6 to 1e6, twice as much for twice as many children."""
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not WEIGHT_MIN <= number <= WEIGHT_MAX:
        msg = f"{what} must be a number from {WEIGHT_MIN:g} to {WEIGHT_MAX:g} (1 is usual), not {value!r:.80}"
        raise ConfigurationError(msg)
    return number


@dataclass(frozen=True, slots=True)
class Placement:
    """What a child asks of the nodes it is placed on; for ``placement=`` of `Hub.start_child` and its kin.

    ``labels``: only nodes that have all of these (``Hub(labels=...)``, ``Node(labels=...)``) may run it.
    ``together``: children of one key share a node, as far as their labels and actors allow the same nodes.
    ``apart``, ``slot``: children of one key and of different slots are spread: slot n (from 0) is on the n-th node of
    the key's ranking, and after the last node on the first again.

    A key works with the hashing distributions and the load balancer, which places such children by the hash of their key.
    Where a node was named by hand (`Hub.move`), that counts more. As nodes come and go, a child that is ``apart`` may move
    between nodes that stayed. A child for which no node qualifies runs nowhere until one comes, and `Hub.explain` says why.

    Example::

        eu = hubkit.Placement(labels={"zone": "eu"})
        await hub.start_child(spec, placement=eu)
        await hub.start_children(specs, placement={
            "leader": hubkit.Placement(apart="shard-7", slot=0),
            "standby": hubkit.Placement(apart="shard-7", slot=1),
        })

    Raises `ConfigurationError` for labels that are not `str` to `str`, keys that are not `str`, slots that are no natural
    number or have no ``apart``, and for both keys at once.
    """

    labels: Mapping[str, str] = field(default_factory=lambda: _NONE, hash=False)
    together: str | None = None
    apart: str | None = None
    slot: int = 0

    def __post_init__(self) -> None:
        labels = check_labels(self.labels, "Placement.labels")
        object.__setattr__(self, "labels", MappingProxyType(labels) if labels else _NONE)
        for name, key in (("together", self.together), ("apart", self.apart)):
            if key is not None:
                check_id(key, f"Placement.{name}")
        if check_count(self.slot, "Placement.slot") >= SLOT_MAX:
            msg = f"Placement.slot must be less than {SLOT_MAX}, not {self.slot}"
            raise ConfigurationError(msg)
        if self.together is not None and self.apart is not None:
            msg = "Placement takes together or apart, not both: children of one apart key and one slot share a node"
            raise ConfigurationError(msg)
        if self.slot and self.apart is None:
            msg = f"Placement(slot={self.slot}) needs apart=, the key of those that are to be spread"
            raise ConfigurationError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mappingproxy cannot be copied or pickled; a plain dict can.
        return (Placement, (dict(self.labels), self.together, self.apart, self.slot))

    @property
    def key(self) -> str | None:
        """The key that it shares with others, if there is one."""
        return self.apart if self.together is None else self.together


def has_labels(has: Mapping[str, str], needs: Mapping[str, str]) -> bool:
    """Whether a node with the labels ``has`` has all that are needed."""
    return all(has.get(name) == label for name, label in needs.items())


def show_labels(labels: Mapping[str, str]) -> str:
    """For people: ``disk=ssd, zone=eu``."""
    return ", ".join(f"{name}={label}" for name, label in sorted(labels.items()))


def turned(
    ranking: Callable[[], Sequence[str]], pins: Iterable[str], able: Iterable[str], slot: int, copies: int
) -> tuple[str, ...]:
    """At most ``copies`` nodes for a slot: those named by hand that are ``able``, then the ranking from the slot's place on."""
    there = set(able)
    pinned = tuple(name for name in pins if name in there)[:copies]
    if len(pinned) == copies:
        return pinned
    names = tuple(ranking())
    start = slot % len(names) if names else 0
    rest = [name for name in (*names[start:], *names[:start]) if name not in pinned]
    return (*pinned, *rest)[:copies]
