"""Every wrong argument raises at the call, and says what was wrong and what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from tests.hub.actors import Counter

import hubkit
from hubkit import errors, events
from hubkit.hub import wishes
from hubkit.strategies import Guided, NodeView


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"hub_id": ""}, "hub_id must be a non-empty str"),
        ({"hub_id": 5}, "hub_id must be a non-empty str"),
        ({"listen": "http://127.0.0.1:1"}, "scheme"),
        ({"listen": "ws://127.0.0.1"}, "port"),
        ({"listen": 4040}, "listen"),
        ({"listen": "ws://0.0.0.0:4040", "secret": "s"}, "advertise"),
        ({"listen": "ws://192.168.1.5:4040"}, "secret"),
        ({"listen": "wss://127.0.0.1:4040"}, "tls"),
        ({"advertise": "ws://127.0.0.1:4040"}, "advertise needs listen"),
        ({"listen": "ws://127.0.0.1:0", "advertise": "ws://0.0.0.0:4040"}, "advertise"),
        ({"listen": "ws://127.0.0.1:0", "join": "ws://127.0.0.1:4040"}, "join must be a list"),
        ({"listen": "ws://127.0.0.1:0", "join": ["127.0.0.1:4040"]}, "join"),
        ({"listen": "ws://127.0.0.1:0", "join": ["ws://127.0.0.1:0"]}, "join"),
        ({"join": ["ws://127.0.0.1:4040"]}, "join needs listen"),
        ({"secret": ""}, "secret"),
        ({"secret": 5}, "secret"),
        ({"secret": []}, "secret"),
        ({"tls": "yes"}, "hubkit.TLS"),
        ({"name": "a#b"}, "name"),
        ({"name": ""}, "name"),
        ({"node": "a"}, "hubkit.Node"),
        ({"children": [Counter]}, "ChildSpec"),
        ({"children": hubkit.ChildSpec("c", Counter)}, "iterable"),
        ({"children": [hubkit.child("c", Counter), hubkit.child("c", Counter)]}, "two children"),
        ({"actors": [object]}, "actors"),
        ({"actors": 5}, "actors"),
        ({"hooks": 5}, "hooks"),
        ({"max_restarts": -1}, "max_restarts"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"drain_timeout": -1}, "drain_timeout"),
        ({"cancel_grace": "5"}, "cancel_grace"),
        ({"prepare": 1}, "prepare"),
        ({"hooks": [1]}, "hooks"),
        ({"hooks": [(int, print)]}, "event type"),
        ({"distribution": object()}, "distribution"),
        *(({"weight": weight}, "weight must be a number") for weight in (0, -1, float("nan"), float("inf"), True, "2")),
        ({"labels": ["zone"]}, "labels must be a mapping"),
        ({"labels": {"zone": 1}}, "the value of 'zone' in labels"),
        ({"labels": {1: "eu"}}, "each name in labels"),
        ({"children": [hubkit.child("c", Counter)], "distribution": Guided()}, "which Guided"),
    ],
)
def test_wrong_arguments_of_a_hub(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=expected):
        hubkit.Hub(**({"hub_id": "shop"} | arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"beat": 0}, "beat"),
        ({"down_after": 0.5}, "two beats"),
        ({"down_after": float("nan")}, "down_after"),
        *(({"weight": weight}, "weight must be a number") for weight in (0, -1, float("nan"), False, None, "2")),
        ({"labels": "zone"}, "labels must be a mapping"),
        ({"labels": {"zone": None}}, "the value of 'zone' in labels"),
    ],
)
def test_wrong_arguments_of_a_node(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=expected):
        hubkit.Node(**arguments)


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        hubkit.Hub("shop", secret=["hunter2", 5])  # type: ignore[list-item]  # wrong on purpose
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(vars(hubkit.Hub("shop", secret="hunter2").node).get("_secrets_shown", ""))


class Inner:
    """Holds a class whose name has a dot."""

    class Counter(Counter):
        """Is fine: it can be looked up by its qualified name."""


async def test_one_child_that_cannot_travel_leaves_the_others_alone() -> None:
    async with hubkit.Hub("shop") as hub:
        specs = [hubkit.child("a", Counter), hubkit.ChildSpec("b", Counter, (object(),)), hubkit.child("c", Counter)]
        result = await hub.start_children(specs)
        assert (result.status, sorted(result.started), list(result.errors)) == ("partial", ["a", "c"], ["b"])
        assert isinstance(result.errors["b"], errors.NotSerializable)
        assert sorted(hub.children()) == ["a", "c"]
        await hub.stop_children(["a", "c"])
        result = await hub.start_children_soon(specs, on_failure="rollback").wait()
        assert (result.status, result.rolled_back, dict(hub.children())) == ("failed", True, {})


async def test_one_node_writes_no_more_than_the_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "WEIGHT_OF_ONE", 10_000)
    async with hubkit.Hub("shop") as hub:
        large = [hubkit.child(f"c{number}", Counter) for number in range(4)]
        result = await hub.start_children(large, metadata="x" * 3000)
        assert (result.status, sorted(result.started)) == ("partial", ["c0", "c1", "c2"])
        error = result.errors["c3"]
        assert isinstance(error, errors.ConfigurationError)
        assert "'c3' is too much for this node" in str(error)
        await hub.stop_child("c0")
        assert (await hub.start_children(large[3:], metadata="x" * 3000)).status == "ok"


async def test_wrong_arguments_of_calls() -> None:
    class Local(hubkit.Actor):
        """Has no name that others could look up."""

    async with hubkit.Hub("shop") as hub:
        await hub.start_child(hubkit.child("inner", Inner.Counter))
        with pytest.raises(errors.ConfigurationError, match="inside a function"):
            await hub.start_child(hubkit.child("c", Local))
        with pytest.raises(errors.ConfigurationError, match="ChildSpec"):
            await hub.start_child("c")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.NotSerializable, match=r"child 'c'.*object"):
            await hub.start_child(hubkit.ChildSpec("c", Counter, (object(),)))
        with pytest.raises(errors.NotSerializable, match="metadata"):
            await hub.start_child(hubkit.child("c", Counter), metadata=object())
        with pytest.raises(errors.ConfigurationError, match="tag"):
            await hub.start_child(hubkit.child("c", Counter), tag="")
        with pytest.raises(errors.ConfigurationError, match="Guided"):
            await hub.start_child(hubkit.child("c", Counter), nodes=["a"])
        with pytest.raises(errors.ConfigurationError, match="on_failure"):
            await hub.start_children([], on_failure="panic")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="non-empty str"):
            await hub.stop_child("")
        with pytest.raises(errors.ConfigurationError, match="iterable of child ids"):
            await hub.stop_children("inner")
        with pytest.raises(errors.ConfigurationError, match="scope"):
            hub.children("nearby")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="Actor subclass"):
            hub.ref("inner", int)
        with pytest.raises(errors.ConfigurationError, match="ready nodes"):
            await hub.move("inner", "mars")
        with pytest.raises(errors.ConfigurationError, match="ready nodes"):
            await hub.move("inner", [])  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="child_metadata"):
            await hub.start_children([], child_metadata="abc")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="iterable of child ids"):
            await hub.stop_children(5)  # type: ignore[arg-type]  # wrong on purpose
        for wrong, text in (
            ("here", "placement must be a hubkit.Placement"),
            ({"d": hubkit.Placement()}, "placement names 'd', which is not among the specs"),
            ({"c": {"zone": "eu"}}, "placement of child 'c' must be a hubkit.Placement"),
        ):
            with pytest.raises(errors.ConfigurationError, match=text):
                await hub.start_children([hubkit.child("c", Counter)], placement=wrong)  # type: ignore[arg-type]  # wrong on purpose
            with pytest.raises(errors.ConfigurationError, match=text):
                hub.start_children_soon([hubkit.child("c", Counter)], placement=wrong)  # type: ignore[arg-type]  # wrong on purpose
        for add in ("mars", NodeView("mars"), 5):
            with pytest.raises(errors.ConfigurationError, match="add must be an iterable"):
                hub.plan(add=add)  # type: ignore[arg-type]  # wrong on purpose
        for name in ("", 5, NodeView("")):
            with pytest.raises(errors.ConfigurationError, match="a node name"):
                hub.plan(add=[name])  # type: ignore[list-item]  # wrong on purpose
        for remove in ("mars", 5):
            with pytest.raises(errors.ConfigurationError, match="remove must be an iterable"):
                hub.plan(remove=remove)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="a child id"):
            hub.lookup([])  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="a tag"):
            hub.tagged(None)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="must be an Actor subclass"):
            hubkit.ChildSpec("c", Counter())  # an instance, not its class
        with pytest.raises(errors.NoSuchActor):
            await hub.move("nobody", hub.node.name)
        with pytest.raises(errors.ConfigurationError, match="mars"):
            hub.forget("mars")
        with pytest.raises(errors.ConfigurationError):
            hub.forget(hub.node.name)
        with pytest.raises(errors.ConfigurationError, match="no quorum"):
            hub.resize(3)
        with pytest.raises(errors.ConfigurationError, match="event type"):
            hub.on(int, print)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="handler"):
            hub.on(events.Event, 5)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="priority"):
            hub.on(events.Event, print, priority="high")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(errors.ConfigurationError, match="unique on a node"):
            async with hubkit.Hub("shop", node=hub.node):
                pass
        with pytest.raises(errors.ConfigurationError, match="belong to the Node"):
            hubkit.Hub("mail", node=hub.node, secret="s")
