"""How much one hub says at the most: what is beyond that is no hub's, and nothing is taken of it.

Law of this room: numbers only, each with its reason. They are far beyond what a hub does, and far below what would fill the
memory of those who listen; ``docs/protocol.md`` has them, too.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTORS", "BOOT", "ERROR", "HELLOS", "LOAD", "MEMBERSHIPS", "MOMENT", "NAME", "NODES_ASKED", "PINS", "ROWS", "ROWS_OF_ONE",
    "SIZE", "TEXT", "WEIGHT_OF_ONE", "WRITERS",
]  # fmt: skip

#: Moments and counts are less than this: whoever counts on from one stays within 64 bits.
MOMENT: Final = 1 << 62
#: Boot numbers are less than this, for the same reason. (Milliseconds since 1970 will do for 290 million years.)
BOOT: Final = 10**18

#: Characters of an address, or of the wire name of an actor; of a node id or an id; and of the error of a parked child.
TEXT: Final = 500
NAME: Final = 300
ERROR: Final = 4096
#: Actors that one node can start, and nodes that one child is pinned to.
ACTORS: Final = 20_000
PINS: Final = 1024
#: How busy a node can be.
LOAD: Final = 1e6

#: Rows that one node writes, and the bytes of the specs in them. (Each costs every node of the hub half a kilobyte, and more.)
ROWS_OF_ONE: Final = 1 << 19
WEIGHT_OF_ONE: Final = 1 << 28
#: Rows of a map beyond which nothing is taken of writers that are neither linked nor members.
ROWS: Final = 1 << 20
#: Writers that a sync, or a map, knows of. (Each start of a node is one, and is forgotten some time after its last row.)
WRITERS: Final = 1 << 16

#: Whole answers to hellos that one link gets in a beat. (An honest peer asks once a beat at the most.)
HELLOS: Final = 4

#: The size of a quorum.
SIZE: Final = 4096

#: Memberships in groups of the actors of one node, and nodes asked about, or told of, in one message about groups.
MEMBERSHIPS: Final = 1 << 19
NODES_ASKED: Final = 1 << 14
