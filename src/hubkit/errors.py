"""Every error that hubkit raises, in one tree.

Law of this room: an error says whose fault it is and what to do now. The type is what a program decides by; the text is
for people: what was wrong, what was expected, what to do.

::

    Exception
    +-- HubkitError
    |   +-- ConfigurationError          the caller gave a wrong value (also a ValueError)
    |   +-- ActorError                  one actor, one message
    |   |   +-- ActorCrashed            the handler raised; its supervisor decides what follows
    |   |   +-- NoSuchActor             nobody lives there
    |   |   +-- NoSuchMethod            the actor has no such public coroutine method
    |   |   +-- Deadlock                the call would wait for itself
    |   |   +-- MailboxFull             (what `_nowait` raises is a `trio.WouldBlock`, too)
    |   +-- StartFailed                 an actor did not start; the reason is the __cause__
    |   +-- AlreadyStarted              the name is taken
    |   +-- RestartIntensityExceeded    a supervisor gave up
    |   +-- NodeDown                    the other process is gone or cut off
    |   +-- NoQuorum                    the partition strategy forbids it now
    |   +-- NotSerializable             a value cannot travel
    |   +-- HubClosed                   the hub or node was used after its end
    |   +-- LinkError                   one connection
    |   |   +-- LinkClosed              it has ended
    |   |   +-- DialFailed              nobody could be reached at an address
    |   |   |   +-- DialRefused         the host answers, the port does not
    |   |   +-- ProtocolViolation       the peer sent what no honest peer sends
    |   |   +-- HandshakeRefused        they, or we, refuse to talk
    |   +-- RemoteFailure               stands for an exception of another process that cannot be rebuilt here
    |   +-- SimulationError             a simulated scenario went wrong (`hubkit.testing`)
    |       +-- InvariantViolated       a checker has seen what must never be (also an AssertionError)
    |       +-- NotSettled              the hubs did not settle in time (also an AssertionError)
    +-- Reject                          for users: refuse a request and live on
        +-- WrongState                  a state machine refuses what is not for its state

Refused: numeric codes, and errors that carry a retry policy; hubkit never retries what may have run.
"""

from __future__ import annotations

__all__ = [
    "ActorCrashed",
    "ActorError",
    "AlreadyStarted",
    "ConfigurationError",
    "Deadlock",
    "DialFailed",
    "DialRefused",
    "HandshakeRefused",
    "HubClosed",
    "HubkitError",
    "InvariantViolated",
    "LinkClosed",
    "LinkError",
    "MailboxFull",
    "NoQuorum",
    "NoSuchActor",
    "NoSuchMethod",
    "NodeDown",
    "NotSerializable",
    "NotSettled",
    "ProtocolViolation",
    "Reject",
    "RemoteFailure",
    "RestartIntensityExceeded",
    "SimulationError",
    "StartFailed",
    "WrongState",
]


class HubkitError(Exception):
    """Base of everything that hubkit raises on its own account."""


class ConfigurationError(HubkitError, ValueError):
    """A value given to hubkit is wrong. The text names the value, what was expected, and what to do."""


class ActorError(HubkitError):
    """Something about one actor, or one message to it."""


class ActorCrashed(ActorError):
    """The actor raised while it handled the request, or was killed in the middle of it.

    The request may have had effects. In the same process ``__cause__`` is the exception itself; from another process it
    is the same exception type where that is a built-in one, else a `RemoteFailure`.
    """


class NoSuchActor(ActorError):
    """Nobody lives at this pid, or no child of this id is wanted. The request was not handled."""


class NoSuchMethod(ActorError):
    """The actor has no public coroutine method of this name. The request was not handled."""


class Deadlock(ActorError):
    """The call would wait for an actor that is waiting, directly or through others, for this very call."""


class MailboxFull(ActorError):
    """The actor's mailbox has no room. What a ``_nowait`` method raises is also a `trio.WouldBlock`."""


class StartFailed(HubkitError):
    """An actor or child did not start. The exception of its start is the ``__cause__``."""


class AlreadyStarted(HubkitError):
    """A child of this id is wanted already."""


class RestartIntensityExceeded(HubkitError):
    """More restarts than ``max_restarts`` within ``max_seconds``: the supervisor gave up, as OTP's does.

    The exception of the last crash is the ``__cause__``.
    """


class NodeDown(HubkitError):
    """The node of the actor is gone, was cut off, or cannot be reached.

    ``maybe_executed`` is `False` when the request certainly never began, and `True` when it may have been handled.
    """

    maybe_executed: bool

    def __init__(self, message: str = "the node is down", *, maybe_executed: bool = True) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


class NoQuorum(HubkitError):
    """The hub's partition strategy forbids this while so few nodes are in sight."""


class NotSerializable(HubkitError, TypeError):
    """A value cannot travel between processes. The text says which value and what can travel."""


class HubClosed(HubkitError):
    """The hub, node, supervisor or actor system was used after its end, or before its start."""


class LinkError(HubkitError):
    """Something about one connection to another process."""


class LinkClosed(LinkError):
    """The connection has ended. Nothing more will be sent or received on it."""


class DialFailed(LinkError):
    """Nobody could be reached at the address: no route, no answer in time, no such name."""


class DialRefused(DialFailed):
    """The host answered that nobody listens at the port: whoever listened there is dead."""


class ProtocolViolation(LinkError):
    """The peer sent bytes that no honest peer sends. Its connection is closed; the node lives on."""


class HandshakeRefused(LinkError):
    """One side refuses to talk to the other.

    ``code`` is a word: ``"secret"`` (they have different ones), ``"access"`` (it is one for operators), ``"certificate"``,
    ``"version"``, ``"name"`` (taken), ``"clock"`` (a later start of this name has been there), ``"admission"`` (a hub does not
    let this node in), ``"self"``, or another one.
    ``by_peer`` tells whether the other side refused (`True`) or this one (`False`).
    """

    code: str
    by_peer: bool

    def __init__(self, message: str, *, code: str, by_peer: bool) -> None:
        super().__init__(message)
        self.code = code
        self.by_peer = by_peer


class RemoteFailure(HubkitError):
    """An exception that happened in another process and cannot be rebuilt as its own type here.

    ``type_name`` is the type's qualified name there, ``details`` its traceback as text (it may be empty).
    """

    type_name: str
    details: str

    def __init__(self, type_name: str, message: str, details: str = "") -> None:
        super().__init__(f"{type_name}: {message}" if message else type_name)
        self.type_name = type_name
        self.details = details


class SimulationError(HubkitError):
    """A simulated scenario went wrong: it never ends, sleeps in real time, opens real sockets, or leaves tasks behind."""


class InvariantViolated(SimulationError, AssertionError):
    """A checker has seen what must never be. The text says which child, which nodes, when, and for how long."""


class NotSettled(SimulationError, AssertionError):
    """The hubs of a simulation did not settle in time. The text says which child, by which rule, in which node's view."""


class Reject(Exception):
    """Base class for users' own refusals: raised in a handler, it answers the caller and the actor lives on.

    The caller gets the same type with the same ``args``, from another node too, where that node has defined the class
    (else a plain `Reject` that says which it was). So ``args`` must be able to travel, and rebuild the exception when
    passed to the class. Example::

        class OutOfStock(hubkit.Reject):
            pass
    """


class WrongState(Reject):
    """A `hubkit.StateMachine` refuses a call that is not for the state that it is in. The request was not handled."""
