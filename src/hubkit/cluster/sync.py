"""What travels between two cores of one hub: `Sync`, and its shape on the wire.

Law of this room: a sync is complete per writer, or says that it is not. A *delta* holds every row of each writer in
``upto`` that was written after ``since`` and stands; so whoever has seen ``since`` may say that it has seen ``upto``. A
*whole* holds every row there is, so what is absent from it and yet covered by it has been removed. A *hello* holds none: it
opens a link, or asks for the rest after a gap, and says what its sender has.

On the wire a sync is a list of plain values. Node ids are written once, in a table. Whatever comes in is checked to the
last field, and nothing that is not exactly a sync becomes one. Texts and numbers have their bounds (`hubkit.cluster.bounds`);
node rows and run rows are written by their node, or remove what it wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from hubkit.cluster.affinity import WEIGHT_MAX, WEIGHT_MIN, Placement, check_labels
from hubkit.cluster.bounds import ACTORS, BOOT, ERROR, LOAD, MOMENT, NAME, PINS, TEXT, WRITERS
from hubkit.cluster.rows import Key, NodeRow, Row, Run, Ticket, Want
from hubkit.cluster.stamps import TICKS, Moment, Stamp, Version
from hubkit.errors import ProtocolViolation
from hubkit.pids import NodeId

__all__ = ["Kind", "Sync", "from_wire", "to_wire"]

Kind: TypeAlias = Literal["hello", "delta", "whole"]


class Sync(NamedTuple):
    """One message between two cores. (A named tuple, as rows are: on every link it is made twice for whatever happens.)

    ``since``: of a delta, where it starts; of a whole, its sender's *horizon* (the newest collected tombstone of each
    writer). ``upto``: where it ends. ``have``: what its sender has seen, the acknowledgement; only the entries that it has
    not told on this link before. ``more``: the next message continues this one (a whole is taken in at its end; parts of a
    delta are deltas of their own). ``digest``: of all its sender's rows. ``votes``: the acknowledgement counts for a quorum
    (one that was started a moment ago may have acknowledged other things in its earlier life).
    """

    rows: Mapping[Key, Row]
    upto: Version
    since: Version
    have: Version
    kind: Kind
    more: bool
    digest: int
    votes: bool = False


_KINDS: Final[tuple[Kind, ...]] = ("hello", "delta", "whole")
_ROLES: Final = ("claiming", "active", "released", "passive")
_PHASES: Final = ("", "starting", "running", "failed")
_STATES: Final = ("joining", "ready", "leaving")
_KIND_CODE = {kind: code for code, kind in enumerate(_KINDS)}
_ROLE_CODE = {role: code for code, role in enumerate(_ROLES)}
_PHASE_CODE = {phase: code for code, phase in enumerate(_PHASES)}
_STATE_CODE = {state: code for code, state in enumerate(_STATES)}
_LIMIT: Final = 1 << 64
_VOTES: Final = 4

# -- out ---------------------------------------------------------------------------------------------------------------
# Layout: [kind, more, digest, table, upto, since, have, nodes, wants, runs]
#   table     [node id, ...]; everywhere else a node is its index in it
#   version   [node, ms, tick, node, ms, tick, ...]
#   node      [ms, tick, writer, node, name, address, state, load, weight, labels, actor, ...]
#   want      [ms, tick, writer, child, start, body, tag, rev, placement, pin, ...]
#   run       [ms, tick, writer, child, node, term, role, to, rev, phase, serial, error, ticket]
#   rev       None, or [ms, tick, writer]
#   ticket    None, or [term, number, giver]
#   labels    [name, value, name, value, ...], in the order of the names
#   placement None, or [labels, together, apart, slot]
# The kind is 0 to 2, and 4 more if the sync votes.
# A tombstone ends after what names its row; one of another node's row has two more numbers, of `Row.seen`.


class _Table(dict[NodeId, int]):
    """Node ids in order of first use."""

    def __missing__(self, node: NodeId) -> int:
        self[node] = index = len(self)
        return index


def to_wire(sync: Sync) -> list[Any]:
    """The sync as a list of None, bool, int, float, str, bytes and lists of these."""
    table = _Table()
    nodes: list[Any] = []
    wants: list[Any] = []
    runs: list[Any] = []
    row: list[Any]
    for key, ((time_ms, tick, writer), value, seen) in sync.rows.items():
        match key:
            case ("run", child, node):
                row = [time_ms, tick, table[writer], child, table[node]]
                if value is not None:
                    assert isinstance(value, Run)
                    term, role, to, rev, phase, serial, error, ticket = value
                    row += (
                        term,
                        _ROLE_CODE[role],
                        None if to is None else table[to],
                        None if rev is None else [rev[0], rev[1], table[rev[2]]],
                        _PHASE_CODE[phase],
                        serial,
                        error,
                        None if ticket is None else [ticket[0], ticket[1], table[ticket[2]]],
                    )
                elif seen is not None:
                    row += seen
                runs.append(row)
            case ("want", child):
                row = [time_ms, tick, table[writer], child]
                if value is not None:
                    assert isinstance(value, Want)
                    rev = value.rev
                    row += (
                        value.start,
                        value.body,
                        value.tag,
                        None if rev is None else [rev[0], rev[1], table[rev[2]]],
                        None if value.placement is None else _placement_out(value.placement),
                        *value.pins,
                    )
                wants.append(row)
            case _:
                row = [time_ms, tick, table[writer], table[key[1]]]
                if value is not None:
                    assert isinstance(value, NodeRow)
                    row += (value.name, value.address, _STATE_CODE[value.state], value.load, value.weight)
                    row += ([part for pair in value.labels for part in pair], *value.actors)
                elif seen is not None:
                    row += seen
                nodes.append(row)
    upto, since, have = (
        _version_out(sync.upto, table),
        _version_out(sync.since, table),
        _version_out(sync.have, table),
    )
    kind = _KIND_CODE[sync.kind] + _VOTES * sync.votes
    return [kind, sync.more, sync.digest, list(table), upto, since, have, nodes, wants, runs]


def _version_out(version: Version, table: _Table) -> list[int]:
    flat: list[int] = []
    for node, (time_ms, tick) in version.items():
        flat += (table[node], time_ms, tick)
    return flat


def _placement_out(placement: Placement) -> list[Any]:
    labels = [part for pair in placement.labels.items() for part in pair]
    return [labels, placement.together, placement.apart, placement.slot]


# -- in ----------------------------------------------------------------------------------------------------------------
_NONE = type(None)
_RUN_SHAPES = {
    (int, int, int, str, int, int, int, to, rev, int, int, str, ticket)
    for to in (_NONE, int)
    for rev in (_NONE, list)
    for ticket in (_NONE, list)
}
_RUN_TOMBSTONE = (int, int, int, str, int)
_RUN_BURIED = (int, int, int, str, int, int, int)
_WANT_SHAPES = {
    (int, int, int, str, str, bytes, tag, rev, placement)
    for tag in (_NONE, str)
    for rev in (_NONE, list)
    for placement in (_NONE, list)
}
_WANT_TOMBSTONE = (int, int, int, str)
_NODE_SHAPES = {(int, int, int, int, str, address, int, float, float, list) for address in (_NONE, str)}
_NODE_TOMBSTONE = (int, int, int, int)
_NODE_BURIED = (int, int, int, int, int, int)

_NodeTable: TypeAlias = dict[int, NodeId]
_Rows: TypeAlias = dict[Key, Row]


def from_wire(message: object) -> Sync:
    """The sync that `to_wire` made this list of. Raises `ProtocolViolation` for anything else."""
    try:
        return _read(message)
    except (LookupError, TypeError, ValueError) as error:
        msg = f"not a sync: {error or type(error).__name__}"
        raise ProtocolViolation(msg) from error


def _read(message: object) -> Sync:
    if type(message) is not list or len(message) < 10:
        msg = "expected a list of ten items"
        raise ValueError(msg)
    # What follows is of a later release.
    code, more, digest, names, upto_flat, since_flat, have_flat, node_rows, want_rows, run_rows = message[:10]
    votes, code = divmod(_natural(code), _VOTES)
    kind = _KINDS[code]
    if votes > 1:
        msg = "no such kind"
        raise ValueError(msg)
    if type(more) is not bool or _natural(digest) >= _LIMIT:
        msg = "expected a bool and a digest of 64 bits"
        raise ValueError(msg)
    table = _read_table(names)
    upto, since, have = (
        _read_version(upto_flat, table),
        _read_version(since_flat, table),
        _read_version(have_flat, table),
    )
    rows = _read_rows(_list(node_rows), _list(want_rows), _list(run_rows), table)
    if kind == "hello" and (rows or upto or since or more):
        msg = "a hello carries no rows, and is not continued"
        raise ValueError(msg)
    seen = upto.get
    for (time_ms, tick, writer), _, _ in rows.values():
        if time_ms < 0 or tick < 0 or tick >= TICKS or (time_ms, tick) > seen(writer, (-1, -1)):
            msg = "a row lies outside of what the sync covers"
            raise ValueError(msg)
    return Sync(rows, upto, since, have, kind, more, digest, votes == 1)


def _read_rows(node_rows: list[Any], want_rows: list[Any], run_rows: list[Any], table: _NodeTable) -> _Rows:
    rows: _Rows = {}
    if not (node_rows or want_rows or run_rows):  # an acknowledgement, as most are
        return rows
    _read_nodes(node_rows, table, rows)
    _read_wants(want_rows, table, rows)
    _read_runs(run_rows, table, rows)
    if len(rows) != len(node_rows) + len(want_rows) + len(run_rows):
        msg = "a key came twice"
        raise ValueError(msg)
    return rows


def _natural(value: object) -> int:
    if type(value) is not int or value < 0:
        msg = f"expected a natural number, not {value!r:.40}"
        raise ValueError(msg)
    return value


def _count(value: object) -> int:
    """A number that others will count on from."""
    if _natural(value) >= MOMENT:
        msg = f"{value} is beyond all counting"
        raise ValueError(msg)
    return value  # type: ignore[return-value]  # it is an int


def _list(value: object) -> list[Any]:
    if type(value) is not list:
        msg = f"expected a list, not {value!r:.40}"
        raise TypeError(msg)
    return value


def _read_table(names: object) -> _NodeTable:
    nodes = _list(names)
    if len(nodes) > WRITERS:
        msg = f"it speaks of {len(nodes):,} nodes"
        raise ValueError(msg)
    for node in nodes:
        if type(node) is not str or not _is_node_id(node):
            msg = f"expected a node id, not {node!r:.40}"
            raise ValueError(msg)
    if len(set(nodes)) != len(nodes):
        msg = "a node id stands twice in the table"
        raise ValueError(msg)
    return dict(enumerate(nodes))


@lru_cache(maxsize=1024)
def _is_node_id(text: str) -> bool:
    name, _, boot = text.rpartition("#")
    if not (2 < len(text) <= NAME and name and boot.isascii() and boot.isdigit() and len(boot) < 20):
        return False
    return int(boot) < BOOT and text.isprintable()


def _read_version(flat: object, table: _NodeTable) -> dict[NodeId, Moment]:
    numbers = _list(flat)
    version: dict[NodeId, Moment] = {}
    if not numbers:
        return version
    items = iter(numbers)
    for node, time_ms, tick in zip(items, items, items, strict=False):  # most are short: nothing is faster than this
        if type(node) is not int or type(time_ms) is not int or type(tick) is not int:
            msg = f"expected three numbers for each writer, not {numbers!r:.80}"
            raise TypeError(msg)
        if not 0 <= time_ms < MOMENT or not 0 <= tick < TICKS:
            msg = f"not a moment: {time_ms}, {tick}"
            raise ValueError(msg)
        version[table[node]] = (time_ms, tick)
    if len(version) * 3 != len(numbers):
        msg = "a version has three numbers for each writer, and each writer once"
        raise ValueError(msg)
    return version


def _read_stamp(parts: Any, table: _NodeTable) -> Stamp | None:
    if parts is None:
        return None
    time_ms, tick, writer = map(_count, parts)
    return Stamp(time_ms, tick, table[writer])


def _read_ticket(parts: Any, table: _NodeTable) -> Ticket | None:
    if parts is None:
        return None
    term, number, giver = map(_count, parts)
    return Ticket(term, number, table[giver])


def _read_moment(parts: list[int]) -> Moment:
    time_ms, tick = map(_count, parts)
    return time_ms, tick


def _wrong(row: object, what: str) -> ValueError:
    return ValueError(f"not a {what} row: {row!r:.80}")


def _are_texts(parts: list[Any], most: int, longest: int) -> bool:
    return len(parts) <= most and all(type(part) is str and len(part) <= longest for part in parts)


def _read_labels(flat: list[Any]) -> dict[str, str]:
    """Labels; what is to be written down again must be in the order in which all write it down."""
    if len(flat) % 2 or not all(type(part) is str for part in flat) or flat[::2] != sorted(set(flat[::2])):
        msg = f"not labels: {flat!r:.80}"
        raise ValueError(msg)
    return check_labels(dict(zip(flat[::2], flat[1::2], strict=True)))


def _read_placement(parts: list[Any]) -> Placement:
    labels, together, apart, slot = parts
    return Placement(_read_labels(_list(labels)), together, apart, slot)


def _read_nodes(found: list[Any], table: _NodeTable, rows: _Rows) -> None:
    for row in found:
        shape = tuple(map(type, _list(row)))
        node = table[row[3]]
        value: NodeRow | None = None
        buried: Moment | None = None
        if shape[:10] in _NODE_SHAPES:
            time_ms, tick, writer, _, name, address, state, load, weight, labels, *actors = row
            own = writer == row[3] and name == node.rpartition("#")[0]
            if not own or state < 0 or not _are_texts(actors, ACTORS, TEXT) or not 0 <= load <= LOAD:
                raise _wrong(row, "node")
            if not WEIGHT_MIN <= weight <= WEIGHT_MAX or (address is not None and not _are_texts([address], 1, TEXT)):
                raise _wrong(row, "node")
            value = NodeRow(
                name, address, _STATES[state], tuple(actors), load, weight, tuple(_read_labels(labels).items())
            )
        elif shape == _NODE_TOMBSTONE and row[2] == row[3]:
            time_ms, tick, writer, _ = row
        elif shape == _NODE_BURIED and row[2] != row[3]:
            time_ms, tick, writer, _, *parts = row
            buried = _read_moment(parts)
        else:
            raise _wrong(row, "node")
        rows["node", node] = Row(Stamp(time_ms, tick, table[writer]), value, buried)


def _read_wants(found: list[Any], table: _NodeTable, rows: _Rows) -> None:
    for row in found:
        shape = tuple(map(type, _list(row)))
        value: Want | None = None
        if shape[:9] in _WANT_SHAPES:
            time_ms, tick, writer, child, start, body, tag, rev, placement, *pins = row
            if pins and not _are_texts(pins, PINS, NAME):
                raise _wrong(row, "want")
            if len(start) > TEXT or (tag is not None and len(tag) > NAME):
                raise _wrong(row, "want")
            asked = None if placement is None else _read_placement(placement)
            value = Want(start, body, tag, tuple(pins), _read_stamp(rev, table), asked)
        elif shape == _WANT_TOMBSTONE:
            time_ms, tick, writer, child = row
        else:
            raise _wrong(row, "want")
        if not 0 < len(child) <= 255:
            raise _wrong(row, "want")
        rows["want", child] = Row(Stamp(time_ms, tick, table[writer]), value)


def _read_runs(found: list[Any], table: _NodeTable, rows: _Rows) -> None:
    for row in found:
        shape = tuple(map(type, _list(row)))
        value: Run | None = None
        buried: Moment | None = None
        if shape in _RUN_SHAPES:
            time_ms, tick, writer, child, node, term, role, to, rev, phase, serial, error, ticket = row
            if writer != node or not 0 <= term < MOMENT or role < 0 or phase < 0 or not 0 <= serial < MOMENT:
                raise _wrong(row, "run")
            if len(error) > ERROR:
                raise _wrong(row, "run")
            target = None if to is None else table[to]
            given = _read_ticket(ticket, table)
            value = Run(term, _ROLES[role], target, _read_stamp(rev, table), _PHASES[phase], serial, error, given)
        elif shape == _RUN_TOMBSTONE and row[2] == row[4]:
            time_ms, tick, writer, child, node = row
        elif shape == _RUN_BURIED and row[2] != row[4]:
            time_ms, tick, writer, child, node, *parts = row
            buried = _read_moment(parts)
        else:
            raise _wrong(row, "run")
        if not 0 < len(child) <= 255:
            raise _wrong(row, "run")
        rows["run", child, table[node]] = Row(Stamp(time_ms, tick, table[writer]), value, buried)
