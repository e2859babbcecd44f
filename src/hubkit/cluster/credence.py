"""What is not to be believed, whoever says it.

Law of this room: a message that no honest and sane node would send, and that would harm for ever if it were believed, is
refused whole, and so is what follows on its link. What an honest node may have been told by a liar is no guilt of its own:
it is *set aside*, and asked for again a beat later.

Clocks are bounded in three grades, because honest ones differ, too. What a node says of itself may be ``drift_max`` ahead of
my clock; what it says of others three quarters of that; and my own stamps follow no more than half of it (`DRAG`). So a liar
at the very limit drives no honest node beyond what the others take from it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeAlias

from hubkit.cluster.bounds import ROWS, ROWS_OF_ONE, WEIGHT_OF_ONE, WRITERS
from hubkit.cluster.rows import Run, Want
from hubkit.cluster.settings import PREFIX, is_plausible
from hubkit.cluster.stamps import NEVER, Moment
from hubkit.cluster.store import Store
from hubkit.cluster.sync import Sync
from hubkit.pids import NodeId

#: Nodes that are no strangers: members, and who is linked.
Known: TypeAlias = tuple[Container[NodeId], ...]

__all__ = ["DRAG", "HEARSAY", "LEAP", "incredible", "weigh", "without"]

#: The most by which a term may be ahead of all that is known here. (A bound for terms themselves could be reached by one
#: lie, and then nobody could ever take the child over. By lies of this size it takes more of them than can be sent.)
LEAP = 1 << 24
#: The shares of ``drift_max`` up to which my clock follows others, and up to which hearsay is taken.
DRAG, HEARSAY = 0.5, 0.75


def incredible(
    peer: NodeId, sync: Sync, newest: Moment, runs: Mapping[str, Mapping[NodeId, Run]], wall_ms: int, drift_max: float
) -> str | None:
    """Why this is not to be believed; `None`: it may be. ``drift_max``: seconds by which a stamp may be ahead.

    ``newest``: the newest moment that it speaks of.
    """
    ahead, most = newest[0] - wall_ms, drift_max * 1000
    if ahead > most and (ahead > 2 * most or max(sync.upto.get(peer, NEVER), sync.have.get(peer, NEVER)) == newest):
        return f"a clock there is {ahead / 1000:.0f} s ahead of mine; at most {drift_max:g} s are allowed"
    if sync.kind == "whole" and any(moment > sync.upto.get(writer, NEVER) for writer, moment in sync.since.items()):
        return "it has forgotten removals that it has never seen"
    for key, row in sync.rows.items():
        value = row.value
        if value is None:
            if row.seen is not None and row.seen[0] - wall_ms > most:
                return f"it removes {key[0]} rows of {key[-1]!r:.80} that will be written {_ahead(row.seen, wall_ms)} from now"
        elif isinstance(value, Run):
            if value.term > LEAP or (value.ticket is not None and value.ticket.term > LEAP):
                last = max((run.term for run in runs.get(key[1], {}).values()), default=0)
                term = value.term if value.ticket is None else max(value.term, value.ticket.term)
                if term > last + LEAP:
                    return f"it gives child {key[1]!r:.80} the term {term}, after {last}: terms grow one by one"
        elif key[0] == "want" and key[1].startswith(PREFIX):
            assert isinstance(value, Want)
            if not is_plausible(key[1], value):
                return f"the setting {key[1]!r:.80} is none that a hub can have"
    return None


def _ahead(moment: Moment, wall_ms: int) -> str:
    return f"{(moment[0] - wall_ms) / 1000:.0f} s"


def _set_aside(peer: NodeId, sync: Sync, newest: Moment, wall_ms: int, drift_max: float) -> set[NodeId]:
    """Writers of whom others tell what is too far ahead to be taken from them now: it may be believed later."""
    limit: Moment = (wall_ms + int(drift_max * HEARSAY * 1000), 0)
    if newest <= limit:  # as always
        return set()
    return {w for version in (sync.upto, sync.have) for w, moment in version.items() if moment > limit and w != peer}


def _overfull(peer: NodeId, sync: Sync, store: Store, known: Known) -> dict[NodeId, str]:
    """Writers of whom there would be more than one may have, and why."""
    found: dict[NodeId, str] = {}
    rows, crowd = len(sync.rows), len(store.rows) + len(sync.rows) > ROWS
    weight = sum([len(row[1].body) for key, row in sync.rows.items() if key[0] == "want" and isinstance(row[1], Want)])
    if not weight and len(store.rows) + rows <= min(ROWS_OF_ONE, ROWS):  # as nearly always
        return found
    for writer in sync.upto:
        if store.count(writer) + rows > ROWS_OF_ONE:
            new = sum(row.stamp.node == writer and key not in store.rows for key, row in sync.rows.items())
            if new and store.count(writer) + new > ROWS_OF_ONE:
                found[writer] = f"{writer} would have more rows than the {ROWS_OF_ONE:,} that one node can write"
        elif crowd and not any(writer in nodes for nodes in known):
            found[writer] = f"there are {ROWS:,} rows already, and {writer} is no member"
        elif weight and weight + store.weight.get(writer, 0) > WEIGHT_OF_ONE:
            found[writer] = f"the specs that {writer} writes would be larger than {WEIGHT_OF_ONE:,} bytes together"
    return found


def weigh(
    peer: NodeId, sync: Sync, store: Store, runs: Mapping[str, Mapping[NodeId, Run]], known: Known, wall_ms: int,
    drift_max: float, pending: int = 0,
) -> Sync | str:  # fmt: skip
    """What is to be taken of a message: all of it, or less (the very same object, or another), or why nothing at all.

    ``pending``: rows of the same whole map that came before.
    """
    newest = max([NEVER, *sync.upto.values(), *sync.have.values()])
    reason = incredible(peer, sync, newest, runs, wall_ms, drift_max)
    if reason is not None:
        return reason
    aside: set[NodeId] = (
        set()
    )  # (what follows is looked at only where it can matter: all of it is on the way of each message)
    if newest[0] >= wall_ms + drift_max * HEARSAY * 1000:
        aside = _set_aside(peer, sync, newest, wall_ms, drift_max)
    if len(sync.upto) + len(sync.have) + len(store.version) >= WRITERS // 4:
        new = {*sync.upto, *sync.have} - store.version.keys()
        if len(new) > WRITERS // 4:
            return f"it tells of {len(new):,} new writers: no hub has so many"
        if len(new) + len(store.version) > WRITERS:
            aside |= new - {peer}
    if not sync.rows:
        return without(sync, aside) if aside else sync
    if pending + len(sync.rows) > 2 * ROWS:
        return f"it tells of {pending + len(sync.rows):,} rows: no hub has so many"
    if found := _overfull(peer, sync, store, known):
        if peer in found:
            return found[peer]
        aside |= found.keys()
    return without(sync, aside) if aside else sync


def without(sync: Sync, writers: Container[NodeId]) -> Sync:
    """The same sync, but that it says nothing of these writers."""
    rows = {key: row for key, row in sync.rows.items() if row.stamp.node not in writers}
    upto = {writer: moment for writer, moment in sync.upto.items() if writer not in writers}
    have = {writer: moment for writer, moment in sync.have.items() if writer not in writers}
    return sync._replace(rows=rows, upto=upto, have=have)
