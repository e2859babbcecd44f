"""The map: stamped rows, joined by one function.

Law of this room: `join` is commutative, associative and idempotent; any order, any repetition, the same map. Of two
writings of one key one stands, by an order on which all agree (`hubkit.cluster.rows.stands`). A removal is a tombstone
until everybody concerned has seen it; from then on the *version* remembers it: a row that is covered, and not there, has
been removed.

Rows are kept in a log per writer, oldest first, so that a delta costs what has changed and not what there is; so are the
tombstones. The *horizon* is the newest collected tombstone of each writer: to somebody who has not seen that far, a delta
would not tell of those removals, and only the whole map will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

from hubkit.cluster.rows import Key, Row, Value, stands
from hubkit.cluster.stamps import NEVER, HybridClock, Moment, Stamp, Version, covers, includes
from hubkit.pids import NodeId

__all__ = ["Store"]

_MASK = (1 << 64) - 1


def _stamp_of(item: tuple[Key, Row]) -> Stamp:
    return item[1][0]


@lru_cache(maxsize=1024)
def _salt(node: NodeId) -> int:
    return int.from_bytes(blake2b(node.encode(), digest_size=8).digest(), "big")


def fingerprint(stamp: Stamp) -> int:
    """64 well-mixed bits that name one write."""
    mixed = ((stamp[0] << 20) + stamp[1] ^ _salt(stamp[2])) * 0x9E3779B97F4A7C15 & _MASK
    return (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & _MASK


class Store:
    """The replicated map as one node has it.

    ``changed`` collects the keys whose rows have changed, for whoever clears it. ``digest`` is the exclusive or of the
    fingerprints of all rows that are no tombstones: equal maps have equal digests, whatever has been collected. ``weight``: the
    bytes of the specs that each writer has in the map. ``buried``: how many tombstones there are of rows of other nodes.
    ``forged``: rows that others had told in their writers' names, who never wrote them; for whoever clears it.
    """

    __slots__ = (
        "_graves",
        "_log",
        "buried",
        "changed",
        "clock",
        "digest",
        "forged",
        "horizon",
        "rows",
        "version",
        "weight",
    )

    def __init__(self, clock: HybridClock) -> None:
        self.clock: HybridClock = clock
        self.rows: dict[Key, Row] = {}
        self.version: dict[NodeId, Moment] = {}
        self.horizon: dict[NodeId, Moment] = {}
        self.changed: list[Key] = []
        self.digest: int = 0
        self.weight: dict[NodeId, int] = {}
        self.buried: int = 0
        self.forged: list[tuple[Key, Stamp]] = []
        self._log: dict[NodeId, dict[Key, None]] = {}  # writer -> its rows, oldest first
        self._graves: dict[NodeId, dict[Key, None]] = {}  # the same of tombstones

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Value | None:
        """The value of a key; `None` if there is none, or a tombstone."""
        row = self.rows.get(key)
        return None if row is None else row.value

    def count(self, writer: NodeId) -> int:
        """How many rows of this writer stand."""
        return len(self._log.get(writer, ()))

    def writers(self) -> Iterable[NodeId]:
        """Everybody of whom a row stands."""
        return [writer for writer, keys in self._log.items() if keys]

    def tombstones(self) -> int:
        """How many removals wait to be known to all."""
        return sum(map(len, self._graves.values()))

    def delta(self, since: Version, writers: Iterable[NodeId]) -> dict[Key, Row]:
        """Every row of these writers that ``since`` does not cover, oldest first per writer."""
        found: dict[Key, Row] = {}
        rows = self.rows
        for writer in writers:
            seen = since.get(writer, NEVER)
            fresh = []
            for key in reversed(self._log.get(writer, {})):
                row = rows[key]
                if row[0][:2] <= seen:
                    break
                fresh.append((key, row))
            found.update(reversed(fresh))
        return found

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(self, key: Key, value: Value | None, now: float) -> Stamp:
        """Write a value, or with `None` a tombstone."""
        return self.write(key, value, self.stamp(key, now))

    def stamp(self, key: Key, now: float) -> Stamp:
        """A stamp for a new writing of this key: later than what stands there, whatever clock that was written by."""
        old = self.rows.get(key)
        if old is not None and old[0][:2] > self.clock.last:
            self.clock.outdo(old[0][:2])
        return self.clock.next(now)

    def write(self, key: Key, value: Value | None, stamp: Stamp) -> Stamp:
        """Write a value under a stamp that `stamp` has just made."""
        foreign = value is None and key[0] != "want" and key[-1] != stamp.node
        self._set(key, Row(stamp, value, self.version.get(key[-1], NEVER) if foreign else None))
        self.version[stamp.node] = stamp[:2]
        return stamp

    def join(
        self, rows: Mapping[Key, Row], upto: Version, since: Version, by: NodeId | None = None, whole: bool = False
    ) -> list[NodeId]:
        """Take in a delta. Returns the writers for which it starts later than what is known here: of these nothing is taken.

        ``by``: whose word it is. ``whole``: then nothing is taken of the others either. They may have let go of what one of
        these has taken over, and whoever saw the one without the other would take a child for free.
        """
        gaps = [writer for writer in upto if self.version.get(writer, NEVER) < since.get(writer, NEVER)]
        if gaps and whole:
            return gaps
        if gaps:
            missed = frozenset(gaps)
            rows = {key: row for key, row in rows.items() if row.stamp.node not in missed}
            upto = {writer: moment for writer, moment in upto.items() if writer not in missed}
        if by is not None and by in upto and by in self._log:
            for key in self._forged(by, rows, since.get(by, NEVER), upto[by]):
                self.forged.append((key, self.rows[key].stamp))
                self._drop(key)
        self._take_in(rows, upto)
        return gaps

    def _forged(self, writer: NodeId, rows: Mapping[Key, Row], since: Moment, upto: Moment) -> list[Key]:
        """Rows that others have told in this writer's name, and that are not in its own delta, which is complete.

        (Wants are anyone's: one that it does not tell may have been replaced by another's, which is on its way.)
        """
        found: list[Key] = []
        for key in reversed(self._log[writer]):
            stamp = self.rows[key].stamp
            if stamp[:2] <= since:
                break
            told = rows.get(key)
            if key[0] != "want" and stamp[:2] <= upto and (told is None or told.stamp != stamp):
                found.append(key)
        return found

    def join_whole(
        self, rows: Mapping[Key, Row], upto: Version, horizon: Version, keep: Callable[[Key, Row], bool] | None = None
    ) -> list[Key]:
        """Take in a whole map: what is absent from it, and covered by it, has been removed, unless it is to be kept.

        Returns what has been. The horizon goes no further than what has been seen here: ``upto`` may leave out what is yet to
        come from its writer, and who says that it has forgotten what it never saw is not believed.
        """
        removed = [key for key, row in self.rows.items() if key not in rows and covers(upto, row.stamp)]
        if keep is not None:
            removed = [key for key in removed if not keep(key, self.rows[key])]
        for key in removed:
            self._drop(key)
        self._settle_differences(rows)
        self._take_in(rows, upto)
        for writer, moment in horizon.items():
            self._raise_horizon(writer, min(moment, self.version.get(writer, NEVER)))
        return removed

    def _settle_differences(self, rows: Mapping[Key, Row]) -> None:
        """Where both have a row that the other should have replaced, what stands by the order stands.

        That both have seen both can only be if a tombstone was collected before all who should have known it were known.
        """
        late = [(key, row) for key, row in rows.items() if key in self.rows and covers(self.version, row.stamp)]
        late = [(key, row) for key, row in late if stands(key, row, self.rows[key])]
        for key, row in late:
            self._set(key, row)
        for writer in {row.stamp.node for _, row in late}:
            for table in (self._log, self._graves):
                table[writer] = dict.fromkeys(sorted(table.get(writer, ()), key=lambda key: self.rows[key].stamp))

    def _take_in(self, rows: Mapping[Key, Row], upto: Version) -> None:
        version, mine = self.version, self.rows
        for key, row in sorted(rows.items(), key=_stamp_of) if len(rows) > 1 else rows.items():
            stamp = row[0]
            if version.get(stamp[2], NEVER) < stamp[:2]:
                old = mine.get(key)
                if old is None or stands(key, row, old):
                    self._set(key, row)
        for writer, moment in upto.items():
            if version.get(writer, NEVER) < moment:
                version[writer] = moment
                self.clock.witness(moment)

    def _set(self, key: Key, row: Row) -> None:
        if key in self.rows:
            self._drop(key)
        else:
            self.changed.append(key)
        stamp, value, _ = row
        self.rows[key] = row
        writer = stamp[2]
        self._log.setdefault(writer, {})[key] = None
        if value is None:
            self._graves.setdefault(writer, {})[key] = None
            self.buried += row[2] is not None
        else:
            self.digest ^= fingerprint(stamp)
            if key[0] == "want":
                self.weight[writer] = self.weight.get(writer, 0) + len(value.body)  # type: ignore[union-attr]  # a `Want`

    def _drop(self, key: Key) -> None:
        stamp, value, seen = self.rows.pop(key)
        del self._log[stamp[2]][key]
        if value is None:
            del self._graves[stamp[2]][key]
            self.buried -= seen is not None
        else:
            self.digest ^= fingerprint(stamp)
            if key[0] == "want":
                self.weight[stamp[2]] -= len(value.body)  # type: ignore[union-attr]  # a `Want`
        self.changed.append(key)

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def collect(self, acknowledged: Iterable[Version]) -> int:
        """Drop the tombstones that all of these versions cover; how many there were."""
        known = list(acknowledged)
        count = 0
        for writer, keys in self._graves.items():
            if not keys:
                continue
            floor = min([self.version[writer], *(version.get(writer, NEVER) for version in known)])
            done = []
            for key in keys:
                moment = self.rows[key].stamp[:2]
                if moment > floor:
                    break
                done.append((key, moment))
            for key, moment in done:
                self._drop(key)
                self._raise_horizon(writer, moment)
            count += len(done)
        return count

    def _raise_horizon(self, writer: NodeId, moment: Moment) -> None:
        if self.horizon.get(writer, NEVER) < moment:
            self.horizon[writer] = moment

    def reaches_horizon(self, version: Version) -> bool:
        """Whether a delta tells somebody with this version of every removal."""
        return includes(version, self.horizon)

    def prune(self, writer: NodeId) -> bool:
        """Drop a writer of whom no row stands from the version; whether that was so.

        Somebody who has been away since, and still holds rows of it that were removed meanwhile, could bring them back:
        so only for those who have been forgotten for long.
        """
        if self._log.get(writer):
            return False
        for table in (self.version, self.horizon):
            table.pop(writer, None)
        self.weight.pop(writer, None)
        self._log.pop(writer, None)
        self._graves.pop(writer, None)
        return True
