"""What a node remembers of one link while it lasts: what its peer has, has been told, and is owed.

Law of this room: a value without a will; `hubkit.cluster.replication` alone reads and writes it. It begins empty with each
new link, for a new link is a new life.
"""

from __future__ import annotations

from hubkit.cluster.rows import Key, Row
from hubkit.cluster.stamps import Moment
from hubkit.pids import NodeId

__all__ = ["LinkState"]


class LinkState:
    """One link, from its beginning to its end."""

    __slots__ = (
        "answer",
        "asked",
        "caught_up",
        "chunks",
        "digest",
        "greeted",
        "have",
        "hello",
        "hellos",
        "lacks",
        "met",
        "news",
        "outdated",
        "passing",
        "relay",
        "repaired",
        "since",
        "spoke",
        "told",
        "whole",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.hello: bool = True  # I owe a hello
        self.greeted: bool = False  # I have had theirs
        self.answer: bool = False  # I owe an answer to it
        self.hellos: int = 0  # how many I have had since the last beat
        self.whole: bool = False  # I owe the whole map
        self.news: bool = False  # I owe an acknowledgement, or a digest
        self.relay: bool = False  # the peer lacks what others wrote a beat ago
        self.passing: set[NodeId] = set()  # ... or must not wait for a beat for what these wrote
        self.outdated: dict[Key, Row] = {}  # ... though something else stands by now
        self.caught_up: dict[NodeId, Moment] | None = None  # of these versions it lacks nothing
        self.met: bool = False  # I have had their answer
        self.asked: bool = False  # I have sent a second hello since the last beat
        self.lacks: bool = False  # not all that came was taken: ask for it at the next beat
        self.repaired: bool = False  # ... or have given or got the whole map because of unequal digests
        self.told: dict[NodeId, Moment] = {}  # what the peer has, once all that was sent has arrived
        self.have: dict[NodeId, Moment] = {}  # what the peer knows that I have
        self.digest: int = -1  # the digest I last told
        self.since: float = now  # when it was told
        self.spoke: bool = False  # it has said since the last beat what it has
        self.chunks: dict[Key, Row] = {}  # the beginning of a whole map
