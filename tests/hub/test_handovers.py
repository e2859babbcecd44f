"""States on their way between nodes, over real sockets: large ones, what cannot travel, messages that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.hub.clusters import cluster, until

import hubkit
from hubkit.cluster.rows import Ticket
from hubkit.errors import NoSuchActor, ProtocolViolation
from hubkit.events import MoveFailed, NodeLeft, NodeSuspected
from hubkit.net.cargo import MAX_CARGO
from hubkit.strategies import HotSwap, Replication

MIB = 2**20


class Blob(hubkit.Actor):
    """Has a state of any size."""

    def __init__(self) -> None:
        self.data = b""

    async def grow(self, size: int) -> None:
        self.data = bytes(size)  # of zeros: they take no memory until somebody writes them

    async def size(self) -> int:
        return len(self.data)

    async def term(self) -> int:
        return self.context.term

    async def keep(self) -> str:
        await self.context.checkpoint()
        return self.context.role

    def handover_state(self) -> Any:
        return self.data

    def accept_handover(self, state: Any) -> None:
        self.data = state


async def place(hubs: list[hubkit.Hub], node: str) -> str:
    """A child on this node."""
    for number in range(100):
        ref = await hubs[0].start_child(hubkit.child(f"c{number}", Blob))
        assert ref.pid is not None
        if ref.pid.node == node:
            return f"c{number}"
        await hubs[0].stop_child(f"c{number}")
    raise AssertionError(node)


@pytest.mark.parametrize("size", [0, MIB, 100 * MIB])
async def test_a_large_state_travels_and_delays_no_heartbeat(size: int) -> None:
    async with cluster(2, migration=HotSwap()) as hubs:
        troubles: list[Any] = []
        for hub in hubs:
            for kind in (NodeSuspected, NodeLeft, MoveFailed):
                hub.on(kind, troubles.append)
        id = await place(hubs, "a")
        await hubs[1].ref(id, Blob).call(Blob.grow, size)
        with trio.fail_after(30):
            await hubs[0].move(id, "b")
        assert await hubs[0].ref(id, Blob).call(Blob.size) == size
        assert troubles == []


async def test_a_state_above_the_limit_of_a_message_stays_and_says_why() -> None:
    async with cluster(2, migration=HotSwap()) as hubs:
        failures: list[MoveFailed] = []
        hubs[0].on(MoveFailed, failures.append)
        id = await place(hubs, "a")
        await hubs[1].ref(id, Blob).call(Blob.grow, MAX_CARGO + 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hubs[0].move, id, "b")
            await until(lambda: failures, within=30)
            assert f"at most {MAX_CARGO:,} bytes can; send it in several messages" in failures[0].error
            assert (failures[0].source, failures[0].target) == ("a", "b")
            assert await hubs[1].ref(id, Blob).call(Blob.size) == MAX_CARGO + 1
            await hubs[1].ref(id, Blob).call(Blob.grow, 1)
        assert await hubs[1].ref(id, Blob).call(Blob.size) == 1


async def test_a_checkpoint_of_one_that_is_stopped_meanwhile_is_not_kept() -> None:
    async with cluster(2, redundancy=Replication(2)) as hubs:
        id = await place(hubs, "a")
        household, handovers = hubs[0]._driver.household, hubs[0]._driver.handovers
        assert household is not None
        assert handovers is not None
        keeper = household.keepers[id]
        assert keeper.cell is not None
        keeper.stopping = "conflict"
        with pytest.raises(NoSuchActor, match="is being stopped here"):
            await handovers.checkpoint(keeper.cell)
        keeper.stopping, keeper.passive = None, True
        await handovers.checkpoint(keeper.cell)  # one that stands by has nothing to give
        keeper.passive = False
        assert await hubs[1].ref(id, Blob).call(Blob.keep) == "active"


async def test_one_that_stands_by_for_a_moment_goes_on_under_the_greater_term() -> None:
    """Let go of and taken up in one turn: the same actor, its state and its pid."""
    async with cluster(2, redundancy=Replication(2)) as hubs:
        id = await place(hubs, "a")
        ref = hubs[1].ref(id, Blob)
        await ref.call(Blob.grow, 7)
        pid, handovers = ref.pid, hubs[0]._driver.handovers
        assert handovers is not None
        handovers.demote(id)
        handovers.promote(id, 7, "migration")
        assert (await ref.call(Blob.term), await ref.call(Blob.size), ref.pid) == (7, 7, pid)


@pytest.mark.parametrize(
    "message",
    [
        [],
        [0, "c", [1, 1, "a#1"], "text"],
        [0, "c", [1, -1, "a#1"], b""],
        [0, "c", [1, 1], b""],
        [1, "c", [1, 1, "a#1"], b"why"],
        [2, "c", True, b""],
        [2, "c", 99, b""],
        [2, "c", -1, b""],
        [3, "c"],
    ],
)
async def test_messages_that_make_no_sense(message: list[Any]) -> None:
    async with hubkit.Hub("shop", migration=HotSwap()) as hub:
        handovers = hub._driver.handovers
        assert handovers is not None
        with pytest.raises(ProtocolViolation):
            handovers.receive("b#1", message)


async def test_what_is_not_there_is_declined_offered_to_nobody_and_discarded_in_peace() -> None:
    async with hubkit.Hub("shop", migration=HotSwap()) as hub:
        handovers = hub._driver.handovers
        assert handovers is not None
        ticket = Ticket(1, 1, "b#1")
        handovers.receive("b#1", [0, "nobody", list(ticket), b""])
        handovers.receive("b#1", [1, "nobody", list(ticket), "why"])
        handovers.receive("b#1", [2, "nobody", 0, b""])
        handovers.offer("nobody", "b#1", ticket)
        for act in (handovers.thaw, handovers.demote, handovers.discard):
            act("nobody")
        handovers.freeze("nobody", ticket)
        handovers.promote("nobody", 3, "migration")
        assert handovers.take_kept("nobody", ticket) is None
        with pytest.raises(AssertionError):
            handovers.perform("nonsense")  # type: ignore[arg-type]  # on purpose
