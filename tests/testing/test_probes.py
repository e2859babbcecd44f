"""Probes: what they note, what can be expected of them, and how they say that it did not come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing

import hubkit
from hubkit.errors import ConfigurationError, HubClosed, NoSuchMethod, Reject
from hubkit.testing import Asked, Probe, Simulation, simulated


@dataclass(frozen=True)
class Sold:
    what: str


class OutOfStock(Reject):
    pass


class Store(hubkit.Actor):
    async def price(self, what: str, count: int = 1) -> int:
        return count

    async def order(self, what: str) -> None: ...


class Shop(hubkit.Actor):
    def __init__(self, store: hubkit.Ref[Store], buyer: hubkit.Ref[Any]) -> None:
        self.store = store
        self.buyer = buyer

    async def sell(self, what: str) -> None:
        if await self.store.call(Store.price, what, count=2) > 5:
            await self.store.cast(Store.order, what)
        await self.buyer.send(Sold(what))
        self.context.stop()


async def test_a_probe_notes_what_comes_and_answers_calls(autojump_clock: trio.testing.MockClock) -> None:
    async with Probe() as probe:
        probe.answer(Store.price, 7)
        async with hubkit.start(hubkit.child("shop", Shop, probe.ref, probe.ref)) as shop:
            probe.monitor(shop)
            await shop.cast(Shop.sell, "apple")
            down = await probe.expect(hubkit.Down)
            assert down.reason == "normal"
            assert await probe.expect(Sold) == Sold("apple")
            assert await probe.expect(Store.price) == Asked("price", ("apple",), {"count": 2}, waits=True)
            assert await probe.expect(lambda message: isinstance(message, Asked)) == Asked("order", ("apple",))
            await probe.expect_nothing(within=3600)
        assert [type(message) for message in probe.received] == [Asked, Asked, Sold, hubkit.Down]
    assert trio.current_time() == 3600


async def test_answers_can_be_computed_or_refused(autojump_clock: trio.testing.MockClock) -> None:
    async def later(what: str) -> str:
        await trio.sleep(5)
        return what * 2

    async with Probe() as probe:
        probe.answer("price", lambda what, count=1: count + 1)
        probe.answer("order", OutOfStock("none left"))
        probe.answer("later", later)
        assert await probe.ref.call(Store.price, "apple", count=3) == 4
        assert await probe.ref.call("later", "ab") == "abab"
        with pytest.raises(OutOfStock, match="none left"):
            await probe.ref.call(Store.order, "apple")
        with pytest.raises(Reject, match=r"no answer to the call of dance\(1\): tell it with probe.answer\('dance'"):
            await probe.ref.call("dance", 1)
        with pytest.raises(NoSuchMethod):
            await probe.ref.call("_hidden")
        assert len(probe.received) == 4


async def test_what_does_not_come_is_told_with_what_came(autojump_clock: trio.testing.MockClock) -> None:
    async with Probe() as probe:
        with pytest.raises(AssertionError, match=r"^a Sold did not come within 2 s; nothing came at all$"):
            await probe.expect(Sold, within=2)
        assert trio.current_time() == 2
        probe.ref.send_nowait("one")
        probe.ref.cast_nowait("order", "pear", count=1)
        with pytest.raises(AssertionError) as told:
            await probe.expect("two")
        assert str(told.value) == "'two' did not come within 1 s; what came:\n  'one'\n  cast of order('pear', count=1)"
        with pytest.raises(AssertionError, match=r"^nothing was to come for 5 s; what came:"):
            await probe.expect_nothing(within=5)
        assert trio.current_time() == 3
        assert await probe.expect("one", within=0) == "one"
        with pytest.raises(AssertionError, match="'one' did not come"):
            await probe.expect("one")
        with pytest.raises(AssertionError, match="a request for price did not come"):
            await probe.expect(Store.price)
        await probe.expect(Store.order)
        with pytest.raises(AssertionError, match="is_sold holds did not come within 1 s; nothing came that had not"):
            await probe.expect(is_sold)
        for number in range(25):
            probe.ref.send_nowait(number)
        with pytest.raises(AssertionError, match="and 5 more"):
            await probe.expect(True)
        with pytest.raises(ConfigurationError, match="takes the message alone"):
            await probe.expect(lambda: True)


def is_sold(message: object) -> bool:
    return isinstance(message, Sold)


async def test_a_probe_lives_as_long_as_its_block() -> None:
    probe = Probe()
    with pytest.raises(HubClosed, match="inside `async with`"):
        _ = probe.ref
    async with probe:
        ref = probe.ref
        await ref.send(1)
    assert probe.received == (1,)
    with pytest.raises(hubkit.errors.NoSuchActor):
        await ref.send(2)
    with pytest.raises(HubClosed, match="make a new one"):
        await probe.__aenter__()
    with pytest.raises(ValueError, match="as asked"):
        async with Probe():
            raise ValueError("as asked")


class Herald(hubkit.Actor):
    async def greet(self, who: hubkit.Ref[Any]) -> None:
        await who.send(("hello", self.context.node))


@simulated(seeds=2)
async def test_a_probe_lives_on_the_node_of_its_hub(sim: Simulation) -> None:
    a, b = await sim.start_hub("shop", node="a"), await sim.start_hub("shop", node="b")
    await a.start_children([hubkit.child(f"h{number}", Herald) for number in range(4)])
    async with Probe(b) as probe:
        assert probe.ref.pid is not None
        assert probe.ref.pid.node == "b"
        b.groups.join("g", probe.ref)
        for number in range(4):
            await a.ref(f"h{number}").cast(Herald.greet, probe.ref)
        greetings = [await probe.expect(tuple) for _ in range(4)]
        assert {node for _, node in greetings} == {"a", "b"}
        assert await a.groups.publish("g", "news") == 1
        assert await probe.expect(str) == "news"
        await probe.expect_nothing(within=60)
