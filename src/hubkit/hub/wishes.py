"""Starting and stopping children: write the wish, watch the map until it has come true or cannot.

Law of this room: the map is the only thing that is changed, and the only thing that is looked at. Whoever asked may die
or be cancelled at any point: what is written stays a consistent wish. A start is over when the child runs, or has
failed, at the very revision that was written, and enough members hold that row; a stop, when no living node runs it.

Failed children are withdrawn; with ``on_failure="rollback"`` so is everything that this call had started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hubkit.actors.cell import current_chain
from hubkit.actors.system import System
from hubkit.cluster.bounds import ROWS_OF_ONE, WEIGHT_OF_ONE
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import Run, Want
from hubkit.cluster.stamps import Stamp
from hubkit.errors import (
    AlreadyStarted,
    ConfigurationError,
    Deadlock,
    HubClosed,
    NoSuchActor,
    StartFailed,
)
from hubkit.hub.arguments import close_wishes, rolls_back
from hubkit.hub.driver import Driver
from hubkit.hub.household import failure_text
from hubkit.hub.quorum import check_allowed, check_shutdown
from hubkit.hub.results import StartResult, StopResult, status_of
from hubkit.hub.wants import check_specs
from hubkit.net.payload import Payloads
from hubkit.node.answers import rebuild
from hubkit.pids import Pid, name_of
from hubkit.specs import ChildSpec

__all__ = ["HOLDERS", "starting", "stop_wants", "until_live"]

#: an awaited start or stop returns when so many members hold its row: any two deaths lose nothing
HOLDERS = 3


def check_open(driver: Driver) -> None:
    """Raise `HubClosed` when the hub has ended."""
    if driver.closed:
        msg = f"hub {driver.hub_id!r} is closed on this node: use it inside its `async with` block"
        raise HubClosed(_crash_text(driver) or msg) from driver.crash


def check_member(driver: Driver) -> None:
    """Raise `HubClosed` when this node has left the hub: what is waited for would not be heard of here any more."""
    check_open(driver)
    if driver.core.left:
        msg = f"node {name_of(driver.node)!r} has left hub {driver.hub_id!r} (it was drained): ask another node of it"
        raise HubClosed(_crash_text(driver) or msg) from driver.crash


def _crash_text(driver: Driver) -> str | None:
    """What is to be said of a hub that has ended here by an error of its own."""
    if driver.crash is None:
        return None
    return (
        f"hub {driver.hub_id!r} has ended on node {name_of(driver.node)!r} by an error in it, which its block raises, too: "
        f"{failure_text(driver.crash)}"
    )


def check_not_waiting(driver: Driver, system: System, ids: Iterable[str] | None = None) -> None:
    """Raise `Deadlock` when one of these children (by default any of this hub here) waits for the current task to go on."""
    concerned = None if ids is None else set(ids)
    for pid in current_chain():
        cell = system.find(pid)
        if cell is None or cell.hub_name != driver.hub_id:
            continue
        if concerned is None or cell.child_id in concerned:
            msg = (
                f"child {cell.child_id!r} would wait for its own end: in a handler use self.context.stop(), "
                "or hub.stop_children_soon(), which does not wait"
            )
            raise Deadlock(msg)


async def until_live(driver: Driver, check: Callable[[], None] | None = None) -> None:
    """Wait until this node may act: it has met the others, or found that there are none. ``check`` may object."""
    check_member(driver)
    with driver.watching(other=True) as watch:
        while not driver.core.live:
            if driver.refusal is not None:
                raise driver.refusal
            if check is not None:
                check()
            await watch.next()
            check_member(driver)


@dataclass(slots=True)
class _Start:
    """One call of start_children, under way."""

    driver: Driver
    stamps: dict[str, Stamp] = field(default_factory=dict)
    started: dict[str, tuple[Pid, ...]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)

    def look(self, child: str, seen: Mapping[str, Pid], *, adopt: bool) -> bool:
        """Has the start of this child come to an end? Then its outcome is noted."""
        core, stamp = self.driver.core, self.stamps.get(child)
        want = core.wants.get(child)
        if want is None:
            if child in seen:  # it ran, and has ended by now
                self.started[child] = (seen[child],)
            else:
                self.errors[child] = StartFailed(f"child {child!r} was stopped while it started")
            return True
        if stamp is not None and want.rev != stamp and not adopt:
            self.errors[child] = AlreadyStarted(f"child {child!r} was started by somebody else at the same time")
            return True
        runs = {
            node: run for node, run in core.runs.get(child, {}).items() if run.rev == want.rev and node in core.alive
        }
        pids = self.driver.pids.get(child)  # what a reader of this node's registry sees, too
        if pids and any(r.phase == "running" and r.role == "active" for r in runs.values()) and core.is_complete(child):
            self.started[child] = pids
            return True
        failed = [run for run in runs.values() if run.role == "active" and run.phase == "failed"]
        if failed:
            self.errors[child] = self.failure(child, failed[0])
            return True
        return self._homeless(child, want)

    def _homeless(self, child: str, want: Want) -> bool:
        core = self.driver.core
        if core.id not in core.nodes:  # this node has said its last word, and knows nobody any more: others go on
            return False
        obstacle = core.obstacle(child, want)
        if obstacle is None:
            return False
        hint = " (a node knows the actors that its process has imported, narrowed by Hub(actors=...))"
        self.errors[child] = StartFailed(
            f"child {child!r}: {obstacle}{hint if obstacle.endswith(repr(want.start)) else ''}"
        )
        return True

    def failure(self, child: str, run: Run) -> StartFailed:
        """The error of a child that is parked at our revision, with its cause chained."""
        text = run.error or "Exception: it gave no reason"
        error = StartFailed(f"child {child!r} did not start: {text}")
        local = self.driver.failures.get(child)
        error.__cause__ = local[1] if local is not None and local[0] == run.term else rebuild(*text.split(": ", 1))
        return error

    def withdraw(self, children: Iterable[str]) -> list[str]:
        """Take back what this call wrote, where it still stands."""
        wants = self.driver.core.wants
        mine = [c for c in children if c in self.stamps and c in wants and wants[c].rev == self.stamps[c]]
        if mine and not self.driver.closed:
            self.driver.write_wants(dict.fromkeys(mine))
        return mine


def starting(
    driver: Driver,
    strategies: Strategies,
    payloads: Payloads,
    specs: Iterable[ChildSpec],
    metadata: Any,
    child_metadata: Mapping[str, Any] | None,
    tag: str | None,
    nodes: object,
    placement: object,
    check_existing: object,
    on_failure: object,
) -> Callable[[], Awaitable[StartResult]]:
    """Check all that can be checked at once of what ``Hub.start_children`` was given; what is returned does the rest."""
    found = check_specs(specs)
    check_shutdown(found, strategies.partition_tolerance)
    rollback = rolls_back(on_failure)
    wants, errors = close_wishes(
        found,
        metadata=metadata,
        child_metadata=child_metadata,
        tag=tag,
        nodes=nodes,
        placement=placement,
        strategies=strategies,
        members=[row.name for row in driver.core.nodes.values()],
        payloads=payloads,
    )
    return lambda: start_wants(driver, wants, errors, check_existing=bool(check_existing), rollback=rollback)


async def start_wants(
    driver: Driver, wants: dict[str, Want], errors: dict[str, Exception], *, check_existing: bool, rollback: bool
) -> StartResult:
    """Start children; see ``Hub.start_children``. ``errors``: what is wrong with those of which there is no want."""
    await until_live(driver)
    check_allowed(driver)
    start = _Start(driver)
    start.errors.update(errors)
    fresh = {}
    for child, want in wants.items():
        if child not in driver.core.wants:
            fresh[child] = want
        elif check_existing:
            start.errors[child] = AlreadyStarted(f"child {child!r} is started already in hub {driver.hub_id!r}")
    start.errors.update(_drop_excess(driver, fresh))
    start.stamps = driver.write_wants(fresh) if fresh else {}
    pending = {child for child in wants if child not in start.errors}
    try:
        with driver.watching(pending) as watch:
            look: Iterable[str] = sorted(pending)
            while pending:
                pending.difference_update(
                    [c for c in look if c in pending and start.look(c, watch.seen, adopt=not check_existing)]
                )
                if pending:
                    look = await watch.next()
                    check_member(driver)
                    check_allowed(driver)
        rolled_back = rollback and bool(start.errors)
        failed = [c for c in start.errors if c not in start.started]
        await _gone(driver, start.withdraw([*failed, *(start.started if rolled_back else ())]))
        await _held(driver, [start.stamps[c] for c in start.started if c in start.stamps])
    except BaseException:
        if rollback:
            start.withdraw(start.stamps)
        raise
    started = {} if rolled_back else {c: start.started[c] for c in wants if c in start.started}
    failed_ones = {c: start.errors[c] for c in (*errors, *wants) if c in start.errors}
    status = status_of(started, failed_ones)
    return StartResult(status, MappingProxyType(started), MappingProxyType(failed_ones), rolled_back)


def _drop_excess(driver: Driver, fresh: dict[str, Want]) -> dict[str, Exception]:
    """Take out what is more than one node may write, which the others would refuse; returns what is to be said of each."""
    rows, weight = driver.core.written
    found: dict[str, Exception] = {}
    for child, want in list(fresh.items()):
        if rows < ROWS_OF_ONE // 2 and weight + len(want.body) <= WEIGHT_OF_ONE:  # half: where they run is written, too
            rows, weight = rows + 1, weight + len(want.body)
            continue
        del fresh[child]
        most = f"{ROWS_OF_ONE // 2:,} children with {WEIGHT_OF_ONE >> 20} MiB of arguments and metadata together"
        found[child] = ConfigurationError(
            f"child {child!r} is too much for this node, which can start {most}: give children what tells them where to "
            "read large things, or start some of them on other nodes"
        )
    return found


async def stop_wants(driver: Driver, ids: Sequence[str]) -> StopResult:
    """Stop children; see ``Hub.stop_children``."""
    await until_live(driver)
    check_allowed(driver)
    unknown = {
        child: NoSuchActor(f"hub {driver.hub_id!r} has no child {child!r}")
        for child in ids
        if child not in driver.core.wants
    }
    known = [child for child in ids if child not in unknown]
    pids = {child: driver.core.pids(child) for child in known}
    stamps = driver.write_wants(dict.fromkeys(known)) if known else {}
    await _gone(driver, known)
    await _held(driver, list(stamps.values()))
    return StopResult(status_of(pids, unknown), MappingProxyType(pids), MappingProxyType(unknown))


async def _gone(driver: Driver, children: Iterable[str]) -> None:
    """Wait until no living node runs any of these children (or they are wanted again)."""
    pending = set(children)
    if not pending:
        return

    def over(child: str) -> bool:
        core = driver.core
        if child in core.wants:
            return True
        runs = core.runs.get(child, {})  # what is released has stopped; the row itself goes when all have seen it
        return child not in driver.pids and not any(
            n in core.alive and run.role != "released" for n, run in runs.items()
        )

    with driver.watching(pending) as watch:
        look: Iterable[str] = sorted(pending)
        while pending:
            pending.difference_update([child for child in look if child in pending and over(child)])
            if pending:
                look = await watch.next()
                check_member(driver)


async def _held(driver: Driver, stamps: Sequence[Stamp]) -> None:
    """Wait until enough members hold what was written. The newest stamp speaks for all: versions leave no gaps."""
    if not stamps:
        return
    newest = max(stamps)
    with driver.watching(other=True) as watch:
        while driver.core.held_by(newest) < min(HOLDERS, len(driver.core.alive)):
            await watch.next()
            check_member(driver)
