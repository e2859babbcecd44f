"""How a promise of a transport is checked: its name in every failure, a bound in time, and two ends of a link to try it on.

Law of this room: whatever goes wrong in a check is an `AssertionError` that names the promise. No test framework is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps

import trio

from hubkit.errors import DialFailed, DialRefused, LinkClosed
from hubkit.net.transport import MAX_FRAME, Link, Transport

__all__ = [
    "PATIENCE",
    "Check",
    "Factory",
    "check_refused",
    "check_works",
    "echo",
    "expect",
    "linked",
    "promise",
    "raising",
    "serving",
    "soon",
]

Factory = Callable[[], Transport]
Check = Callable[[Factory], Awaitable[None]]

#: Seconds that each check may take, by trio's clock.
PATIENCE = 20.0


def promise(promise: str) -> Callable[[Check], Check]:
    """Make a check of what follows, in whose failure the promise is named."""

    def decorate(check: Check) -> Check:
        @wraps(check)
        async def checked(factory: Factory) -> None:
            try:
                with trio.fail_after(PATIENCE):
                    await check(factory)
            except Exception as error:
                cause = _first(error)
                said = (
                    f"not within {PATIENCE:g} s" if isinstance(cause, trio.TooSlowError) else str(cause) or repr(cause)
                )
                msg = f"broken promise: {promise}: {said}"
                raise AssertionError(msg) from error

        return checked

    return decorate


def _first(error: BaseException) -> BaseException:
    """What went wrong, out of the groups in which nurseries wrap it; a failed expectation before all else."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = [_first(one) for one in error.exceptions]
    return next((one for one in found if isinstance(one, AssertionError)), found[0])


def expect(condition: object, otherwise: str) -> None:
    """Raise `AssertionError`, which says what is wrong, unless the condition holds."""
    if not condition:
        raise AssertionError(otherwise)


@contextmanager
def raising(kind: type[Exception], what: str) -> Iterator[None]:
    """The block must raise such an error; ``what`` says what is in it."""
    try:
        yield
    except kind:
        return
    msg = f"{what} did not raise {kind.__name__}"
    raise AssertionError(msg)


@asynccontextmanager
async def serving(
    transport: Transport, accept: Callable[[Link], Awaitable[None]]
) -> AsyncIterator[tuple[str, trio.CancelScope]]:
    """Serve meanwhile; gives the URL, and the scope to cancel for an earlier end."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def serve(*, task_status: trio.TaskStatus[str | None]) -> None:
            with scope:
                await transport.serve(accept, task_status=task_status)

        url = await nursery.start(serve)
        expect(url is not None, "serve() did not report its URL")
        yield url, scope
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def linked(factory: Factory) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends of one link, which accept frames of any size; the dialer's first. Both are closed in the end."""
    ends, get_end = trio.open_memory_channel[Link](1)
    done = trio.Event()

    async def accept(link: Link) -> None:
        await ends.send(link)
        await done.wait()

    async with serving(factory(), accept) as (url, _):
        near = await factory().dial(url)
        far = await get_end.receive()
        near.allow(MAX_FRAME)
        far.allow(MAX_FRAME)
        yield near, far
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(near.aclose)
                nursery.start_soon(far.aclose)
        done.set()


async def echo(link: Link) -> None:
    """Send back what comes, until the end."""
    with suppress(LinkClosed):
        while True:
            await link.send(await link.receive())


async def soon(condition: Callable[[], object]) -> None:
    """Wait until it holds. The check's own limit bounds it."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.002)  # what is waited for is said by no event


async def check_works(factory: Factory, url: str) -> None:
    """Whoever serves there echoes."""
    link = await factory().dial(url)
    await link.send(b"still there?")
    expect(await link.receive() == b"still there?", "an echo came back changed")
    await link.aclose()


async def check_refused(factory: Factory, url: str) -> None:
    """Soon, nobody listens there any more."""
    while True:
        try:
            link = await factory().dial(url)
        except DialRefused as error:
            expect(url in str(error), f"the text of DialRefused does not say {url}: {error}")
            return
        except DialFailed:
            await trio.sleep(0.01)
        else:
            await link.aclose()
