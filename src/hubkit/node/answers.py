"""How errors answer a request from another node: as themselves, or as the nearest thing that can travel.

Law of this room: a caller gets the type that it would get from an actor beside it. hubkit's own errors and built-in
exceptions are rebuilt; a `Reject` is rebuilt where its class is defined; everything else becomes a `RemoteFailure` that
names its type and shows its traceback. Nothing is imported, and nothing but these types is ever called.
"""

from __future__ import annotations

import builtins
import re
import traceback
from enum import IntEnum
from typing import Any

import trio

from hubkit import errors
from hubkit.actors.messages import NotBegun
from hubkit.errors import (
    ActorCrashed,
    Deadlock,
    HubkitError,
    MailboxFull,
    NoSuchActor,
    NoSuchMethod,
    NotSerializable,
    ProtocolViolation,
    Reject,
    RemoteFailure,
)
from hubkit.names import error_name, error_text, find_reject, wire_name
from hubkit.net.payload import Payloads

__all__ = ["Code", "decode_cause", "decode_error", "encode_cause", "encode_error", "rebuild"]

TRACEBACK = 16_000


class Code(IntEnum):
    """What kind of answer a reply is."""

    OK = 0
    CRASHED = 1
    REJECTED = 2
    NOT_BEGUN = 3
    NO_METHOD = 4
    DEADLOCK = 5
    MISFIT = 6
    NOT_SERIALIZABLE = 7
    TOO_SLOW = 8
    NO_ACTOR = 9
    FULL = 10


_TYPES: dict[Code, type[Exception]] = {
    Code.NOT_BEGUN: NotBegun,
    Code.NO_METHOD: NoSuchMethod,
    Code.DEADLOCK: Deadlock,
    Code.NOT_SERIALIZABLE: NotSerializable,  # before TypeError, which it is, too
    Code.MISFIT: TypeError,
    Code.TOO_SLOW: trio.TooSlowError,
    Code.NO_ACTOR: NoSuchActor,
    Code.FULL: MailboxFull,
}


#: How an `OSError` says its number.
_ERRNO = re.compile(r"\[Errno (\d{1,9})\] (.*)", re.DOTALL)


def encode_error(error: BaseException, payloads: Payloads) -> tuple[Code, bytes]:
    """The answer for an error."""
    if isinstance(error, Reject):
        name, text = wire_name(type(error)), error_text(error)
        try:
            return Code.REJECTED, payloads.dumps([name, list(error.args), text])
        except NotSerializable:
            return Code.REJECTED, payloads.dumps([name, [text], text])
    if not isinstance(error, ActorCrashed):
        for code, kind in _TYPES.items():
            if isinstance(error, kind):
                return code, payloads.dumps(error_text(error))
    cause = error.__cause__ if isinstance(error, ActorCrashed) else error
    return Code.CRASHED, payloads.dumps([str(error), None if cause is None else _describe(cause)])


def _describe(cause: BaseException) -> list[str]:
    return [error_name(cause), error_text(cause)[:TRACEBACK], "".join(traceback.format_exception(cause))[-TRACEBACK:]]


def encode_cause(error: BaseException, payloads: Payloads) -> bytes:
    """An error that answers no request: by what an actor ended. Never raises."""
    try:
        if isinstance(error, (Reject, ActorCrashed, *_TYPES.values())):
            code, payload = encode_error(error, payloads)
            return payloads.dumps([int(code), payload])
        return payloads.dumps([None, _describe(error)])
    except NotSerializable:  # half a surrogate pair in its text
        return payloads.dumps([None, [error_name(error), "(what it says cannot travel)", ""]])


def decode_cause(data: object, payloads: Payloads) -> Exception | None:
    """What `encode_cause` has written, or `None` for `None`. Raises `ProtocolViolation` for anything else."""
    if data is None:
        return None
    match payloads.loads(data) if type(data) is bytes else None:
        case [None, [str(name), str(text), str(details)]]:
            return rebuild(name, text, details)
        case [int(code), bytes(payload)]:
            return decode_error(code, payload, payloads)
    msg = "the error of an end makes no sense"
    raise ProtocolViolation(msg)


def decode_error(code: int, payload: Any, payloads: Payloads) -> Exception:
    """The error of an answer."""
    if type(payload) is not bytes:
        return ProtocolViolation("the answer makes no sense")
    try:
        value = payloads.loads(payload)
        match Code(code), value:
            case Code.REJECTED, [str(name), list(args), str(text)]:
                return _rejection(name, args, text)
            case Code.CRASHED, [str(text), cause]:
                error = ActorCrashed(text)
                if isinstance(cause, list) and len(cause) == 3:
                    error.__cause__ = rebuild(*map(str, cause))
                return error
            case known, str(text) if known in _TYPES:
                return _TYPES[known](text)
    except (HubkitError, ValueError) as error:
        return ProtocolViolation(f"the answer cannot be read: {error}")
    return ProtocolViolation("the answer makes no sense")


def _rejection(name: str, args: list[Any], text: str) -> Reject:
    cls = Reject if name == wire_name(Reject) else find_reject(name)
    if cls is not None:
        try:
            return cls(*args)
        except Exception:
            pass  # a constructor that refuses its own args, in whatever way: the link must live on
    return Reject(f"{name}: {text}")


def rebuild(name: str, text: str = "", details: str = "") -> Exception:
    """An exception of another process: its own type if that is Python's or hubkit's, else a `RemoteFailure`."""
    cls = getattr(builtins, name, None) if name.isidentifier() else None
    package, _, own = name.rpartition(".")
    if package == errors.__name__ and own in errors.__all__:
        cls = getattr(errors, own)
    if isinstance(cls, type) and issubclass(cls, Exception):
        number = _ERRNO.match(text) if issubclass(cls, OSError) else None
        args = (int(number[1]), number[2]) if number is not None else (text,) if text else ()
        try:
            error = cls(*args)
        except TypeError:
            pass  # UnicodeError and its like take more than a text
        else:
            if details:
                error.add_note(f"(in another process)\n{details}")
            return error
    return RemoteFailure(name, text, details)
