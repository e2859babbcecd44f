"""What strategies are shown, drawn: nodes, children, clusters and quorums.

Law of this room: whatever is drawn here can come up in a hub, and nothing else. Names are few and short, so that they meet;
what is legal and rare (a node that is a million times as heavy, a pin on a node that is long gone) is drawn as well. A
strategy must answer to all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from hubkit.cluster.affinity import Placement
from hubkit.cluster.policy import ChildView, ClusterView, NodeView, QuorumView
from hubkit.testing.laws.running import show

__all__ = [
    "FACTS",
    "NAMES",
    "Names",
    "PlaceCase",
    "Sight",
    "again",
    "clusters",
    "node_of",
    "node_sets",
    "peers",
    "place_cases",
    "quorums",
]

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
START = "app:Actor"

#: load, actors, weight and labels of a node: one draw, the simplest first
FACTS: st.SearchStrategy[tuple[float, tuple[str, ...], float, dict[str, str]]] = st.sampled_from(
    [
        (0.0, ("*",), 1.0, {}),
        (0.0, (START,), 1.0, {}),
        (0.5, ("*",), 1.0, {"zone": "eu"}),
        (0.0, ("*",), 2.0, {}),
        (0.0, (START, "app:Other"), 0.25, {"zone": "us", "disk": "ssd"}),
        (7.25, ("*",), 1.0, {}),
        (0.0, ("*",), 3.0, {"zone": "eu"}),
        (1.0, ("*",), 1e-6, {}),
        (0.0, ("*",), 1e6, {"zone": "us"}),
    ]
)


@dataclass(frozen=True, slots=True)
class PlaceCase:
    """A question to `Distribution.place`."""

    child: ChildView
    nodes: tuple[NodeView, ...]
    copies: int

    @property
    def asked(self) -> str:
        """As it is written in a program."""
        return f"place({show(self.child)}, {show(self.nodes)}, {self.copies})"

    @property
    def names(self) -> list[str]:
        """Of the nodes."""
        return [node.name for node in self.nodes]


@dataclass(frozen=True, slots=True)
class Sight:
    """A question to `PartitionTolerance.allowed`; and a member that is out of sight, if there is one."""

    view: ClusterView
    silent: str | None

    @property
    def asked(self) -> str:
        """As it is written in a program."""
        return f"allowed({show(self.view)})"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of nodes, and one more: a set of voters, or of nodes in sight, that may grow."""

    names: tuple[str, ...]
    others: tuple[str, ...]
    view: QuorumView

    @property
    def asked(self) -> str:
        """As it is written in a program."""
        return f"is_quorum({show(self.names)}, {show(self.view)}), or needs of that,"


def node_sets(named: tuple[str, ...] = (), least: int = 1) -> st.SearchStrategy[tuple[NodeView, ...]]:
    """Some nodes, sorted by name."""
    drawn = st.dictionaries(st.sampled_from([*NAMES, *named]), FACTS, min_size=least, max_size=6)
    return drawn.map(lambda found: tuple(node_of(name, facts) for name, facts in sorted(found.items())))


def node_of(name: str, facts: tuple[float, tuple[str, ...], float, dict[str, str]]) -> NodeView:
    """A node of this name, with what was drawn from `FACTS`."""
    load, actors, weight, labels = facts
    return NodeView(name, load, actors, weight, dict(labels))


@st.composite
def place_cases(draw: st.DrawFn, named: tuple[str, ...] = (), least: int = 1) -> PlaceCase:
    """A child, the nodes that can run it, and the number of copies. ``named``: names that the strategy has itself."""
    found = draw(node_sets(named, least))
    number = draw(st.integers(0, 99))
    id = f"c{number}" if draw(st.booleans()) else draw(st.text(min_size=1, max_size=4))
    pins = tuple(draw(st.lists(st.sampled_from([*NAMES, "gone", *named]), max_size=3, unique=True)))
    tag = draw(st.sampled_from([None, None, "t", "a tag"]))
    kind = draw(st.sampled_from(["plain", "plain", "plain", "labels", "together", "apart"]))
    placement = None
    if kind == "labels":
        placement = Placement({"room": "7"})
        found = tuple(replace(node, labels={**node.labels, "room": "7"}) for node in found)
    elif kind == "together":
        placement = Placement(together=id)  # who asks gives the key for the id
    elif kind == "apart":
        placement, pins = Placement(apart=id, slot=draw(st.integers(0, 3))), ()
    copies = draw(st.integers(1, 4))
    return PlaceCase(ChildView(id, START, tag, pins, placement), found, copies)


def again(case: PlaceCase) -> PlaceCase:
    """An equal case, made anew; what has no order comes in another one."""
    anew = tuple(
        NodeView(node.name, node.load, tuple(node.actors), node.weight, dict(reversed(list(node.labels.items()))))
        for node in case.nodes
    )
    child = case.child
    placement = child.placement
    if placement is not None:
        turned = dict(reversed(list(placement.labels.items())))
        placement = Placement(turned, placement.together, placement.apart, placement.slot)
    return PlaceCase(ChildView(child.id, child.start, child.tag, tuple(child.pins), placement), anew, case.copies)


@st.composite
def clusters(draw: st.DrawFn, named: tuple[str, ...] = ()) -> Sight:
    """Who is there; and a member that is out of sight, if there is one."""
    members = draw(st.sets(st.sampled_from([*NAMES, *named]), min_size=1))
    alive = draw(st.sets(st.sampled_from(sorted(members)), min_size=1))
    now = draw(st.sampled_from([0.0, 5.0, 100.0, 86_400.5]))
    silent = sorted(members - alive)
    gone = sorted(set(NAMES) - members)
    removed = draw(st.sets(st.sampled_from(gone))) if gone else set()  # they are remembered for a while
    ages = st.sampled_from([0.0, 1.0, 29.0, 31.0, 3000.0])
    lost = [(name, now - draw(ages)) for name in sorted({*silent, *removed})]
    view = ClusterView(tuple(sorted(members)), tuple(sorted(alive)), now, tuple(lost))
    return Sight(view, draw(st.sampled_from(silent)) if silent else None)


@st.composite
def quorums(draw: st.DrawFn, named: Collection[str]) -> Names:
    """Two sets of names without a name in common, and what the map says. ``named``: names that the strategy knows itself."""
    universe = sorted({*NAMES[: draw(st.integers(1, 6))], *named})
    side = draw(st.lists(st.sampled_from([0, 1, 2]), min_size=len(universe), max_size=len(universe)))
    one = tuple(name for name, where in zip(universe, side, strict=True) if where == 1)
    other = tuple(name for name, where in zip(universe, side, strict=True) if where == 2)
    size = draw(st.sampled_from([0, len(universe), len(universe) + 1]))
    voters = (
        frozenset(draw(st.sets(st.sampled_from(universe)))) | frozenset(named) if draw(st.booleans()) else frozenset()
    )
    return Names(one, other, QuorumView(size, voters))


def peers(most: int = 12) -> st.SearchStrategy[list[str]]:
    """Ids of linked nodes, sorted."""
    ids = [f"{name}{number}#{number + 1}" for name in "ab" for number in range(most)]
    return st.lists(st.sampled_from(ids), unique=True, max_size=most).map(sorted)
