"""What a peer that knows the secret, and is no honest node, can make a node do: answer, and nothing that it has not marked."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import hubkit
from hubkit.cluster.effects import Start
from hubkit.cluster.rows import Row, Want
from hubkit.cluster.stamps import Stamp
from hubkit.cluster.sync import Sync, to_wire
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, HandshakeRefused
from hubkit.net.greeting import greet, guarded
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.operator import ask
from hubkit.net.transport import Link
from hubkit.net.websocket import WebSocketTransport
from hubkit.net.wire import Kind, decode_frame, encode_app, encode_frame
from hubkit.node.answers import Code
from hubkit.node.directory import DENY, HUBS
from hubkit.node.ears import UNKNOWN
from hubkit.node.exchange import CALL
from hubkit.node.node import CAPABILITIES
from hubkit.node.operator import LOOKING
from hubkit.node.shapes import REPLY

SECRET, OPERATOR = "the nodes' own", "for those who look"
ME = "stranger#1"


class Known(hubkit.Actor):
    """What this process has marked."""

    async def add(self, n: int) -> int:
        return n + 1


class Plain:
    """What it has not."""

    def __init__(self) -> None:
        raise AssertionError


@asynccontextmanager
async def hub_of_one(**options: Any) -> AsyncIterator[tuple[hubkit.Hub, str]]:
    with trio.fail_after(20):
        async with (
            hubkit.Node(
                listen="ws://127.0.0.1:0", name="a", secret=SECRET, operator_secret=["newer", OPERATOR], beat=0.1
            ) as node,
            hubkit.Hub("shop", node=node, **options) as hub,
        ):
            assert node.url is not None
            yield hub, node.url


@asynccontextmanager
async def stranger(url: str, secret: str = SECRET, **identity: Any) -> AsyncIterator[Link]:
    link = await WebSocketTransport().dial(url)
    me = Identity(ME, None, **{"capabilities": CAPABILITIES, **identity})
    handshake = Handshake(me, dialing=True, nonce=Environment().token(32), secrets=(secret.encode(),))
    try:
        await greet(link, handshake, within=5)
        yield guarded(link, handshake)
    finally:
        await link.aclose()


async def say(link: Link, *messages: list[Any]) -> None:
    await link.send(encode_frame([encode_app(message) for message in messages]))


async def hear(link: Link, kind: int) -> list[Any]:
    """The next message of this kind; where a frame has several, the last of them."""
    found: list[Any] = []
    while not found:
        for message in decode_frame(await link.receive()):
            if message[0] == Kind.APP and message[1][0] == kind:
                found = message[1]
    return found


NAMES = [
    "tests.node.unimported:Sleeping",
    "tests.node.test_strangers:Plain",
    "builtins:eval",
    "os:system",
    "hubkit.node.node:Node",
]


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_is_started_that_was_not_marked_here(name: str) -> None:
    async with hub_of_one() as (hub, url), stranger(url) as link:
        driver = hub._driver
        await hear(link, HUBS)
        now = int(hub.node.environment.wall() * 1000)
        stamp = Stamp(now, 0, ME)
        rows: dict[Any, Row] = {("want", "x"): Row(stamp, Want(name, b"", pins=("a",), rev=stamp))}
        sync = Sync(rows, upto={ME: (now, 0)}, since={}, have={}, kind="delta", more=False, digest=0)
        await say(link, [HUBS, [["shop", True, *driver.agreement]]], [0, "shop", to_wire(sync)])
        while "x" not in driver.core.wants:
            await trio.sleep(0.01)
        await hub.start_child(hubkit.child("known", Known))  # the node lives on, and has looked at all by then
        # And if the core could be talked into starting it all the same:
        driver._perform(Start("x", driver.core.wants["x"], 1, "start", False, None))
        driver.wake()
        while not any(run.phase == "failed" for run in driver.core.runs.get("x", {}).values()):
            if "x" in driver.failures:
                break
            await trio.sleep(0.01)
        assert hub.pids("x") == ()
        assert "tests.node.unimported" not in sys.modules


async def test_of_a_node_that_is_not_admitted_nothing_is_taken_in() -> None:
    """Nor of one that does not even ask."""
    async with hub_of_one(admit=lambda name, labels: name != "stranger") as (hub, url):
        for hubs in ([["shop", True, *hub._driver.agreement, {}]], []):
            async with stranger(url) as link:
                await hear(link, HUBS)
                now = int(hub.node.environment.wall() * 1000)
                stamp = Stamp(now, 0, ME)
                rows: dict[Any, Row] = {("want", "x"): Row(stamp, Want("x:y", b"", rev=stamp))}
                sync = Sync(rows, upto={ME: (now, 0)}, since={}, have={}, kind="whole", more=False, digest=0)
                await say(link, [HUBS, hubs], [0, "shop", to_wire(sync)], [-8, "shop", ["nonsense"]], [UNKNOWN + 1000])
                if hubs:
                    assert await hear(link, DENY) == [DENY, "shop"]
                else:
                    assert await hear(link, UNKNOWN) == [UNKNOWN, UNKNOWN + 1000]  # it lives, and has looked at all
                assert hub.children() == {}
                assert set(hub._driver.core.nodes) == {hub._driver.node}


async def test_only_the_protocol_of_an_actor_is_called() -> None:
    async with hub_of_one() as (hub, url), stranger(url) as link:
        await hub.start_child(hubkit.child("known", Known))
        (pid,) = hub.pids("known")
        for number, method in enumerate(["__init__", "on_stop", "context", "add.__globals__", "", "handover_state"], 1):
            await say(link, [CALL, number, pid.serial, method, [], [1], None])
            answer = await hear(link, REPLY)
            assert answer[1] == number
            assert answer[2] != Code.OK, method
        await say(link, [CALL, 9, pid.serial, "add", [], [1], None, "of a later release"])
        assert (await hear(link, REPLY))[:3] == [REPLY, 9, Code.OK]
        assert hub.pids("known") == (pid,)


async def test_an_unknown_message_is_answered() -> None:
    async with hub_of_one() as (hub, url), stranger(url) as link:
        await say(link, [12345, "?"], [UNKNOWN, 5])
        assert await hear(link, UNKNOWN) == [UNKNOWN, 12345]
        await say(link, [-12345])
        assert await hear(link, UNKNOWN) == [UNKNOWN, -12345]
        assert ME in hub.node.linked()


async def test_of_the_release_before_nothing_unknown_is_expected() -> None:
    async with hub_of_one() as (_, url), stranger(url, capabilities=("hub.1", "actors.1")) as link:
        await say(link, [12345, "?"])
        with pytest.raises(hubkit.errors.LinkClosed):
            await hear(link, UNKNOWN)


# -- operators


async def asked(url: str, message: list[Any], secret: str) -> list[Any]:
    return await ask(WebSocketTransport(), url, message, secrets=(secret.encode(),), environment=Environment())


async def test_an_operators_secret_looks_and_does_not_touch() -> None:
    async with hub_of_one() as (hub, url):
        for secret in ("newer", OPERATOR, SECRET):
            assert (await asked(url, ["status"], secret))[0] == "ok"
            assert (await asked(url, ["children", "shop"], secret)) == ["ok", []]
        for message in (["drain"], ["start", "x"], [CALL, 1, 1, "add", [], [1], None], [], ["status\0"]):
            kind, text = await asked(url, message, OPERATOR)
            assert kind == "error"
            assert "who may look" in text
            assert "use the nodes' own secret" in text
        assert "not drain" in (await asked(url, ["drain"], OPERATOR))[1]
        assert "who may look" not in (await asked(url, ["drain"], SECRET))[1]
        assert hub.is_settled


def test_what_may_be_asked_is_a_list() -> None:
    assert {"status", "children", "links", "explain", "plan", "top"} <= set(LOOKING)
    assert not {"drain", "start", "stop", "call"} & set(LOOKING)


async def test_an_operators_secret_makes_no_node() -> None:
    async with hub_of_one() as (hub, url):
        with pytest.raises(HandshakeRefused, match="a node needs the secret of the nodes") as caught:
            async with stranger(url, OPERATOR):
                pass
        assert (caught.value.code, caught.value.by_peer) == ("access", True)
        with pytest.raises(HandshakeRefused) as caught:
            async with hubkit.Hub("shop", listen="ws://127.0.0.1:0", name="b", join=[url], secret=OPERATOR):
                pass
        assert caught.value.code == "access"
        assert hub.nodes() == ()


@pytest.mark.parametrize(
    ("secret", "operator", "said"),
    [
        (None, "x", "operator_secret needs secret"),
        (["a", "b"], ["c", "b"], "must be another one"),
        ("a", "", "operator_secret must be a non-empty"),
        ("a", 5, "operator_secret must be a non-empty"),
    ],
)
def test_operator_secrets_that_make_no_sense(secret: Any, operator: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        hubkit.Node(secret=secret, operator_secret=operator)


@pytest.mark.parametrize("oldest", [0, 3, "2", True, None])
def test_protocol_versions_that_make_no_sense(oldest: Any) -> None:
    with pytest.raises(ConfigurationError, match="min_protocol must be one of 1, 2"):
        hubkit.Node(min_protocol=oldest)


@pytest.mark.parametrize("count", [0, 1, -5, 2.0, "256", True, None])
def test_limits_of_an_address_that_make_no_sense(count: Any) -> None:
    with pytest.raises(ConfigurationError, match="per_address must be an int, at least 2"):
        hubkit.Node(per_address=count)
