"""The same call to many actors, under whatever scope its caller likes: `MultiCall`.

Law of this room: what has come is kept. Whoever waits may be cancelled at any moment, by a deadline most of all; each reply
and each error that was there by then stays where it is, by ref, and the others are known to be missing. One actor's failure is
an entry, not an exception; but a mistake in the call itself (arguments that do not fit, no such method given) is raised.

Refused: a `timeout=`; trio's scopes do that. And a mode that ends at the first failure: that is a plain nursery.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import trio

from hubkit.actors.actor import method_name
from hubkit.actors.ref import Ref
from hubkit.errors import ConfigurationError, HubkitError, Reject
from hubkit.specs import check_count

__all__ = ["MultiCall"]

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")


class MultiCall(Generic[R]):
    """One call to each of many actors, and what came of it so far.

    ``refs``: whom to call; one that is there twice is called once. `run` makes the calls; afterwards, or when it was
    cancelled, ``replies`` has the results and ``errors`` the exceptions, both by ref, in the order in which they came, and
    ``missing`` the refs that have not answered. Raises `ConfigurationError` for what are no refs, or no method. Example::

        ask = hubkit.MultiCall(refs, Counter.add, 1)
        with trio.move_on_after(0.5):
            await ask.run()
        total = sum(ask.replies.values())
        print(f"{len(ask.missing)} have not answered in time, {len(ask.errors)} failed")
    """

    __slots__ = ("_args", "_errors", "_kwargs", "_method", "_refs", "_replies", "_started")

    @overload
    def __init__(
        self,
        refs: Iterable[Ref[A]],
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None: ...
    @overload
    def __init__(self: MultiCall[Any], refs: Iterable[Ref[Any]], method: str, /, *args: Any, **kwargs: Any) -> None: ...
    def __init__(self, refs: Iterable[Ref[Any]], method: Any, /, *args: Any, **kwargs: Any) -> None:
        method_name(method)
        if isinstance(refs, Ref | str) or not isinstance(refs, Iterable):
            msg = f"a MultiCall needs several refs, not {refs!r:.80}"
            raise ConfigurationError(msg)
        self._refs: tuple[Ref[Any], ...] = tuple(dict.fromkeys(_checked(ref) for ref in refs))
        self._method = method
        self._args = args
        self._kwargs = kwargs
        self._replies: dict[Ref[Any], R] = {}
        self._errors: dict[Ref[Any], Exception] = {}
        self._started = False

    def __repr__(self) -> str:
        name = method_name(self._method)
        return (
            f"<MultiCall {name}: {len(self._replies)} replies, {len(self._errors)} errors, {len(self.missing)} missing>"
        )

    @property
    def replies(self) -> Mapping[Ref[Any], R]:
        """What each has answered, so far."""
        return MappingProxyType(self._replies)

    @property
    def errors(self) -> Mapping[Ref[Any], Exception]:
        """What the calls that failed have raised, so far: see `Ref.call`."""
        return MappingProxyType(self._errors)

    @property
    def missing(self) -> tuple[Ref[Any], ...]:
        """Who has not answered, in the order of ``refs``. A request may have been handled all the same."""
        return tuple(ref for ref in self._refs if ref not in self._replies and ref not in self._errors)

    async def run(self, *, limit: int = 100) -> None:
        """Make the calls, at most ``limit`` at a time, and wait until each has ended.

        Cancelled, it withdraws those that have not begun; what has come stays. Raises `ConfigurationError` the second time,
        `TypeError` for arguments that do not fit the method of an actor of this process.
        """
        check_count(limit, "limit", least=1)
        if self._started:
            msg = "a MultiCall is made once: make a new one"
            raise ConfigurationError(msg)
        self._started = True
        await trio.lowlevel.checkpoint()
        todo = iter(self._refs)
        mistakes: list[Exception] = []
        async with trio.open_nursery() as nursery:
            for _ in range(min(limit, len(self._refs))):
                nursery.start_soon(self._work, todo, mistakes, nursery.cancel_scope)
        if mistakes:
            raise mistakes[0]

    async def _work(self, todo: Iterator[Ref[Any]], mistakes: list[Exception], scope: trio.CancelScope) -> None:
        for ref in todo:
            try:
                self._replies[ref] = await ref.call(self._method, *self._args, **self._kwargs)
            except Exception as error:
                if isinstance(error, ConfigurationError) or not isinstance(
                    error, HubkitError | Reject | trio.TooSlowError
                ):
                    mistakes.append(error)
                    scope.cancel()
                    return
                self._errors[ref] = error


def _checked(ref: object) -> Ref[Any]:
    if not isinstance(ref, Ref):
        msg = f"a MultiCall needs refs, and {ref!r:.80} is none"
        raise ConfigurationError(msg)
    return ref
