"""Whom to dial, when, and for how long: for ever, until they are linked or forgotten.

Law of this room: an address is a target as long as it is a seed or a member is known to live there. A target is left in
peace while its node is linked. Otherwise it is dialled: at once when its link has just broken (its answer is evidence),
soon after a failure, then ever more rarely up to `RETRY_MAX`, each wait shortened at random so that nodes which failed
together do not come back together. An address that was found, not written down, is left in peace for `LEFT` when its node
has said goodbye: name servers go on telling of it for a while.

What others tell of nodes that nobody here has met is hearsay: no more than `HEARSAY` of them are dialled, none for ever, and
none in the place of a node that is linked. No more than `HEARSAY` are remembered of those who are to live where somebody else
does. And to be told of a node costs the same, however many are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import trio

from hubkit.environment import Environment
from hubkit.errors import DialRefused, HandshakeRefused, HubkitError
from hubkit.logs import Log
from hubkit.net.lines import one_line
from hubkit.pids import NodeId, boot_of, name_of

__all__ = ["HEARSAY", "Dialer", "DialerEvents", "Target"]

logger: Log = Log("hubkit.net")

RETRY_FIRST = 0.05
RETRY_MAX = 2.0
#: Before the first dial to a member heard of from others, if its id is the lesser one: it has heard of us, too, and dials.
COURTESY = 0.1
#: Between looks at an address that leads back to this node: behind a name there may be another one next time.
OWN_ADDRESS = 30.0
#: Between looks at an address whose node has said goodbye, while somebody still tells of it.
LEFT = 30.0
#: Lines of the log an hour about addresses that were found, and do not answer. Others may be told of without end.
FOUND_LINES = 64
#: Nodes that were only heard of from others, and are dialled; and seconds after which one that never answered is left in peace.
HEARSAY = 256
GIVEN_UP = 600.0
#: Seconds in which it is said once of one name that it tells of too many.
QUIET = 60.0
_STEADY = 1.0  # seconds that a link must have lasted for its end to be followed by a dial at once


@dataclass(eq=False, slots=True)
class Target:
    """One address."""

    address: str
    seed: bool = False
    written: bool = False  # a seed that somebody has written down
    left: NodeId | None = None  # who lived there, and has said goodbye
    node: NodeId | None = None  # who lives there, as far as known
    suspect: NodeId | None = None  # who lived there, and whose link broke without a word
    tried: bool = False
    failures: int = 0
    failed: str = ""  # the last failure, so that a lasting one is logged once
    courtesy: float = 0.0
    ended: trio.Event = field(default_factory=trio.Event)  # its node's link has
    hurry: trio.Event = field(default_factory=trio.Event)  # ... and it had lasted
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


def _strike(table: dict[str, dict[NodeId, None]], key: str, node: NodeId) -> None:
    nodes = table[key]
    del nodes[node]
    if not nodes:
        del table[key]


class DialerEvents(Protocol):
    """What the dialer needs of the mesh."""

    @property
    def leaving(self) -> bool:
        """Whether this node says goodbye: nothing more is dialled."""
        ...

    def is_linked(self, node: NodeId) -> bool:
        """Whether there is a link to ``node``, whichever side dialled."""
        ...

    async def connect(self, target: Target) -> None:
        """Dial, greet, and carry the link to its end. Raises why there was none."""

    def refused(self, node: NodeId) -> None:
        """The address of ``node``, whose link broke without a word, does not answer for it any more: it is dead."""

    def seed_failed(self, address: str, error: Exception) -> None:
        """A seed did not let us in."""

    def seeds_exhausted(self) -> None:
        """Every seed has been tried, and none let us in; told once."""


class Dialer:
    """The targets of one mesh, and a task for each."""

    def __init__(self, me: NodeId, events: DialerEvents, environment: Environment) -> None:
        self._me = me
        self._events = events
        self._environment = environment
        self._targets: dict[str, Target] = {}
        self._members: dict[NodeId, str] = {}
        self._names: dict[str, dict[NodeId, None]] = {}  # the same by their names,
        self._living: dict[str, dict[NodeId, None]] = {}  # and by their addresses
        self._surplus: set[NodeId] = set()  # those who are to live where somebody else does, as others tell
        self._unmet: dict[str, float] = {}  # addresses that only others have told of, and since when they are dialled
        self._overheard: dict[str, float] = {}  # who has told of too many, and when that was said
        self._nursery: trio.Nursery | None = None
        self._seeds_known = False
        self._said_exhausted = False
        self._lines, self._lines_since = 0, environment.now()

    async def run(self) -> None:
        """Pursue all targets until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for target in list(self._targets.values()):
                    nursery.start_soon(self._pursue, target)
                self._look_for_exhaustion()
                await trio.sleep_forever()
            finally:
                self._nursery = None  # who tells of addresses now tells in vain

    # -- what is known

    @property
    def missing(self) -> list[tuple[NodeId | None, str, str]]:
        """The targets that are pursued, and whose node is not linked: who should live there, the address, the last error."""
        found = sorted(self._targets.items())
        linked = self._events.is_linked
        return [
            (target.node, address, target.failed)
            for address, target in found
            if not target.left and (target.failed if target.node is None else not linked(target.node))
        ]

    def set_seeds(self, seeds: Mapping[str, bool], complete: bool) -> None:
        """These are the seeds now; `True`: it was written down. ``complete``: nothing is known to be missing from them."""
        for address, written in seeds.items():
            target = self._target(address)
            target.seed, target.written = True, written
        for address, target in list(self._targets.items()):
            if target.seed and address not in seeds:
                target.seed = target.written = False
                self._drop_if_needless(target)
        self._seeds_known = self._seeds_known or complete
        self._look_for_exhaustion()

    def know(self, node: NodeId, address: str, *, by: NodeId | None = None) -> None:
        """A member lives at this address. Of two boots of one name the newer one counts.

        ``by``: another says so; the two may both dial, and the lesser id waits a moment.
        """
        courtesy, name = by is not None, name_of(node)
        if not courtesy:
            self._unmet.pop(address, None)
            self._surplus.discard(node)
        if node == self._me or self._members.get(node) == address:
            return
        surplus = courtesy and any(name_of(other) != name for other in islice(self._living.get(address, ()), 2))
        if courtesy and self._is_too_much(address, surplus=surplus):
            self._complain(by or "", node)
            return
        for other in list(self._names.get(name, ())):
            if boot_of(other) > boot_of(node) or (courtesy and self._events.is_linked(other)):
                return
            self.forget(other)
        self._members[node] = address
        self._names.setdefault(name, {})[node] = None
        self._living.setdefault(address, {})[node] = None
        if surplus:
            self._surplus.add(node)
        target = self._target(address, courtesy=COURTESY if courtesy and node < self._me else 0.0)
        if courtesy and target.node is None and not target.seed:
            self._unmet.setdefault(address, self._environment.now())
        if target.node is None or name_of(target.node) == name_of(node) or not self._events.is_linked(target.node):
            target.node = node
        if target.left is not None and target.left != node:  # another one lives there by now
            target.left = None
            target.hurry.set()

    def _is_too_much(self, address: str, *, surplus: bool) -> bool:
        """Whether there is enough hearsay already to do without this."""
        if surplus:
            return len(self._surplus) >= HEARSAY
        return address not in self._targets and len(self._unmet) >= HEARSAY

    def _complain(self, by: NodeId, node: NodeId) -> None:
        now, name = self._environment.now(), name_of(by)
        if now - self._overheard.get(name, -QUIET) < QUIET:
            return
        if len(self._overheard) >= HEARSAY:
            del self._overheard[next(iter(self._overheard))]
        self._overheard[name] = now
        logger.warning("%s tells of more than %d nodes that nobody here has met: %s is not dialled", by, HEARSAY, node)

    def forget(self, node: NodeId) -> None:
        """A member is gone for good: do not dial it any more (unless its address is a seed)."""
        address = self._members.pop(node, None)
        if address is not None:
            _strike(self._names, name_of(node), node)
            _strike(self._living, address, node)
            self._surplus.discard(node)
            target = self._targets[address]
            if target.node == node:
                target.node = None
            self._drop_if_needless(target)

    def goodbye(self, node: NodeId) -> None:
        """A member says that it leaves."""
        for target in self._targets.values():
            if target.node == node:
                target.left = None if target.written else node
                target.ended.set()
        self.forget(node)

    def _target(self, address: str, *, courtesy: float = 0.0) -> Target:
        target = self._targets.get(address)
        if target is None:
            target = self._targets[address] = Target(address, courtesy=courtesy)
            if self._nursery is not None:
                self._nursery.start_soon(self._pursue, target)
        return target

    def _drop_if_needless(self, target: Target) -> None:
        if target.seed or target.address in self._living:
            return
        del self._targets[target.address]
        self._unmet.pop(target.address, None)
        if target.node is None or not self._events.is_linked(target.node):
            target.scope.cancel()
        # Otherwise its task may be carrying the link; it ends with it.

    def link_down(self, node: NodeId, *, suspicious: bool, lasted: float) -> None:
        """The link to ``node`` has ended; ``suspicious``: nobody has said why. Its address is asked at once.

        But not if the link ``lasted`` no time: two nodes that will have nothing of each other must not go on for ever at it.
        """
        for target in self._targets.values():
            if target.node == node or self._members.get(node) == target.address:
                if suspicious:
                    target.suspect = node
                target.failures = target.failures + 1 if lasted < _STEADY else 0
                target.ended.set()
                if not target.failures:
                    target.hurry.set()

    def link_up(self, node: NodeId) -> None:
        """``node`` is linked, by whatever dial."""
        self._said_exhausted = False
        for target in self._targets.values():
            if target.suspect == node:
                target.suspect = None
            if target.node == node:
                target.left = None

    def all_links_lost(self) -> None:
        """No link is left: the seeds count as untried again."""
        for target in self._targets.values():
            target.tried = False
        if any(target.left for target in self._targets.values()):  # these will not be tried soon
            self._look_for_exhaustion()

    # -- dialling

    async def _pursue(self, target: Target) -> None:
        with target.scope:
            if target.courtesy:
                await self._rest(target, target.courtesy)
            while not self._events.leaving and self._targets.get(target.address) is target:
                if target.node is not None and self._events.is_linked(target.node):
                    target.ended = trio.Event()
                    await target.ended.wait()
                    if target.failures or target.left:  # its link did not last, or is not wanted any more
                        await self._rest(target, self._patience(target))
                    continue
                try:
                    await self._events.connect(target)
                except Exception as error:
                    # Whatever it is: an address that others told of must not end this node, nor the other dials.
                    if not isinstance(error, HubkitError | OSError):
                        logger.exception("dialling %s: an error here", target.address)
                    await self._rest(target, self._failure(target, error))
                else:
                    target.failed = ""
                    if target.failures or target.left:
                        await self._rest(target, self._patience(target))

    def _failure(self, target: Target, error: Exception) -> float:
        """Note a failed dial; returns how long to wait before the next."""
        refusal = error if isinstance(error, HandshakeRefused) else None
        own = refusal is not None and refusal.code == "self"
        duplicate = refusal is not None and refusal.code == "duplicate"
        if isinstance(error, DialRefused) and target.suspect is not None:
            suspect, target.suspect = target.suspect, None
            self._events.refused(suspect)
        if target.failed != (said := one_line(error)) and not own and not duplicate:
            target.failed = said
            if self._may_tell(target):
                logger.info("dialling %s: %s", target.address, said)
        target.tried = True
        target.failures += 1
        since = self._unmet.get(target.address)
        if since is not None and self._environment.now() - since > GIVEN_UP:
            for node in list(self._living.get(target.address, ())):
                self.forget(node)
        if target.seed:
            if not own and not duplicate:
                self._events.seed_failed(target.address, error)
            self._look_for_exhaustion()
        return OWN_ADDRESS if own else self._patience(target)

    def _may_tell(self, target: Target) -> bool:
        """Whether a failure goes into the log: those of addresses that were found only fill so many lines an hour."""
        if target.written or not target.seed:
            return True
        now = self._environment.now()
        if now - self._lines_since >= 3600.0:
            self._lines, self._lines_since = 0, now
        self._lines += 1
        if self._lines == FOUND_LINES:
            logger.info("dialling more addresses that were found, which are not logged for an hour")
        return self._lines < FOUND_LINES

    def _patience(self, target: Target) -> float:
        """How long to wait after so many failures."""
        if target.left:
            return LEFT * self._environment.jitter()
        most: float = RETRY_FIRST * 2.0 ** min(max(target.failures - 1, 0), 16)
        return min(RETRY_MAX, most) * self._environment.jitter()

    async def _rest(self, target: Target, seconds: float) -> None:
        """Wait, but no longer than until the end of a link to the target that had lasted."""
        target.hurry = trio.Event()
        with trio.move_on_after(seconds):
            await target.hurry.wait()

    def _look_for_exhaustion(self) -> None:
        if self._said_exhausted or not self._seeds_known or self._nursery is None:
            return
        if all(target.tried or target.left for target in self._targets.values() if target.seed):
            self._said_exhausted = True
            self._events.seeds_exhausted()
