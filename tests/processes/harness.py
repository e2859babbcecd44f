"""Real processes, driven from a test: started, asked, killed, frozen, started again, and always cleaned up.

Law of this room: every wait has a bound and a condition, and what it waits for is *seen*, from outside: what a registry
says is held against what the processes say they run. Starting and killing is plain, so that a cluster can outlive one
test's `trio.run`; only asking is async.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import trio
from tests.house import ROOT
from tests.processes.journal import JOURNAL, Journal, clock

__all__ = [
    "HUB",
    "SECRET",
    "Cluster",
    "Member",
    "MemberGone",
    "Reported",
    "free_ports",
    "many",
    "node_of",
    "together",
    "until",
]

HUB = "shop"
SECRET = "for tests only"

#: seconds that a command may take, unless told otherwise; twice what a loaded machine has been seen to need
PATIENCE = 20.0

T = TypeVar("T")


class Reported(Exception):
    """What a command raised in its process: the names of its types, its text, its cause, and its attributes."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(f"{told['type']}: {told['text']}")
        self.type: str = told["type"]
        self.types: list[str] = told["types"]
        self.text: str = told["text"]
        self.details: dict[str, Any] = told["details"]
        self.cause = Reported(told["cause"]) if told["cause"] else None


class MemberGone(Exception):
    """The process ended before it answered."""


def node_of(pid: str) -> str:
    """The name of the node in the text of a pid."""
    return pid.removeprefix("<").rpartition("#")[0]


def many(count: int, prefix: str = "child") -> list[str]:
    """Ids of children."""
    return [f"{prefix}-{number}" for number in range(count)]


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, *, within: float = 10.0) -> None:
    """Wait until a condition holds; fail, saying ``what`` did not happen, when it does not in time."""
    with trio.move_on_after(within):
        while True:
            found = condition()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await trio.sleep(0.02)
    msg = f"not within {within:g} s: {what}"
    raise AssertionError(msg)


async def together(*works: Callable[[], Awaitable[T]]) -> list[T]:
    """Run all at the same time; their results in order, or the first failure, bare."""
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def run(number: int, work: Callable[[], Awaitable[T]], nursery: trio.Nursery) -> None:
        try:
            results[number] = await work()
        except Exception as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number, work in enumerate(works):
            nursery.start_soon(run, number, work, nursery)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(works))]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, outside the range that outgoing connections take theirs from.

    A node that is killed must find its port free again a moment later, so no stranger's connection may get it.
    """
    found: list[int] = []
    chance = random.SystemRandom()
    while len(found) < count:
        port = chance.randrange(20_000, 32_000)
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


class Member:
    """One process of the cluster. It keeps its name and its port when it is started again."""

    def __init__(self, cluster: Cluster, name: str, options: Mapping[str, Any]) -> None:
        self._cluster = cluster
        self.name = name
        self.options = {**options}
        self.log = cluster.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._control = ""
        self._lives = itertools.count(1)

    def __repr__(self) -> str:
        return f"<member {self.name}>"

    @property
    def url(self) -> str:
        """Where others dial it."""
        node = self.options["node"]
        return str(node.get("advertise") or node["listen"])

    # -- its process ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process (again). `ready` waits for it."""
        assert not self.alive, f"{self.name} runs already"
        self.clean_up()
        self._control = str(self._cluster.folder / f"{self.name}.{next(self._lives)}")
        options = json.dumps({**self.options, "control": self._control})
        paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._cluster.prefix(self.name), sys.executable, "-m", "tests.processes.member", options],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in paths if path),
                    JOURNAL: str(self._cluster.journal.path),
                },
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def process(self) -> int:
        """The id of its process."""
        assert self._process is not None, f"{self.name} has not been started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> float:
        """SIGKILL; when it was."""
        moment = clock()
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)
        self._cluster.journal.killed(self._process.pid, at=moment)
        return moment

    def freeze(self) -> float:
        """SIGSTOP; when it was."""
        self.signal(signal.SIGSTOP)
        return clock()

    def thaw(self) -> float:
        """SIGCONT; when it was."""
        self.signal(signal.SIGCONT)
        return clock()

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for the process to end; its exit code."""
        process = self._process
        assert process is not None
        await until(lambda: process.poll() is not None, f"the process of {self.name} ends", within=within)
        self._cluster.journal.killed(process.pid)  # whatever it has not written itself
        return int(process.returncode)

    def clean_up(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.kill()  # a frozen process dies of it, too
            process.wait(10)
        if process.stdin is not None:
            process.stdin.close()

    # -- asking it --------------------------------------------------------------------------------------------------------

    async def ready(self, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until its hubs are open. Raises `Reported` when opening them failed."""
        control = Path(self._control)
        await until(lambda: control.exists() or not self.alive, f"{self.name} has started", within=within)
        found: dict[str, Any] = await self.ask("ready", within=within)
        return found

    async def refused(self) -> Reported:
        """What opening its hubs raised. Fails when it raised nothing."""
        try:
            found = await self.ready()
        except Reported as error:
            return error
        msg = f"{self.name} was expected to be refused, and is {found}"
        raise AssertionError(msg)

    async def ask(self, do: str, *, within: float = PATIENCE, **arguments: Any) -> Any:
        """Let it do something; see `tests.processes.member.Member` for what.

        Raises `Reported` for what that raised, `MemberGone` when the process ended, `AssertionError` when it took too long.
        """
        line = json.dumps({"do": do, **arguments}).encode() + b"\n"
        answer = bytearray()
        with trio.move_on_after(within) as scope:
            try:
                async with await trio.open_unix_socket(self._control) as stream:
                    await stream.send_all(line)
                    while not answer.endswith(b"\n"):
                        chunk = await stream.receive_some()
                        if not chunk:
                            break
                        answer += chunk
            except (OSError, trio.BrokenResourceError):
                pass  # it has ended, or ends now: no answer
        if scope.cancelled_caught:
            msg = f"{self.name} did not answer within {within:g} s: {line[:200]!r}"
            raise AssertionError(msg)
        return self._value(bytes(answer), do)

    def _value(self, answer: bytes, do: str) -> Any:
        if not answer:
            msg = f"{self.name} ended before it answered {do}"
            raise MemberGone(msg)
        found = json.loads(answer)
        if "error" in found:
            raise Reported(found["error"])
        return found["ok"]

    async def error_of(self, do: str, *, within: float = PATIENCE, **arguments: Any) -> Reported:
        """What a command raises. Fails when it raises nothing."""
        try:
            found = await self.ask(do, within=within, **arguments)
        except Reported as error:
            return error
        msg = f"{self.name}: {do} {arguments} was expected to fail, and gave {found!r:.300}"
        raise AssertionError(msg)

    def ask_plainly(self, do: str, within: float = 2.0) -> Any:
        """The same, outside of trio: for reports of failures."""
        with closing(socket.socket(socket.AF_UNIX)) as stream:
            stream.settimeout(within)
            stream.connect(self._control)
            stream.sendall(json.dumps({"do": do}).encode() + b"\n")
            with stream.makefile("rb") as file:
                return self._value(file.readline(), do)

    async def call(self, id: str, method: str, *args: Any, within: float = PATIENCE, hub: str = "") -> Any:
        """Call a child from this node."""
        return await self.ask("call", within=within, id=id, method=method, args=args, hub=hub)

    async def leave(self) -> None:
        """Let its blocks end normally. It may be gone before it answers."""
        await self._order("leave")

    async def fail(self) -> None:
        """Let the body of its blocks raise."""
        await self._order("fail")

    async def _order(self, do: str) -> None:
        with suppress(MemberGone):
            await self.ask(do)

    async def events(self, kind: str, child: str = "") -> list[dict[str, Any]]:
        """The events of a type that its hub has published."""
        found: list[dict[str, Any]] = await self.ask("events", kind=kind, child=child)
        return found

    async def holding(self, gate: str, within: float = 10.0) -> None:
        """Wait until an actor in its process waits at this gate."""

        async def waits() -> bool:
            return gate in await self.ask("held")

        await until(waits, f"an actor of {self.name} waits at the gate {gate!r}", within=within)


class Cluster:
    """The processes of one test (or of several, one after the other), in a folder of their own."""

    def __init__(self) -> None:
        # a short path: the address of a local socket may have about 100 bytes
        self.folder = Path(tempfile.mkdtemp(prefix="hubkit-"))
        self.journal = Journal(self.folder / "journal")
        self.members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.clean_up()
        self.journal.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    @property
    def alive(self) -> list[Member]:
        """The members whose process exists."""
        return [member for member in self if member.alive]

    def others(self, *members: Member) -> list[Member]:
        """The living members but these."""
        return [member for member in self.alive if member not in members]

    # -- where ------------------------------------------------------------------------------------------------------------

    def places_for(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Where new members listen: arguments of their nodes."""
        return {
            name: {"listen": f"ws://127.0.0.1:{port}"} for name, port in zip(names, free_ports(len(names)), strict=True)
        }

    def prefix(self, name: str) -> Sequence[str]:
        """What must stand before a command, so that it runs where this member is."""
        return ()

    # -- starting ---------------------------------------------------------------------------------------------------------

    def add(
        self,
        *names: str,
        join: Sequence[str] | None = None,
        hubs: Sequence[str] = (HUB,),
        node: Mapping[str, Any] | None = None,
        hub: Mapping[str, Any] | None = None,
        each: Mapping[str, Mapping[str, Any]] | None = None,
        children: Sequence[Mapping[str, Any]] = (),
    ) -> list[Member]:
        """Define members that are not started yet. ``join``: the names of those they join; without: the very first member."""
        places = self.places_for(names)
        urls = {member.name: member.url for member in self}
        urls |= {name: place.get("advertise") or place["listen"] for name, place in places.items()}
        seeds = [urls[name] for name in (next(iter(urls)),)] if join is None else [urls[name] for name in join]
        added = []
        for name in names:
            options = {
                "node": {**places[name], "name": name, "join": seeds, "secret": SECRET, **(node or {})},
                "hubs": [*hubs],
                "hub": {**(hub or {})},
                "each": {**(each or {})},
                "children": [*children],
            }
            added.append(Member(self, name, options))
        self.members.update((member.name, member) for member in added)
        return added

    async def start(self, *names: str, **options: Any) -> list[Member]:
        """Add members (see `add`), start them at the same moment, and wait until all see each other."""
        added = self.add(*names, **options)
        for member in added:
            member.start()
        await together(*(member.ready for member in added))
        await self.met()
        return added

    async def restart(self, member: Member, **node: Any) -> None:
        """Start a member again, under its old name and port, and wait until its hubs are open."""
        member.options = {**member.options, "node": {**member.options["node"], **node}}
        member.start()
        await member.ready()

    # -- looking ----------------------------------------------------------------------------------------------------------

    async def met(self, members: Sequence[Member] | None = None, *, hub: str = "", within: float = 10.0) -> float:
        """Wait until these members (all that live) see each other and nobody else; when the last one did."""
        found = self.alive if members is None else members
        names = [member.name for member in found]
        moments = await together(
            *(partial(m.ask, "sees", nodes=names, hub=hub, patience=within, within=within + 10) for m in found)
        )
        late = [member.name for member, moment in zip(found, moments, strict=True) if moment is None]
        if late:
            msg = f"not within {within:g} s: {', '.join(late)} sees exactly {names}"
            raise AssertionError(msg)
        return float(max(moments))

    async def agreed(
        self,
        ids: Iterable[str],
        *,
        among: Sequence[Member] | None = None,
        gone: Iterable[str] = (),
        hub: str = "",
        within: float = 15.0,
    ) -> float:
        """Wait until the registries of these members (all that live) are equal and right; when the last one was.

        Right: it is settled, knows exactly these children, each has one pid, on one of these members, none of those
        ``gone``; and exactly these pids run in the processes.
        """
        members = self.alive if among is None else [*among]
        children, names, old = [*ids], [member.name for member in members], [*gone]
        deadline = trio.current_time() + within
        while True:
            left = max(0.1, deadline - trio.current_time())
            moments = await together(
                *(
                    partial(
                        m.ask, "agreed", ids=children, among=names, gone=old, hub=hub, patience=left, within=left + 10
                    )
                    for m in members
                )
            )
            views = await self.views(members, hub=hub)
            wrong = disagreement(views, children)
            if not wrong and None not in moments:
                return float(max(moments))
            if trio.current_time() >= deadline:
                msg = f"not within {within:g} s: {wrong or moments}"
                raise AssertionError(msg)

    async def views(self, members: Sequence[Member] | None = None, *, hub: str = "") -> dict[str, dict[str, Any]]:
        """What each of these members sees, and what runs in its process."""
        found = self.alive if members is None else members
        views = await together(*(partial(m.ask, "view", hub=hub) for m in found))
        return {member.name: view for member, view in zip(found, views, strict=True)}

    async def places(self, ids: Iterable[str], *, hub: str = "") -> dict[str, str]:
        """The node that each of these children runs on, as the first living member sees it."""
        pids = (await self.alive[0].ask("view", hub=hub))["pids"]
        return {id: node_of(pids[id][0]) for id in ids}

    async def pids(self, ids: Iterable[str], *, hub: str = "") -> dict[str, str]:
        """The pid of each of these children, as the first living member sees it."""
        pids = (await self.alive[0].ask("view", hub=hub))["pids"]
        return {id: pids[id][0] for id in ids}

    async def values(self, ids: Iterable[str], *, of: Sequence[Member] | None = None) -> dict[str, list[Any]]:
        """State, instance and pid of these children, from the processes that run them."""
        wanted = [*ids]
        found: dict[str, list[Any]] = {}
        for part in await together(*(partial(m.ask, "values", ids=wanted) for m in of or self.alive)):
            found.update(part)
        return found

    async def clear(self) -> None:
        """Stop all children, so that the next test finds nothing."""
        first = self.alive[0]
        await first.ask("stop", ids=[*(await first.ask("view"))["pids"]], within=60)
        await self.agreed([])

    async def one_on(self, member: Member, ids: Iterable[str]) -> str:
        """One of these children that runs on this member."""
        places = await self.places(ids)
        return next(id for id, name in places.items() if name == member.name)

    async def valued(self, ids: Sequence[str], value: int, *, by: Member | None = None) -> dict[str, list[Any]]:
        """Give these children a state to lose (from ``by``), and tell their state, instances and pids."""
        await (by or self.alive[0]).ask("cast", ids=[*ids], method="add", args=[value], within=60)

        async def have_it() -> bool:
            found = await self.values(ids)
            return len(found) == len(ids) and all(entry[0] == value for entry in found.values())

        await until(have_it, f"all children have counted {value}")
        return await self.values(ids)

    async def started(self, member: Member, ids: Sequence[str], **options: Any) -> None:
        """Start children from a member, and expect that all do."""
        result = await member.ask("start", ids=[*ids], within=60, **options)
        assert (result["status"], result["errors"]) == ("ok", {}), result["errors"]

    async def stays_quiet(self, seconds: float) -> None:
        """Watch for so long that no child begins or ends anywhere."""
        before = self.journal.path.read_bytes()
        end = clock() + seconds

        def over() -> bool:
            assert self.journal.path.read_bytes() == before, "something began or ended although all was settled"
            return clock() > end

        await until(over, "time passes", within=seconds + 5)

    def runs_once(self, ids: Iterable[str], *, hub: str = HUB) -> None:
        """Check in the journal that just these children of the hub run, each once."""
        lives = self.journal.running()
        running = {id: len(found) for id, found in lives.items() if any(life.hub == hub for life in found)}
        assert running == dict.fromkeys(ids, 1)

    # -- telling ----------------------------------------------------------------------------------------------------------

    def report(self) -> str:
        """All that helps to understand a failure: logs, and explanations of what is not settled."""
        parts = []
        for member in self:
            parts.append(f"--- {member.name} {'alive' if member.alive else 'ended'} ---")
            if member.alive:
                try:
                    parts += member.ask_plainly("unsettled")
                except (OSError, MemberGone, Reported) as error:
                    parts.append(f"(it does not explain: {error!r})")
            if member.log.exists():
                parts += member.log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:]
        return "\n".join(parts)


def disagreement(views: Mapping[str, Mapping[str, Any]], ids: Sequence[str]) -> str:
    """What is wrong with these views, in a few words; nothing, when they are equal and true."""
    wanted, running = set(ids), dict[str, list[str]]()
    for view in views.values():
        for id, here in view["here"].items():
            running.setdefault(id, []).extend(here)
    wrong = []
    for name, view in views.items():
        pids: Mapping[str, list[str]] = view["pids"]
        if not view["settled"]:
            wrong.append(f"{name} is not settled")
        if pids.keys() != wanted:
            wrong.append(f"{name} lacks {_few(wanted - pids.keys())} and has {_few(pids.keys() - wanted)} too many")
        elif pids != running:
            differs = {id for id in wanted if pids[id] != running.get(id)}
            some = min(differs, default="")
            wrong.append(f"{name}: {_few(differs)} differ: says {pids.get(some)}, runs {running.get(some)}")
    twice = {id for id, pids in running.items() if len(pids) > 1}
    if twice:
        wrong.append(f"twice: {_few(twice)}")
    return "; ".join(wrong)


def _few(ids: Iterable[str]) -> str:
    found = sorted(ids)
    return f"{len(found)} children ({', '.join(found[:3])})" if found else "none"
