"""What the rows say, child by child and node by node.

Law of this room: these are views of the map and nothing else; `absorb` brings them up to date with the keys that have
changed since. Whoever is concerned by a change goes on a list, and only lists are ever worked through: no input costs a
look at everything.
"""

from __future__ import annotations

from dataclasses import replace

from hubkit.cluster.rows import NodeRow, Run, Want
from hubkit.cluster.settings import PREFIX, Settings
from hubkit.cluster.store import Store
from hubkit.pids import NodeId, Pid, life_of

__all__ = ["Ledger"]


class Ledger:
    """Nodes, wants and runs of a store; which children each node has to do with; and who runs where.

    ``dirty``: children to be looked at again. ``changed``: the same, for the shell to clear. ``registry``: the pids of
    every child that runs on a node in sight. ``newcomers``: nodes that run rows speak of for the first time. ``passed``: of
    wanted children of which the row of the greatest term has been removed, or replaced by one of less, that term. (Whoever
    does that knows a greater one, or nobody wants the child; but it may have been told so by a liar, and terms do not fall.)
    """

    __slots__ = ("_store", "changed", "dirty", "newcomers", "nodes", "passed", "registry", "runs", "settings", "stakes",
                 "tags", "wants")  # fmt: skip

    def __init__(self, store: Store) -> None:
        self._store = store
        self.nodes: dict[NodeId, NodeRow] = {}
        self.wants: dict[str, Want] = {}
        self.tags: dict[str, dict[str, None]] = {}  # tag -> children
        self.runs: dict[str, dict[NodeId, Run]] = {}
        self.passed: dict[str, int] = {}
        self.stakes: dict[
            NodeId, dict[str, None]
        ] = {}  # node -> children of which it has a row, or that are granted to it
        self.registry: dict[str, tuple[Pid, ...]] = {}
        self.settings: Settings = Settings()
        self.newcomers: list[NodeId] = []
        self.dirty: set[str] = set()
        self.changed: set[str] = set()

    def absorb(self) -> tuple[list[NodeId], list[str]]:
        """Bring the views up to date. The nodes whose rows have changed, and the children whose wants have."""
        keys, self._store.changed = self._store.changed, []
        nodes: list[NodeId] = []
        wants: list[str] = []
        rows = self._store.rows
        for key in keys:
            row = rows.get(key)
            value = None if row is None else row[1]
            if key[0] == "run":
                self._absorb_run(key[1], key[2], value)  # type: ignore[arg-type]  # the key tells the value's type
            elif key[0] == "want":
                child = key[1]
                if child.startswith(PREFIX):
                    self.settings.absorb(child, value)  # type: ignore[arg-type]  # the key tells the value's type
                    continue
                wants.append(child)
                self.dirty.add(child)
                self._absorb_want(child, value)  # type: ignore[arg-type]  # the key tells the value's type
            elif value is not None and value == self.nodes.get(key[1]):
                pass  # stamped anew, and nothing else: a beat
            elif self._absorb_node(key[1], value):  # type: ignore[arg-type]  # the key tells the value's type
                nodes.append(key[1])
        return nodes, wants

    def _absorb_want(self, child: str, want: Want | None) -> None:
        old = self.wants.get(child)
        if old is not None and old.tag is not None and (want is None or want.tag != old.tag):
            tagged = self.tags[old.tag]
            tagged.pop(child)
            if not tagged:
                del self.tags[old.tag]
        if want is None:
            self.wants.pop(child, None)
            self.passed.pop(child, None)
            return
        self.wants[child] = want
        if want.tag is not None:
            self.tags.setdefault(want.tag, {})[child] = None

    def _absorb_node(self, node: NodeId, row: NodeRow | None) -> bool:
        """Whether more has changed than how busy it is: that concerns none of its children."""
        old = self.nodes.get(node)
        if row is None:
            self.nodes.pop(node, None)
            return True
        self.nodes[node] = row
        return old is None or row.load == old.load or replace(row, load=old.load) != old

    def _absorb_run(self, child: str, node: NodeId, run: Run | None) -> None:
        self.dirty.add(child)
        runs = self.runs.get(child)
        if runs is None:
            if run is None:
                return
            runs = self.runs[child] = {}
        old = runs.get(node)
        if run is None:
            runs.pop(node, None)
            if old is not None and child in self.wants:
                self._keep_term(child, _reached(node, old), runs)
        else:
            runs[node] = run
            if self.passed and self.passed.get(child, 0) <= _reached(node, run):
                self.passed.pop(child, None)
            if old is not None and run.term < old.term and child in self.wants:  # it stands by, and had let go before
                self._keep_term(child, _reached(node, old), runs)
            self._stake(child, node)
            if run.to is not None:
                self._stake(child, run.to)
        if old is not None and (run is None or old.to != run.to):
            for party in {node, old.to or node}:
                self._review_stake(child, party, runs)
        if not runs:
            del self.runs[child]

    def _keep_term(self, child: str, term: int, runs: dict[NodeId, Run]) -> None:
        """A row of this term is gone: is it the greatest that was reached, as far as these rows tell?"""
        passed = self.passed.get(child, 0)
        if term > passed and all(_reached(node, run) < term for node, run in runs.items()):
            self.passed[child] = term

    def _stake(self, child: str, node: NodeId) -> None:
        stakes = self.stakes.get(node)
        if stakes is None:
            stakes = self.stakes[node] = {}
            self.newcomers.append(node)
        stakes[child] = None

    def _review_stake(self, child: str, node: NodeId, runs: dict[NodeId, Run]) -> None:
        if node in runs or any(run.to == node for run in runs.values()):
            return
        stakes = self.stakes[node]
        stakes.pop(child, None)
        if not stakes:
            del self.stakes[node]

    def concern(self, nodes: set[NodeId]) -> None:
        """Something about these nodes has changed: look again at the children that they have to do with."""
        for node in nodes:
            self.dirty.update(self.stakes.get(node, ()))

    def register(
        self, child: str, alive: frozenset[NodeId], *, copies: bool
    ) -> tuple[tuple[Pid, ...], tuple[Pid, ...]]:
        """Recompute the pids of a child, the active one first; what they were and what they are.

        ``copies``: those that stand by are among them.
        """
        old = self.registry.get(child, ())
        runs = self.runs.get(child)
        if runs is None and not old:
            return old, old
        running = [
            (run[1] != "active", _pid(node, run[5], old))
            for node, run in (runs or {}).items()
            if run[4] == "running" and node in alive and (copies or run[1] == "active")
        ]
        if len(running) > 1:
            running.sort()
        new = tuple([pid for _, pid in running])
        if new != old:
            if new:
                self.registry[child] = new
            else:
                del self.registry[child]
        return old, new


def _reached(node: NodeId, run: Run) -> int:
    """The term that this row says was reached; what is only claimed was not."""
    return 0 if run.role == "claiming" else run.term - (run.to == node)


def _pid(node: NodeId, serial: int, known: tuple[Pid, ...]) -> Pid:
    """The pid of this number on this node: if it is among those that are known, the very same."""
    name, boot = life_of(node)
    for pid in known:
        if pid.serial == serial and pid.incarnation == boot and pid.node == name:
            return pid
    return Pid(name, boot, serial)
