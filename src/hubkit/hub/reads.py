"""What a hub answers from this node's own knowledge: where children are, who is there, and why.

Law of this room: a read is local, takes no time and changes nothing. It says what this node knows now; after an awaited
start or stop returns, that includes what was started or stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

import trio

from hubkit.actors.actor import Actor
from hubkit.actors.inspection import ActorInfo
from hubkit.actors.ref import Ref
from hubkit.cluster.explain import Explanation
from hubkit.cluster.policy import NodeView, Strategies
from hubkit.errors import ConfigurationError, HubClosed, NoSuchActor
from hubkit.hub.driver import Driver
from hubkit.hub.groups import Groups
from hubkit.hub.household import Household
from hubkit.hub.planning import plan
from hubkit.hub.results import ChildInfo, HubStatistics, Move
from hubkit.hub.trees import tree_of
from hubkit.hub.views import explanation, statistics
from hubkit.hub.wishes import check_member, check_open
from hubkit.node.node import Node
from hubkit.pids import ChildKey, Pid, name_of
from hubkit.specs import check_id

__all__ = ["Reads"]

A = TypeVar("A")


class Reads:
    """The reading half of `Hub`."""

    _id: str
    _node: Node | None
    _driver_: Driver | None
    _household_: Household | None
    _strategies: Strategies

    @property
    def _driver(self) -> Driver:
        if self._driver_ is None:
            msg = f"hub {self._id!r} is not open: use it inside `async with hubkit.Hub(...) as hub`"
            raise HubClosed(msg)
        check_open(self._driver_)
        return self._driver_

    # -- who and where ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The hub's id."""
        return self._id

    @property
    def node(self) -> Node:
        """The node that this hub is on."""
        assert self._node is not None
        return self._node

    def __repr__(self) -> str:
        state = "new" if self._driver_ is None else "closed" if self._driver_.closed else f"on {self.node.name}"
        return f"<hubkit.Hub {self._id!r} {state}>"

    def nodes(self, include_local: bool = False) -> tuple[str, ...]:
        """The names of the other living nodes of this hub, sorted; with ``include_local`` this one, too."""
        core = self._driver.core
        return tuple(sorted(name_of(n) for n in core.alive if n in core.nodes and (include_local or n != core.id)))

    @property
    def is_partitioned(self) -> bool:
        """Whether this side is without a quorum (reads go on); under `Divergence`, whether a known node is out of sight."""
        return self._driver.core.partitioned

    @property
    def is_settled(self) -> bool:
        """Whether children may run here, and this node sees each running (or parked) exactly where it belongs."""
        return self._driver.is_settled

    async def settled(self) -> None:
        """Wait until `is_settled`. Raises `HubClosed` when this node leaves the hub meanwhile."""
        driver = self._driver
        with driver.watching(other=True) as watch:
            while not driver.is_settled:
                check_member(driver)
                await watch.next()
        await trio.lowlevel.checkpoint()

    @property
    def groups(self) -> Groups:
        """Groups of actors and topics over all nodes of this hub: join, leave, members, monitor, publish."""
        return Groups(self._driver)

    # -- finding ----------------------------------------------------------------------------------------------------------

    @overload
    def ref(self, id: str) -> Ref[Any]: ...
    @overload
    def ref(self, id: str, actor: type[A]) -> Ref[A]: ...
    def ref(self, id: str, actor: type[Any] | None = None) -> Ref[Any]:
        """A `Ref` to a child, which follows it from node to node; ``actor`` only types it. `NoSuchActor` when absent."""
        if check_id(id) not in self._driver.core.wants:
            msg = f"hub {self._id!r} has no child {id!r}"
            raise NoSuchActor(msg)
        if actor is not None and not (isinstance(actor, type) and issubclass(actor, Actor)):
            msg = f"the second argument of ref must be the Actor subclass of the child, not {actor!r:.80}"
            raise ConfigurationError(msg)
        return self.node._system.ref(ChildKey(self._id, id))

    def pid(self, id: str) -> Pid | None:
        """The pid of a running child as this node knows it, or `None`. A local read."""
        driver = self._driver_
        if driver is None or driver.closed:
            driver = self._driver
        pids = driver.pids.get(id)
        return pids[0] if pids else None

    def pids(self, id: str) -> tuple[Pid, ...]:
        """All pids of a child (more than one: replicas, or a conflict that is being resolved)."""
        return self._driver.pids.get(check_id(id), ())

    def lookup(self, id: str) -> ChildInfo | None:
        """What this node knows of a child, or `None` if no such child is wanted.

        Where the arguments cannot be read on this node (they hold a class that it has not defined, say), the spec has none of
        them, and its ``start`` is an `UnknownStart`.
        """
        want = self._driver.core.wants.get(check_id(id))
        if want is None:
            return None
        assert self._household_ is not None
        wish = self._household_.reader.show(id, want)
        return ChildInfo(wish.spec, self._driver.pids.get(id, ()), wish.metadata, wish.tag)

    def children(self, scope: Literal["global", "local"] = "global") -> Mapping[str, ChildInfo]:
        """All children that are wanted, by id; ``"local"``: those with a pid on this node."""
        if scope not in ("global", "local"):
            msg = f"scope must be 'global' or 'local', not {scope!r}"
            raise ConfigurationError(msg)
        ids = sorted(self._driver.core.wants)
        if scope == "local":
            ids = [id for id in ids if any(pid.node == self.node.name for pid in self._driver.pids.get(id, ()))]
        return self._show(ids)

    def tagged(self, tag: str) -> Mapping[str, ChildInfo]:
        """All children of this tag, by id."""
        return self._show(self._driver.core.tagged(check_id(tag, "a tag")))

    def _show(self, ids: Iterable[str]) -> dict[str, ChildInfo]:
        found = ((id, self.lookup(id)) for id in ids)
        return {id: info for id, info in found if info is not None}

    # -- looking inside -----------------------------------------------------------------------------------------------------

    def explain(self, id: str) -> Explanation:
        """Why a child is where it is, as this node sees it. Raises `NoSuchActor` for an unknown id."""
        return explanation(self._driver, check_id(id))

    def plan(self, add: Iterable[str | NodeView] = (), remove: Iterable[str] = ()) -> list[Move]:
        """What would move if the nodes ``add`` came and ``remove`` went, by child id; nothing is done.

        A name in ``add`` is a node of weight 1, without labels, that knows every actor; `hubkit.strategies.NodeView` says
        otherwise, and, with the name of a node that is there, what would move if that one changed. A child that would run
        nowhere has the target `None`. Raises `ConfigurationError` for names that cannot be.
        """
        return plan(self._driver, add, remove)

    async def tree(self, node: str | None = None) -> ActorInfo:
        """What of this hub runs on a node (by default this one), as a tree: see `hubkit.debug.ActorInfo`.

        Raises `ConfigurationError` for a node that the hub does not know, `NodeDown` for one that cannot be reached.
        """
        return await tree_of(self._driver, self.node, self.node.name if node is None else node)

    def statistics(self) -> HubStatistics:
        """A snapshot of counts and links."""
        driver = self._driver
        assert self._household_ is not None
        return statistics(driver, self._household_, self.node)
