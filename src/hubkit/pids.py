"""What an address is: of one incarnation of an actor (`Pid`), or of a child wherever it runs (`ChildKey`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

__all__ = ["ChildKey", "NodeId", "Pid", "boot_of", "is_sound", "life_of", "name_of", "node_id"]

#: ``name#boot``: one life of a node. The boot number grows with every start of a node of that name.
NodeId = str


def node_id(name: str, boot: int) -> NodeId:
    """The id of the ``boot``-th life of the node ``name``."""
    return f"{name}#{boot}"


def name_of(node: NodeId) -> str:
    """The name in a node id. Children are placed by it, so a restarted node gets its children back."""
    return node.rpartition("#")[0]


def boot_of(node: NodeId) -> int:
    """The boot number in a node id."""
    return int(node.rpartition("#")[2])


@lru_cache(maxsize=1024)
def life_of(node: NodeId) -> tuple[str, int]:
    """The name and the boot number in a node id. (Remembered: it is asked all the time about the same few.)"""
    return name_of(node), boot_of(node)


@dataclass(frozen=True, slots=True, order=True)
class Pid:
    """One incarnation of one actor: a value, equal wherever it is read.

    ``node`` is the *name* of the node, ``incarnation`` that node's boot number, ``serial`` the number of the actor in
    that boot (from 1; never used twice).
    """

    node: str
    incarnation: int
    serial: int

    def __str__(self) -> str:
        return f"<{self.node}#{self.incarnation}.{self.serial}>"


_LONG, _MOST = 300, 1 << 62


def is_sound(node: object, incarnation: object, serial: object) -> bool:
    """Whether these can be a pid's: what else looks like one (`True` is a 1, too) must not travel, nor be taken."""
    return (
        type(node) is str
        and len(node) <= _LONG
        and type(incarnation) is type(serial) is int
        and 0 <= incarnation < _MOST
        and 0 <= serial < _MOST
    )


@dataclass(frozen=True, slots=True, order=True)
class ChildKey:
    """A child of a hub, wherever it runs now."""

    hub: str
    child: str

    def __str__(self) -> str:
        return f"{self.hub}/{self.child}"
