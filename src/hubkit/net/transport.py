"""What the mesh needs of a network: a `Transport` that serves and dials, and the `Link` it yields.

Law of this room: a link is message-framed, FIFO and at most once. Frames are lost only by the link's end, and then all of
the later ones are: there is no gap in the middle. A new link is a new life; nothing is resumed.

What every transport promises about cancellation:

* a cancelled ``receive`` leaves the link intact, and no frame is lost;
* a cancelled ``send`` leaves it intact or closed, never corrupt: either nothing of the frame was sent, or the link has
  ended for both sides;
* a cancelled ``dial`` leaves nothing behind; a cancelled ``aclose`` has closed the link nonetheless.

`hubkit.testing.check_transport` checks these promises for any transport.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

__all__ = ["MAX_FRAME", "MAX_GREETING", "Link", "Transport", "at_once", "buffers"]

#: The largest frame, in bytes, that a link accepts from a peer that has proved that it knows the secret.
MAX_FRAME = 1 << 20
#: The largest frame that a new link accepts: enough for a handshake.
MAX_GREETING = 4096


class Link(Protocol):
    """One connection to one peer. At most one task sends and one receives at any time; ``aclose`` may come from a third.

    One over TLS has an attribute ``tls``, a `hubkit.net.certificates.Secured`; of one that has none frames are sealed.
    One that can send a frame without waiting may have a method ``send_now``, see `at_once`; one that puts large frames together
    may have a method ``receive_buffer``, see `buffers`.
    """

    #: Who is at the other end, for logs: an address, never parsed.
    remote: str

    def allow(self, max_frame: int) -> None:
        """Accept frames of up to ``max_frame`` bytes from now on. A new link accepts `MAX_GREETING`."""

    async def send(self, frame: bytes) -> None:
        """Send one frame. Raises `LinkClosed` if the link has ended."""

    async def receive(self) -> bytes:
        """The next frame. Raises `LinkClosed` at the link's end.

        Raises `ProtocolViolation` if the peer breaks the framing or the size limit; the link has then ended.
        """
        ...

    async def aclose(self) -> None:
        """End the link, politely if the peer plays along, within about a second in any case. May be called again."""


def at_once(link: Link) -> Callable[[bytes], bool] | None:
    """How this link sends one frame on the spot, if it can: ``link.send_now(frame)``.

    It is never called while a ``send`` is under way. `False`: not now, ``send`` the same frame next, before any other; a part
    of it may be on its way by then. It raises nothing: what is wrong with the link, ``send`` and ``receive`` tell.
    """
    found: Callable[[bytes], bool] | None = getattr(link, "send_now", None)
    return found


def buffers(link: Link) -> Callable[[], Awaitable[bytes | bytearray]]:
    """How this link hands over frames with the fewest copies: ``link.receive_buffer()``, or as ever.

    It is as ``receive`` in all else. A `bytearray` is the caller's, who may shorten it.
    """
    found: Callable[[], Awaitable[bytes | bytearray]] = getattr(link, "receive_buffer", link.receive)
    return found


class Transport(Protocol):
    """A way to reach other processes, and to be reached.

    One whose time is not this machine's may have an attribute ``environment``, a `hubkit.environment.Environment`: a node
    that is given none uses that.
    """

    async def open(self) -> str | None:
        """Take the port that this transport listens at, and return the URL with the real port; `None` if it does not listen.

        May be called again. Raises `ConfigurationError` if the port cannot be had.
        """

    async def serve(
        self,
        accept: Callable[[Link], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hand every new link to ``accept``, in a task of its own, until cancelled. Reports what `open` returns.

        The link is closed when ``accept`` ends; an exception from it is logged, and harms no other link. A transport
        that does not listen waits to be cancelled.
        """

    async def dial(self, address: str) -> Link:
        """A new link to the node that listens at ``address``.

        Raises `DialRefused` if the host answers that nobody listens there, else `DialFailed`. Bounded by a few seconds.
        """
        ...
