"""How much one node may want of another at a time: what is beyond that is a lie, and costs its link.

Law of this room: numbers only. Each is what honest nodes keep to by themselves, or far beyond it; so who passes one has been
told nothing but what it would not hear.
"""

from __future__ import annotations

from typing import Final

from hubkit.errors import ProtocolViolation

__all__ = ["BONDS", "CHAIN", "MARKS", "PASSED_ON_MOST", "SERVED", "WATCHES", "check_room"]

#: Requests of one node that are not answered yet. (To one actor `hubkit.node.credits.WINDOW` wait for room; ten thousand
#: answers may be owed, by a hundred actors.)
SERVED: Final = 1 << 18
#: Watches on actors here, and links with them.
WATCHES: Final = 1 << 18
BONDS: Final = 1 << 18
#: Marks that wait for room.
MARKS: Final = 1 << 16
#: Callers of a call, each of whom waits for the next.
CHAIN: Final = 1000
#: Messages in one mailbox beyond its capacity that others have passed on to it.
PASSED_ON_MOST: Final = 20_000


def check_room(count: int, most: int, what: str) -> None:
    """Raise `ProtocolViolation` if there are as many as there may be."""
    if count >= most:
        msg = f"more than {most:,} {what} of one node"
        raise ProtocolViolation(msg)
