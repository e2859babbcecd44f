"""Names on the wire, addresses, and the tree of errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest
from tests.hub.actors import Counter, Refused

import hubkit
from hubkit import errors, events, names
from hubkit.pids import ChildKey, Pid, boot_of, name_of, node_id


def test_a_class_is_found_by_its_module_and_qualified_name() -> None:
    assert names.wire_name(Counter) == "tests.hub.actors:Counter"
    assert names.find_actor("tests.hub.actors:Counter") is Counter
    assert "tests.hub.actors:Counter" in names.actor_names()
    assert names.find_actor("tests.hub.actors:Nobody") is None


def test_a_class_inside_a_function_has_no_name_for_others() -> None:
    class Local(hubkit.Actor):
        """Only here."""

    name = names.wire_name(Local)
    assert names.find_actor(name) is Local
    assert names.is_local_name(name)
    assert name not in names.actor_names()


def test_a_fixed_name_belongs_to_one_class() -> None:
    def made(name: str) -> object:
        return types.new_class("Made", (), {}, lambda body: body.update(__module__=name, __qualname__="Made"))

    assert names.register_actor(made("one"), "test.fixed") == "test.fixed"
    assert names.register_actor(made("one"), "test.fixed") == "test.fixed"  # the same class, defined again
    with pytest.raises(errors.ConfigurationError, match=r"belongs to one:Made already"):
        names.register_actor(made("two"), "test.fixed")
    for wrong in ("", 5, "x" * 201):
        with pytest.raises(errors.ConfigurationError, match="non-empty str"):
            names.register_actor(made("one"), wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("spec", "file", "expected"),
    [
        ("shop.__main__", None, "shop:X"),
        ("shop.app", None, "shop.app:X"),
        (None, "/a/b/shop.py", "shop:X"),
        (None, None, "__main__:X"),
    ],
)
def test_the_main_program_has_the_name_that_others_import(
    spec: str | None, file: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = types.ModuleType("__main__")
    main.__spec__ = None if spec is None else types.SimpleNamespace(name=spec)  # type: ignore[assignment]  # all that is read
    if file is not None:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)
    thing = types.SimpleNamespace(__module__="__main__", __qualname__="X")
    assert names.wire_name(thing) == expected


def test_a_program_and_its_module_agree_on_names(tmp_path: Path) -> None:
    source = "import hubkit\nclass A(hubkit.Actor):\n    'An actor.'\nprint(A.__hubkit_actor__)\n"
    (tmp_path / "shop.py").write_text(source)
    for how in (["shop.py"], ["-m", "shop"], ["-c", "import shop"]):
        result = subprocess.run([sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert result.stdout == "shop:A\n"


def test_refusals_are_found_by_name() -> None:
    class Deeper(Refused):
        """A refusal of a refusal."""

    assert names.find_reject("tests.hub.actors:Refused") is Refused
    assert names.find_reject(names.wire_name(Deeper)) is Deeper
    assert names.find_reject("builtins:ValueError") is None
    assert names.error_name(ValueError()) == "ValueError"
    assert names.error_name(Refused()) == "tests.hub.actors.Refused"


def test_an_exception_is_told_even_if_it_cannot_tell_itself() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert names.error_text(Mute()) == "(its str raised RuntimeError)"
    for told in (KeyError("x"), ValueError("x"), ValueError(1, 2)):
        assert str(type(told)(names.error_text(told))) == str(told)


def test_addresses_read_well_and_compare_by_value() -> None:
    assert str(Pid("a", 7, 3)) == "<a#7.3>"
    assert str(ChildKey("shop", "c")) == "shop/c"
    assert Pid("a", 7, 3) == Pid("a", 7, 3) != Pid("a", 8, 3)
    node = node_id("host:80", 7)
    assert (name_of(node), boot_of(node)) == ("host:80", 7)


def test_every_error_is_in_the_tree_and_explains_itself() -> None:
    drawn = inspect.getdoc(errors) or ""
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.HubkitError | errors.Reject)
        assert inspect.getdoc(error)
        assert f"-- {name}" in drawn or f"+-- {name}" in drawn or name in drawn, f"{name} is not in the drawing"


def test_errors_carry_what_a_program_decides_by() -> None:
    assert errors.NodeDown().maybe_executed
    assert not errors.NodeDown("gone", maybe_executed=False).maybe_executed
    refused = errors.HandshakeRefused("no", code="secret", by_peer=True)
    assert (refused.code, refused.by_peer) == ("secret", True)
    failure = errors.RemoteFailure("shop.Oops", "it broke", "Traceback ...")
    assert (str(failure), failure.type_name, failure.details) == ("shop.Oops: it broke", "shop.Oops", "Traceback ...")
    assert str(errors.RemoteFailure("shop.Oops", "")) == "shop.Oops"
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.NotSerializable, TypeError)


def test_every_event_is_a_frozen_value_of_its_hub() -> None:
    event = events.NodeSuspected("a", "silent", hub="shop")
    assert event == events.NodeSuspected("a", "silent", hub="shop") != events.NodeSuspected("a", "silent", hub="mail")
    for name in events.__all__:
        cls = getattr(events, name)
        assert issubclass(cls, events.Event)
        assert inspect.getdoc(cls)
