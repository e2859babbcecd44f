"""Errors as answers: rebuilt as themselves where that is possible, and never more than that."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.hub.actors import Refused

import hubkit
from hubkit import errors
from hubkit.actors.messages import NotBegun
from hubkit.names import error_name, error_text
from hubkit.net.payload import Payloads
from hubkit.node.answers import Code, decode_cause, decode_error, encode_cause, encode_error, rebuild
from hubkit.node.operator import answer

payloads = Payloads(encode_ref=lambda value: None, decode_ref=lambda value: value)


def there_and_back(error: BaseException) -> Exception:
    code, payload = encode_error(error, payloads)
    return decode_error(int(code), payload, payloads)


@pytest.mark.parametrize(
    "error",
    [
        NotBegun("x"), errors.NoSuchMethod("x"), errors.Deadlock("x"), TypeError("x"), errors.NotSerializable("x"),
        trio.TooSlowError("x"), errors.NoSuchActor("x"), errors.MailboxFull("x"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_hubkits_own_errors_arrive_as_themselves(error: Exception) -> None:
    back = there_and_back(error)
    assert type(back) is type(error)
    assert str(back) == "x"


def test_a_crash_carries_its_cause() -> None:
    crash = errors.ActorCrashed("it crashed")
    try:
        raise ValueError("boom")
    except ValueError as error:
        crash.__cause__ = error
    back = there_and_back(crash)
    assert isinstance(back, errors.ActorCrashed)
    assert isinstance(back.__cause__, ValueError)
    assert str(back.__cause__) == "boom"
    assert "raise ValueError" in "".join(back.__cause__.__notes__)


def test_a_cause_that_cannot_be_rebuilt_is_told() -> None:
    class Odd(Exception):
        """Known to nobody else."""

    crash = errors.ActorCrashed("it crashed")
    crash.__cause__ = Odd("why")
    back = there_and_back(crash)
    assert isinstance(back.__cause__, errors.RemoteFailure)
    assert "Odd" in back.__cause__.type_name
    assert there_and_back(errors.ActorCrashed("killed")).__cause__ is None
    assert isinstance(rebuild("UnicodeDecodeError", "x"), errors.RemoteFailure)
    for error in (errors.NodeDown("gone"), errors.NoQuorum("few"), errors.StartFailed("no"), errors.HubClosed("shut")):
        back = rebuild(error_name(error), error_text(error))
        assert (type(back), str(back)) == (type(error), str(error))
    missing = rebuild("FileNotFoundError", "[Errno 2] No such file or directory: 'x'")
    assert (type(missing), getattr(missing, "errno", None)) == (FileNotFoundError, 2)
    assert str(missing) == "[Errno 2] No such file or directory: 'x'"
    assert rebuild("AssertionError", "").args == ()
    assert isinstance(rebuild("hubkit.errors.RemoteFailure", "x"), errors.RemoteFailure)
    assert isinstance(rebuild("hubkit.errors.os", "x"), errors.RemoteFailure)
    assert isinstance(rebuild("SystemExit", "x"), errors.RemoteFailure)
    assert isinstance(rebuild("__import__", "os"), errors.RemoteFailure)
    assert isinstance(rebuild("shop.Oops", "x"), errors.RemoteFailure)


def test_refusals_are_rebuilt_where_they_are_known() -> None:
    class Unknown(errors.Reject):
        """Forgotten below."""

    class Picky(errors.Reject):
        """Takes no arguments, though it was given some."""

        def __init__(self) -> None:
            super().__init__("extra")

    back = there_and_back(Refused("a", 1))
    assert (type(back), back.args) == (Refused, ("a", 1))
    assert type(there_and_back(Refused(object()))) is Refused
    assert type(there_and_back(Picky())) is errors.Reject
    plain = there_and_back(errors.Reject("closed", 5))
    assert (type(plain), plain.args) == (errors.Reject, ("closed", 5))
    payload = payloads.dumps(["nowhere:Gone", ["x"], "x"])
    assert "nowhere:Gone" in str(decode_error(Code.REJECTED, payload, payloads))


@pytest.mark.parametrize(("code", "value"), [(99, "x"), (1, "x"), (2, ["x"]), (3, 5), (0, "x")])
def test_answers_that_make_no_sense(code: int, value: Any) -> None:
    assert isinstance(decode_error(code, payloads.dumps(value), payloads), errors.ProtocolViolation)
    assert isinstance(decode_error(code, b"\xff", payloads), errors.ProtocolViolation)


def test_operators_get_answers_not_exceptions() -> None:
    class FakeHub:
        """A hub with one child."""

        def status(self) -> dict[str, Any]:
            return {"hub": "shop"}

        def listing(self) -> list[dict[str, Any]]:
            return [{"child": "c"}]

    hubs: Any = {"shop": FakeHub()}
    assert answer({"node": "a"}, hubs, ["status"]) == ["ok", {"node": "a", "hubs": [{"hub": "shop"}]}]
    assert answer({}, hubs, ["children", "shop"]) == ["ok", [{"child": "c"}]]
    assert answer({}, hubs, ["children", None]) == ["ok", [{"hub": "shop", "child": "c"}]]
    assert answer({}, hubs, ["children", "mail"])[0] == "error"
    assert answer({}, hubs, ["drop", "everything"])[0] == "error"


class Unprintable(hubkit.Reject):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


class Moody(hubkit.Reject):
    """Can be made where it is raised, but not where it arrives."""

    welcome = True

    def __init__(self, *args: Any) -> None:
        if not Moody.welcome:
            raise LookupError
        super().__init__(*args)


def test_an_error_without_a_text_still_answers() -> None:
    assert type(there_and_back(Unprintable())) is Unprintable


def test_a_refusal_that_refuses_to_be_rebuilt_is_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Moody("x")
    monkeypatch.setattr(Moody, "welcome", False)
    back = there_and_back(refusal)  # whatever it raises, it must not reach the link's reader
    assert type(back) is hubkit.Reject
    assert "Moody" in str(back)


class Strange(Exception): ...


class Unsayable(Exception):
    def __str__(self) -> str:
        return "half a pair: \ud800"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("x"), ValueError, "x"),
        (KeyError("x"), KeyError, "'x'"),
        (TypeError("x"), TypeError, "x"),
        (errors.NoSuchActor("x"), errors.NoSuchActor, "x"),
        (Refused(1, "x"), Refused, "(1, 'x')"),
        (Strange("x"), errors.RemoteFailure, f"{__name__}.Strange: x"),
        (Unsayable(), errors.RemoteFailure, f"{__name__}.Unsayable: (what it says cannot travel)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_error_of_an_end_keeps_its_type_where_that_can_be(error: Exception, kind: type, text: str) -> None:
    back = decode_cause(encode_cause(error, payloads), payloads)
    assert type(back) is kind
    assert str(back) == text


def test_the_error_of_an_end_that_was_a_crash_elsewhere_keeps_its_cause() -> None:
    error = errors.ActorCrashed("x crashed")
    error.__cause__ = ValueError("why")
    back = decode_cause(encode_cause(error, payloads), payloads)
    assert isinstance(back, errors.ActorCrashed)
    assert isinstance(back.__cause__, ValueError)


def test_no_error_is_none_and_nonsense_a_violation() -> None:
    assert decode_cause(None, payloads) is None
    for value in (7, [None, "x"], [1, "x"]):
        with pytest.raises(errors.ProtocolViolation):
            decode_cause(payloads.dumps(value), payloads)
    nonsense: list[object] = [7, [b""], "x", {}]
    for error in nonsense:
        with pytest.raises(errors.ProtocolViolation):
            decode_cause(error, payloads)
