"""The mesh over real sockets: who finds whom, and what arrives."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from tests.net.peers import Peer, impostor, pair, running, until

from hubkit.errors import DialRefused, NotSerializable
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import CHUNK, encode_app

# -- finding each other


async def test_three_nodes_form_a_full_mesh_from_one_seed() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b, c = Peer("b", seeds=[a.url]), Peer("c", seeds=[a.url])
        began = trio.current_time()
        for peer in (b, c):
            await nursery.start(peer.run)
        await until(lambda: a.linked_to(b, c) and b.linked_to(a, c) and c.linked_to(a, b))
        assert trio.current_time() - began < 1.0
        assert a.mesh.identity.address == a.url
        assert [entry for entry in c.log if entry[0] == "linked"]


async def test_five_nodes_that_all_dial_each_other_at_once() -> None:
    transports = [WebSocketTransport("ws://127.0.0.1:0") for _ in range(5)]
    urls = [await transport.open() for transport in transports]
    peers = [Peer(name, transport=transport, seeds=urls) for name, transport in zip("abcde", transports, strict=True)]
    async with running() as nursery:
        for peer in peers:
            nursery.start_soon(nursery.start, peer.run)
        await until(lambda: all(p.linked_to(*(o for o in peers if o is not p)) for p in peers))

        def all_have_heard_all() -> bool:
            # Of two links whose greetings crossed one is up for a moment, and what was sent on it is lost with it.
            for n, peer in enumerate(peers):
                for other in peers:
                    if other is not peer and (peer.id, [n]) not in other.messages:
                        peer.mesh.send(other.id, [n])
            return all(
                {sender for sender, _ in peer.messages} == {o.id for o in peers if o is not peer} for peer in peers
            )

        await until(all_have_heard_all)
        # A link that is up stays up: nobody goes on dialling.
        ups = [len(peer.log) for peer in peers]
        await until(lambda: all(peer.beats >= 2 for peer in peers))
        assert [len(peer.log) for peer in peers] == ups


@pytest.mark.parametrize("round", range(8))
async def test_two_that_dial_each_other_keep_one_link(round: int) -> None:
    transports = [WebSocketTransport("ws://127.0.0.1:0") for _ in range(2)]
    urls = [await transport.open() for transport in transports]
    a, b = (Peer(name, transport=t, seeds=urls) for name, t in zip("ab", transports, strict=True))
    async with running() as nursery:
        nursery.start_soon(nursery.start, a.run)
        for _ in range(round * 4):
            await trio.lowlevel.checkpoint()
        nursery.start_soon(nursery.start, b.run)
        await until(lambda: a.linked_to(b) and b.linked_to(a))
        await until(lambda: a.mesh.send(b.id, ["x"]) and b.messages)
        await until(lambda: b.mesh.send(a.id, ["y"]) and a.messages)
        (one,), (other,) = a.mesh.links.values(), b.mesh.links.values()
        assert one.dialed != other.dialed


async def test_members_are_learnt_from_the_owner_too() -> None:
    a, b = Peer("a"), Peer("b")
    async with running(a, b):
        b.mesh.know(a.id, a.url)
        b.mesh.know(a.id, a.url)
        b.mesh.know(b.id, b.url)
        await until(lambda: a.linked_to(b))


async def test_seeds_are_asked_for_until_they_answer() -> None:
    reserved = WebSocketTransport("ws://127.0.0.1:0")
    url = await reserved.open()
    late = Peer("late", transport=reserved)
    early = Peer("early", seeds=[url])
    async with running(early) as nursery:
        # The port is taken, but nobody answers yet.
        await nursery.start(late.run)
        await until(lambda: early.linked_to(late))


async def test_seeds_that_refuse_are_reported_and_tried_again() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        a.scope.cancel()
        b = Peer("b", seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: b.said("exhausted"))
        assert b.said("seed failed", a.url, DialRefused)
        again = Peer("a", boot=2, listen=a.url)
        await nursery.start(again.run)
        await until(lambda: b.linked_to(again))
        again.scope.cancel()
        await until(lambda: b.log.count(("exhausted",)) == 2)


async def test_seeds_that_are_told_later_come_and_go() -> None:
    a = Peer("a")
    async with running(a) as nursery:
        b = Peer("b", seeds=None)
        await nursery.start(b.run)
        b.mesh.set_seeds({}, False)
        await trio.testing.wait_all_tasks_blocked()
        assert not b.said("exhausted")  # more was to be waited for
        b.mesh.set_seeds({a.url: False, b.url: False}, True)
        await until(lambda: b.linked_to(a))
        b.mesh.set_seeds({}, True)
        await trio.testing.wait_all_tasks_blocked()
        assert b.linked_to(a)  # a member by now


async def test_seeds_that_are_told_after_the_end_are_told_in_vain() -> None:
    a = Peer("a", seeds=None)
    async with running(a) as nursery:
        nursery.cancel_scope.cancel()
    a.mesh.set_seeds({"ws://127.0.0.1:1": False}, True)
    assert not a.said("exhausted")


@pytest.mark.parametrize("written", [True, False])
async def test_a_node_that_said_goodbye_is_dialled_again_if_its_address_is_written_down(written: bool) -> None:
    a = Peer("a", seeds=None, beat=0.05)
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url])  # so it is a that accepts
        await nursery.start(b.run)
        await until(lambda: a.linked_to(b))
        a.mesh.set_seeds({b.url: written}, True)
        await until(lambda: b.linked_to(a))
        await b.mesh.goodbye(within=1)
        b.scope.cancel()
        await until(lambda: a.said("down", b.id, True))
        dials = a.log.count(("seed failed", b.url, DialRefused))
        again = Peer("b", boot=2, listen=b.url)  # it joins nobody
        if written:
            await nursery.start(again.run)
            await until(lambda: a.linked_to(again))
        else:
            beats = a.beats
            await until(lambda: a.beats > beats + 5)
            assert a.log.count(("seed failed", b.url, DialRefused)) == dials
            # told of no more, and then anew: it is another one
            a.mesh.set_seeds({}, True)
            a.mesh.set_seeds({b.url: False}, True)
            await nursery.start(again.run)
            await until(lambda: a.linked_to(again))


async def test_who_comes_after_one_that_said_goodbye_is_dialled_when_others_tell_of_it() -> None:
    a = Peer("a", seeds=None)
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url])
        await nursery.start(b.run)
        await until(lambda: a.linked_to(b))
        a.mesh.set_seeds({b.url: False}, True)
        await b.mesh.goodbye(within=1)
        b.scope.cancel()
        await until(lambda: a.said("down", b.id, True))
        await trio.testing.wait_all_tasks_blocked(0.05)
        again = Peer("b", boot=2, listen=b.url)
        await nursery.start(again.run)
        a.mesh.know(again.id, again.url)
        await until(lambda: a.linked_to(again))


async def test_found_addresses_that_come_and_go_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hubkit.net")
    a = Peer("a", seeds=None)

    async def all_tried(count: int) -> None:
        await until(lambda: len({entry for entry in a.log if entry[0] == "seed failed"}) == count)

    async with running(a):
        for turn in range(3):
            found = [f"nonsense {turn} {number}" for number in range(40)]
            a.mesh.set_seeds(dict.fromkeys(found, False) | {"written": True}, True)
            await all_tried(1 + len(found) * (turn + 1))
    told = [record.getMessage() for record in caplog.records if "dialling" in record.getMessage()]
    assert len(told) == 64 + 1  # one for the address that is written down
    assert "not logged for an hour" in told[-1]


async def test_a_seed_that_leads_to_oneself_is_no_failure() -> None:
    transport = WebSocketTransport("ws://127.0.0.1:0")
    url = await transport.open()
    a = Peer("a", transport=transport, seeds=[url])
    async with running(a):
        await until(lambda: a.said("exhausted"))
        assert a.log == [("exhausted",)]


async def test_a_bad_seed_is_a_failure_like_any_other() -> None:
    a = Peer("a", seeds=["nonsense"])
    async with running(a):
        await until(lambda: a.said("exhausted"))
        assert a.log[0][:2] == ("seed failed", "nonsense")


# -- carrying


async def test_messages_arrive_in_order_and_large_ones_in_pieces() -> None:
    async with pair() as (a, b):
        large = bytes(3 * CHUNK + 17)
        for n in range(500):
            assert a.mesh.send(b.id, [n, None, True, 1.5, "text", b"bytes", {"k": [n]}])
        assert a.mesh.send(b.id, [500, large])
        assert a.mesh.send(b.id, [501])
        assert a.mesh.send(b.id, ["urgent"], urgent=True)
        await until(lambda: len(b.messages) == 503)
        bulk = [message for peer, message in b.messages if message != ["urgent"]]
        assert [message[0] for message in bulk] == list(range(502))
        assert bulk[500][1] == large
        assert bulk[0] == [0, None, True, 1.5, "text", b"bytes", {"k": [0]}]
        (statistics,) = a.mesh.links.values()
        assert statistics.peer == b.id
        assert statistics.messages_out >= 503
        assert statistics.frames_out < 100
        assert statistics.waiting == statistics.waiting_bytes == 0
        assert statistics.silent < 3
        (theirs,) = b.mesh.links.values()
        assert theirs.bytes_in >= len(large)


async def test_what_is_encoded_already_keeps_its_place() -> None:
    async with pair() as (a, b):
        assert a.mesh.send(b.id, [1])
        waiting = a.mesh.write(b.id, encode_app([2, "by hand"]))
        assert waiting == a.mesh.backlog(b.id) > 0
        assert a.mesh.send(b.id, [3])
        assert a.mesh.write("nobody#1", encode_app([4])) == -1
        await until(lambda: len(b.messages) == 3)
        assert [message for _, message in b.messages] == [[1], [2, "by hand"], [3]]


async def test_heartbeats_pass_large_messages() -> None:
    async with pair(beat=0.05, max_outbox=1 << 30) as (a, b):
        for n in range(12):
            a.mesh.send(b.id, [n, bytes(12 << 20)])
        beats = len(b.heard_beats)
        await until(lambda: b.messages)
        assert len(b.heard_beats) > beats
        await until(lambda: len(b.messages) == 12)
        assert len(b.log) == 2  # linked, up: never silent for long


async def test_sending_to_nobody_or_nothing_that_can_travel() -> None:
    async with pair() as (a, b):
        assert not a.mesh.send("c#1", [1])
        await a.mesh.wait_room("c#1")
        with pytest.raises(NotSerializable):
            a.mesh.send(b.id, [object()])
        assert a.mesh.send(b.id, [1])


async def test_senders_of_bulk_can_wait() -> None:
    async with pair() as (a, b):
        for n in range(40):
            await a.mesh.wait_room(b.id)
            assert a.mesh.send(b.id, [n, bytes(1 << 20)])
            assert a.mesh.links[b.id].waiting_bytes < 4 << 20
        await until(lambda: len(b.messages) == 40)


async def test_a_full_outbox_ends_that_link_only(caplog: pytest.LogCaptureFixture) -> None:
    a = Peer("a", max_outbox=8 << 20)
    async with running(a) as nursery:
        b = Peer("b", seeds=[a.url])
        await nursery.start(b.run)
        async with impostor(a):  # which never reads
            await until(lambda: len(a.mesh.links) == 2)
            async with trio.open_nursery() as waiting:
                while a.mesh.send("x#1", [bytes(1 << 20)]):
                    waiting.start_soon(a.mesh.wait_room, "x#1")
                assert not a.mesh.send("x#1", [])
                await until(lambda: a.said("down", "x#1", False))
            assert a.mesh.send(b.id, ["still here"])
            await until(lambda: b.messages)
