"""One member: a process with one node and its hubs, driven by a test through a local socket.

``python -m tests.processes.member OPTIONS`` (JSON, see `Options`) opens the hubs and serves commands: each connection to the
control socket is one command, a line of JSON, and gets one line back, ``{"ok": value}`` or ``{"error": ...}``. A connection
for each command means that many can be under way at once, and that a test which gives up only has to hang up. Standard
input is a leash: when it closes, whoever held it is gone, and so is this process.

Times are those of `tests.processes.journal.clock`, which all processes of the machine share.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import trio
from tests.processes import actors
from tests.processes.journal import clock

import hubkit
from hubkit.events import Event

__all__ = ["DELIBERATE", "Options"]

log = logging.getLogger(__name__)

#: exit code of a member that was told to leave its hubs by an exception, and saw the same one come out
DELIBERATE = 7

#: one of everything that may travel
EVERYTHING: Any = {
    "none": None,
    "numbers": [True, -(2**70), 1.5],
    "text": ("ä", b"\x00\xff"),
    7: {"a", "b"},
    (1, "two"): frozenset({1, 2}),
    "times": [datetime(2026, 1, 2, 3, 4, 5, 6, UTC), date(2026, 1, 2), timedelta(seconds=1.5)],
    "exact": [Decimal("1.10"), UUID(int=7)],
    "own": actors.Order("tea", 2),
    "pid": hubkit.Pid("somewhere", 1, 2),
}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same types all the way down. (The order of a set is nobody's promise.)"""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(key, twin) and same(one[key], other[twin]) for key, twin in zip(one, other, strict=True))
    return not isinstance(one, list | tuple) or all(same(a, b) for a, b in zip(one, other, strict=True))


@dataclass
class Options:
    """How a member is started. ``node`` and ``hub`` are passed to `hubkit.Node` and `hubkit.Hub` as they are.

    (But a strategy is its name and its arguments; a ``distribution`` its name alone.) ``each``: what single hubs have besides.
    """

    control: str
    hubs: list[str]
    node: dict[str, Any] = field(default_factory=dict)
    hub: dict[str, Any] = field(default_factory=dict)
    each: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: list[dict[str, Any]] = field(default_factory=list)


class Deliberate(Exception):
    """What a test lets the body of the hub's block raise."""


def told(error: BaseException, depth: int = 3) -> dict[str, Any]:
    """An exception, as a test gets to see it."""
    cause = error.__cause__
    return {
        "type": type(error).__name__,
        "types": [kind.__name__ for kind in type(error).__mro__],
        "text": str(error),
        "cause": told(cause, depth - 1) if cause is not None and depth else None,
        "details": {
            name: value
            for name in ("maybe_executed", "code", "by_peer", "type_name", "args")
            if isinstance(value := getattr(error, name, None), bool | str | tuple)
        },
    }


def spec_of(id: str, actor: str, args: Iterable[Any], options: dict[str, Any]) -> hubkit.ChildSpec:
    """The spec of a child."""
    return hubkit.ChildSpec(id, getattr(actors, actor), tuple(args), **options)


class Member:
    """The commands. Each public method is one; its keyword arguments are the command's."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.hubs: dict[str, hubkit.Hub] = {}
        self.opened = trio.Event()
        self.refusal: Exception | None = None
        self.leaving = trio.Event()
        self.failing = False
        self.seen: list[dict[str, Any]] = []

    def hub(self, name: str = "") -> hubkit.Hub:
        """The hub of this name, or the first."""
        return self.hubs[name or self.options.hubs[0]]

    def note(self, event: Event) -> None:
        """Remember an event."""
        values = {f.name: str(getattr(event, f.name)) for f in fields(event)}
        self.seen.append({"kind": type(event).__name__, "time": clock(), **values})

    # -- its life ---------------------------------------------------------------------------------------------------------

    async def ready(self) -> dict[str, Any]:
        """Wait until the hubs are open. Raises what opening them raised."""
        await self.opened.wait()
        if self.refusal is not None:
            raise self.refusal
        node = self.hub().node
        return {"node": node.name, "url": node.url, "process": os.getpid(), "time": clock()}

    async def leave(self) -> None:
        """Let the blocks end normally."""
        self.leaving.set()

    async def fail(self) -> None:
        """Let the blocks end by an exception."""
        self.failing = True
        self.leaving.set()

    async def drain(self, hub: str = "") -> None:
        """Leave the hub, but not the block."""
        await self.hub(hub).drain()

    async def promote(self, listen: str, join: list[str]) -> str | None:
        """Put a stand-alone node on the network."""
        await self.hub().node.promote(listen=listen, join=join)
        return self.hub().node.url

    # -- children ---------------------------------------------------------------------------------------------------------

    async def start(
        self,
        ids: list[str],
        actor: str = "Child",
        args: Iterable[Any] = (),
        spec: dict[str, Any] | None = None,
        hub: str = "",
        **options: Any,
    ) -> dict[str, Any]:
        """``start_children``, with the seconds that it took."""
        began = clock()
        if "placement" in options:
            options["placement"] = {id: hubkit.Placement(**asked) for id, asked in options["placement"].items()}
        result = await self.hub(hub).start_children([spec_of(id, actor, args, spec or {}) for id in ids], **options)
        return {
            "status": result.status,
            "started": {id: [str(pid) for pid in pids] for id, pids in result.started.items()},
            "errors": {id: told(error) for id, error in result.errors.items()},
            "rolled_back": result.rolled_back,
            "seconds": clock() - began,
        }

    async def start_one(
        self,
        id: str,
        actor: str = "Child",
        args: Iterable[Any] = (),
        spec: dict[str, Any] | None = None,
        hub: str = "",
        **options: Any,
    ) -> str:
        """``start_child``; the pid."""
        ref = await self.hub(hub).start_child(spec_of(id, actor, args, spec or {}), **options)
        return str(ref.pid)

    async def stop(self, ids: list[str], hub: str = "") -> dict[str, Any]:
        """``stop_children``, with the seconds that it took."""
        began = clock()
        result = await self.hub(hub).stop_children(ids)
        return {
            "status": result.status,
            "stopped": {id: [str(pid) for pid in pids] for id, pids in result.stopped.items()},
            "errors": {id: told(error) for id, error in result.errors.items()},
            "seconds": clock() - began,
        }

    async def stop_one(self, id: str, hub: str = "") -> str:
        """``stop_child``."""
        return (await self.hub(hub).stop_child(id)).status

    async def move(self, id: str, node: str) -> str:
        """``hub.move``; the new pid."""
        await self.hub().move(id, node)
        return str(self.hub().pid(id))

    async def forget(self, name: str) -> None:
        """``hub.forget``."""
        self.hub().forget(name)

    # -- messages ---------------------------------------------------------------------------------------------------------

    async def call(
        self, id: str, method: str, args: Iterable[Any] = (), hub: str = "", patience: float | None = None
    ) -> Any:
        """Call a child; ``patience`` is the caller's own bound."""
        ref = self.hub(hub).ref(id)
        with trio.fail_after(float("inf") if patience is None else patience):
            return await ref.call(method, *args)

    async def transfer(self, id: str, size: int, times: int, give_up: float | None = None) -> dict[str, Any]:
        """Send so many bytes to a child some times; the link's figures afterwards. ``give_up``: cancel it after so long."""
        data = os.urandom(size)
        came, began = [], clock()
        for _ in range(times):
            with trio.move_on_after(float("inf") if give_up is None else give_up):
                came.append(await self.hub().ref(id).call("size", data))
        took = clock() - began
        (pid,) = self.hub().pids(id)
        link = self.hub().statistics().links[pid.node]
        return {
            "came": came,
            "took": took,
            "worst": None if link.round_trip is None else link.round_trip.p99,
            "measured": 0 if link.round_trip is None else link.round_trip.count,
            "silent": link.silent,
            "reconnects": link.reconnects,
        }

    async def cast(self, ids: list[str], method: str, args: Iterable[Any] = ()) -> float:
        """Cast to many children, as fast as it goes; when that was done."""
        for id in ids:
            await self.hub().ref(id).cast(method, *args)
        return clock()

    async def pump(self, ids: list[str], seconds: float, every: float = 0.002) -> dict[str, Any]:
        """Call and cast ``add`` to children in turn for some seconds; how much was taken, what failed, the longest wait."""
        taken: dict[str, int] = dict.fromkeys(ids, 0)
        failures: list[str] = []
        longest = 0.0

        async def one(id: str, cast: bool) -> None:
            nonlocal longest
            ref, began = self.hub().ref(id), clock()
            try:
                await (ref.cast("add") if cast else ref.call("add"))
            except hubkit.errors.HubkitError as error:
                failures.append(f"{id}: {type(error).__name__}: {error}")
            else:
                taken[id] += 1
                longest = max(longest, clock() - began)

        async with trio.open_nursery() as nursery:
            end, turn = clock() + seconds, 0
            while clock() < end:
                turn += 1
                nursery.start_soon(one, ids[turn * 7 % len(ids)], turn % 3 == 0)
                await trio.sleep(every)
        return {"taken": taken, "failures": failures, "longest": longest}

    async def send(self, ids: list[str], message: Any) -> float:
        """Send a plain message to many children; when that was done."""
        for id in ids:
            await self.hub().ref(id).send(message)
        return clock()

    async def echo_everything(self, id: str) -> bool:
        """Send one of everything that can travel to a child and back: whether it is the same, down to its types."""
        ref = self.hub().ref(id)
        back = await ref.call("echo", EVERYTHING)
        mine = await ref.call("me")
        return bool(same(back, EVERYTHING) and mine == ref)

    async def call_with_lock(self, id: str) -> Any:
        """Call a child with an argument that cannot travel."""
        return await self.hub().ref(id).call("echo", {"deep": [1, threading.Lock()]})

    async def open_gate(self, name: str) -> None:
        """Let those go on who wait at a gate of this process."""
        actors.gate(name).set()

    async def held(self) -> list[str]:
        """At which gates somebody waits."""
        return list(actors.held)

    # -- what it sees -----------------------------------------------------------------------------------------------------

    async def view(self, hub: str = "") -> dict[str, Any]:
        """The registry as this node sees it, and what really runs in this process."""
        one = self.hub(hub)
        mine = [child for child in actors.here.values() if child.context.hub is one]
        found: dict[str, list[str]] = {}
        for child in mine:
            found.setdefault(str(child.context.child_id), []).append(str(child.context.pid))
        return {
            "pids": {id: [str(pid) for pid in info.pids] for id, info in one.children().items()},
            "here": found,
            "local": sorted(one.children("local")),
            "nodes": list(one.nodes(include_local=True)),
            "settled": one.is_settled,
        }

    async def about(self, id: str, hub: str = "") -> dict[str, Any] | None:
        """``hub.lookup``."""
        info = self.hub(hub).lookup(id)
        return (
            None
            if info is None
            else {"pids": [str(pid) for pid in info.pids], "metadata": info.metadata, "tag": info.tag}
        )

    async def tagged(self, tag: str) -> list[str]:
        """``hub.tagged``."""
        return sorted(self.hub().tagged(tag))

    async def values(self, ids: list[str]) -> dict[str, list[Any]]:
        """State, instance and pid of those of these children that run in this process."""
        wanted = set(ids)
        return {
            str(child.context.child_id): [child.value, child.instance, str(child.context.pid)]
            for child in actors.here.values()
            if child.context.child_id in wanted
        }

    async def agreed(
        self, ids: list[str], among: list[str], gone: Iterable[str] = (), patience: float = 10.0, hub: str = ""
    ) -> float | None:
        """When this node first saw each child run once, on one of ``among``, under none of the pids ``gone``."""
        one, nodes, old = self.hub(hub), frozenset(among), frozenset(gone)

        def right(id: str) -> bool:
            pids = one.pids(id)
            return len(pids) == 1 and pids[0].node in nodes and (not old or str(pids[0]) not in old)

        return await _moment(lambda: one.is_settled and all(map(right, ids)), patience)

    async def sees(self, nodes: list[str], patience: float = 10.0, hub: str = "") -> float | None:
        """When this node first saw exactly these members."""
        one, expected = self.hub(hub), tuple(sorted(nodes))
        return await _moment(lambda: one.nodes(include_local=True) == expected, patience)

    async def pidless(self, id: str, patience: float = 10.0) -> float | None:
        """When this node first saw that the child runs nowhere."""
        return await _moment(lambda: self.hub().pid(id) is None, patience)

    async def events(self, kind: str, child: str = "") -> list[dict[str, Any]]:
        """The events of a type (about a child), in order."""
        return [e for e in self.seen if e["kind"] == kind and (not child or e.get("child") == child)]

    async def links(self) -> list[str]:
        """The names of the nodes that a link exists to."""
        return [name.rpartition("#")[0] for name in self.hub().node.linked()]

    async def explain(self, id: str, hub: str = "") -> str:
        """``hub.explain``, in one line."""
        return str(self.hub(hub).explain(id))

    async def unsettled(self) -> list[str]:
        """Explanations of the first few children that are not where they should be."""
        lines = []
        for name, one in self.hubs.items():
            bad = [id for id, info in one.children().items() if len(info.pids) != 1]
            lines += [f"{name}: settled={one.is_settled} children={len(one.children())} without one pid={len(bad)}"]
            lines += [f"  {one.explain(id)}" for id in bad[:5]]
        return lines

    async def statistics(self, hub: str = "") -> dict[str, Any]:
        """``hub.statistics``, as far as it is plain."""
        found = self.hub(hub).statistics()
        plain = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "links"}
        return {**plain, "links": sorted(found.links)}


async def _moment(condition: Callable[[], bool], within: float) -> float | None:
    """When the condition came true, or `None` if it did not in time."""
    with trio.move_on_after(within):
        while True:
            if condition():
                return clock()
            await trio.sleep(0.01)
    return None


class Control:
    """The socket through which a member is driven."""

    def __init__(self, member: Member) -> None:
        self._commands: dict[str, Callable[..., Awaitable[Any]]] = {
            name: getattr(member, name) for name in vars(Member) if not name.startswith("_") and name != "hub"
        }

    async def serve(self, path: str, *, task_status: trio.TaskStatus[Any]) -> None:
        """Answer commands for ever."""
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
            await listener.bind(f"{path}.new")
            listener.listen(100)
            os.rename(f"{path}.new", path)  # who sees it can connect to it
            await trio.serve_listeners(self._serve_one, [trio.SocketListener(listener)], task_status=task_status)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        answer: dict[Literal["ok", "error"], Any]
        line = bytearray()
        try:
            while not line.endswith(b"\n"):
                chunk = await stream.receive_some()
                if not chunk:
                    return
                line += chunk
            command = json.loads(line)
            try:
                answer = {"ok": await self._commands[command.pop("do")](**command)}
            except Exception as error:
                answer = {"error": told(error)}
            await stream.send_all(json.dumps(answer).encode() + b"\n")
        except trio.BrokenResourceError:
            pass  # the test did not wait for the answer
        finally:
            await trio.aclose_forcefully(stream)


async def _hold_leash(member: Member) -> None:
    """End with whoever started this process."""
    stdin = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    while await stdin.receive_some():
        pass
    os._exit(1)


async def _obey_signals(member: Member) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            member.leaving.set()


def _built(told: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a hub: a strategy travels as the name of its class, and its arguments."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        if name == "distribution":
            found[name] = getattr(hubkit.strategies, value)()
        elif name in ("partition_tolerance", "redundancy", "migration"):
            kind, values = value
            found[name] = getattr(hubkit.strategies, kind)(**values)
        else:
            found[name] = value
    return found


async def _live(member: Member) -> None:
    """Open the hubs, and stay until told to leave."""
    options = member.options
    declared = [spec_of(**{"args": (), "options": {}, **child}) for child in options.children]
    common: dict[str, Any] = {**_built(options.hub), "children": declared, "hooks": [(Event, member.note)]}
    async with AsyncExitStack() as stack:
        try:
            if len(options.hubs) == 1:
                hubs = [hubkit.Hub(options.hubs[0], **options.node, **common)]
            else:
                node = await stack.enter_async_context(hubkit.Node(**options.node))
                hubs = [
                    hubkit.Hub(name, node=node, **common, **_built(options.each.get(name, {}))) for name in options.hubs
                ]
            for hub in hubs:
                member.hubs[hub.id] = await stack.enter_async_context(hub)
        except Exception as error:
            member.refusal = error
            raise
        finally:
            member.opened.set()
        await member.leaving.wait()
        if member.failing:
            raise DELIBERATELY


DELIBERATELY = Deliberate("the body fails")


async def _run(options: Options) -> int:
    member = Member(options)
    code = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hold_leash, member)
        nursery.start_soon(_obey_signals, member)
        await nursery.start(Control(member).serve, options.control)
        try:
            await _live(member)
        except Deliberate as error:
            code = DELIBERATE if error is DELIBERATELY else 1
        except Exception:
            log.exception("the member ends")
            code = 1
            if member.refusal is not None:
                await trio.sleep_forever()  # until the test has asked why, and kills it
        nursery.cancel_scope.cancel()
    return code


def main() -> None:
    """Run one member, as its options say."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(trio.run(_run, Options(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
