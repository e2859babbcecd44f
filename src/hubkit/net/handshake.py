"""How two nodes meet: who they are, which protocol they speak, and that both know the secret.

Law of this room: nothing of a stranger is believed, kept, or read beyond 4 KiB, and a refusal is told to the peer before
it is raised here. The room is pure: frames in, frames out; nonces and verdicts come from the caller.

::

    dialer                                                  acceptor
      HELLO  versions, nonce, identity                  ->
                                                        <-  HELLO  version, nonce, identity
      PROOF  of the dialer, certificate that it sees    ->
                                                        <-  PROOF  of the acceptor, certificate that it shows
      READY  once more of the dialer                    ->
    at any point instead: REFUSE  code, text

All proofs, and the keys of the frames that follow (`hubkit.net.seal`), are made of the secret and of both HELLO frames
exactly as they were sent. So they are bound to both nonces, identities, roles and versions: they cannot be replayed (the
verifier's nonce is fresh), reflected (each role has its own), or talked down to an older version. The dialer goes first,
so that who merely connects learns nothing to test guesses of the secret on. The acceptor answers with the secret that the
dialer has used, which is how secrets are rotated: let all nodes accept the new one, then use it first, then drop the old one.

Over TLS the proofs cover the server's certificate, too, as each side knows it. Where they differ, somebody in between has
ended the TLS of the one and begun another; the handshake is refused. Where only one side has TLS (a proxy in front of a node
does it), frames are sealed as without.

In version 1 a PROOF and READY hold nothing of certificates, and frames are not sealed; see ``docs/protocol.md``. What a
message has beyond its known items is of a later release, and ignored.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from hubkit.errors import HandshakeRefused, LinkError, ProtocolViolation
from hubkit.net import cbor
from hubkit.net.seal import Keys, expand, extract
from hubkit.net.transport import MAX_GREETING

__all__ = ["NONCE", "VERSIONS", "Handshake", "Identity", "Refusal", "check_node", "is_node_id"]

#: The protocol versions that this release speaks, best first.
VERSIONS = (2, 1)
#: The size of a nonce, in bytes.
NONCE = 32

_BOOT_DIGITS = 18  # so that it has less than 64 bits, and pids with it can travel
_HELLO, _PROOF, _READY, _REFUSE = 1, 2, 3, 4
_LABELS = {True: b"hubkit link 1, dialer\0", False: b"hubkit link 1, acceptor\0"}
_NO_CERTIFICATE = bytes(32)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who stands at one end of a link.

    ``node``: its id, ``name#boot``. ``address``: the URL that others reach it at, if any. ``role``: ``"node"`` for a member,
    ``"operator"`` for a client that asks something and goes. ``capabilities``: words for what it can do beyond the version.
    ``access``: what the secret that it has proved allows, ``"look"`` or everything; it is not told, but found out.
    """

    node: str
    address: str | None = None
    role: Literal["node", "operator"] = "node"
    capabilities: tuple[str, ...] = ()
    access: Literal["full", "look"] = "full"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: ``code`` is a word for programs, ``text`` a sentence for people."""

    code: str
    text: str


def _admit_all(peer: Identity) -> Refusal | None:
    return None


def _no_certificate() -> bytes | None:
    return None


@dataclass(slots=True, eq=False)
class Handshake:
    """One side of one handshake.

    Feed each received frame to `receive`, and send what it returns. When ``peer`` is set, the handshake is done; when
    ``failure`` is set, it has failed: send the last frame, if there is one, close the link, and raise ``failure``.
    ``proved``: the peer knows the secret and is admitted. From here on it may send large frames at any time, the first of
    them together with its last word.

    ``admit(peer)`` is asked once, when the peer has proved itself and before this side commits; it may return a `Refusal`.

    ``secrets``: the first is used, all are accepted. ``operators``: further ones, with which a dialer may look, and no
    more. ``certificate()``: the SHA-256 of the server's certificate as this side knows it, `None` without TLS; asked once, of
    an acceptor after the dialer has proved itself. ``keys``: of the frames that follow; `None`: they are not sealed.
    """

    identity: Identity
    dialing: bool
    nonce: bytes = field(repr=False)
    secrets: Sequence[bytes] = field(default=(), repr=False)
    operators: Sequence[bytes] = field(default=(), repr=False)
    admit: Callable[[Identity], Refusal | None] = _admit_all
    certificate: Callable[[], bytes | None] = _no_certificate
    versions: tuple[int, ...] = VERSIONS
    version: int = field(default=0, init=False)
    proved: bool = field(default=False, init=False)
    peer: Identity | None = field(default=None, init=False)
    keys: Keys | None = field(default=None, init=False, repr=False)
    failure: LinkError | None = field(default=None, init=False)
    _other: Identity | None = field(default=None, init=False, repr=False)
    _hello: bytes = field(default=b"", init=False, repr=False)
    _transcript: bytes = field(default=b"", init=False, repr=False)
    _key: bytes = field(default=b"", init=False, repr=False)
    _seen: bytes | None = field(default=None, init=False, repr=False)  # the certificate that the dialer sees
    _shown: bytes | None = field(default=None, init=False, repr=False)  # the one that the acceptor shows
    _ready: bytes = field(default=b"", init=False, repr=False)  # what the dialer's last word must prove
    _expect: int = field(default=_HELLO, init=False, repr=False)

    def __post_init__(self) -> None:
        # Without a secret both sides prove the knowledge of the empty one: a side that has one is told apart by it.
        self.secrets = tuple(self.secrets) or (b"",)
        self._key = self.secrets[0]

    def start(self) -> bytes:
        """The dialer's first frame."""
        self._hello = cbor.encode([_HELLO, list(self.versions), self.nonce, _identity_to_wire(self.identity)])
        return self._hello

    def receive(self, frame: bytes) -> bytes | None:
        """Take one frame of the peer; returns the frame to send, if any. Never raises: see ``failure`` and ``peer``."""
        try:
            kind, items = _parse(frame)
            if kind == _REFUSE:
                self._refused(items)
                return None
            if kind != self._expect:
                msg = f"message {kind} where {self._expect} was expected"
                raise ProtocolViolation(msg)
            if kind == _HELLO:
                return self._on_hello(frame, items)
            if kind == _PROOF:
                return self._on_proof(items)
            return self._on_ready(items)
        except ProtocolViolation as error:
            self.failure = ProtocolViolation(f"in the handshake: {error}")
            return _refuse(Refusal("malformed", str(error)))

    def cut(self, refusal: Refusal) -> bytes:
        """End the handshake from this side, for a reason of the caller's; returns the frame that says so."""
        return self._refuse(refusal)

    # -- the steps

    def _on_hello(self, frame: bytes, items: list[Any]) -> bytes:
        refusal = self._on_dialer(items) if not self.dialing else self._on_acceptor(items)
        if refusal is not None:
            return self._refuse(refusal)
        self._expect = _PROOF
        if self.dialing:
            self._transcript = self._hello + frame
            if self.version != 1:
                self._seen = self.certificate()
            return self._prove()
        self._hello = cbor.encode([_HELLO, self.version, self.nonce, _identity_to_wire(self.identity)])
        self._transcript = frame + self._hello
        return self._hello

    def _on_dialer(self, items: list[Any]) -> Refusal | None:
        # The versions are looked at first: another one may say the rest in another way.
        theirs = items[0] if items else None
        if type(theirs) is not list or not theirs or not all(type(v) is int for v in theirs):
            msg = "the versions are malformed"
            raise ProtocolViolation(msg)
        common = [version for version in self.versions if version in theirs]
        if not common:
            return self._no_version(f"the peer {_list(theirs)}")
        self.version = common[0]
        return self._meet(items)

    def _on_acceptor(self, items: list[Any]) -> Refusal | None:
        version = items[0] if items else None
        if type(version) is not int:
            msg = "the version is malformed"
            raise ProtocolViolation(msg)
        if version not in self.versions:
            return self._no_version(f"the peer chose {version}")
        self.version = version
        return self._meet(items)

    def _no_version(self, theirs: str) -> Refusal:
        return Refusal(
            "version",
            f"this node speaks protocol version {_list(self.versions)}, {theirs}: upgrade the one that is behind",
        )

    def _meet(self, items: list[Any]) -> Refusal | None:
        _shape(items, 3)
        _, nonce, identity, *_ = items
        if type(nonce) is not bytes or len(nonce) != NONCE:
            msg = "the nonce is malformed"
            raise ProtocolViolation(msg)
        if hmac.compare_digest(nonce, self.nonce):
            return Refusal("self", "the peer sends this side's own nonce back")
        self._other = other = _identity_from_wire(identity)
        if self.dialing and other.role != "node":
            msg = "only nodes accept links"
            raise ProtocolViolation(msg)
        if other.node == self.identity.node:
            return Refusal(
                "self", f"the address {self.identity.address or ''} leads back to this very node, {other.node}"
            )
        return None

    def _on_proof(self, items: list[Any]) -> bytes:
        _shape(items, 1 if self.version == 1 else 2)
        proof, certificate = items[0], None if self.version == 1 else items[1]
        if not _is_digest(proof) or not (certificate is None or _is_digest(certificate)):
            msg = "the proof is malformed"
            raise ProtocolViolation(msg)
        if self.dialing:
            self._shown = certificate
        else:
            self._seen = certificate
        found = None
        candidates = (self._key,) if self.dialing else (*self.secrets, *self.operators)
        for number, secret in enumerate(candidates):
            # Every secret is tried, so that the time taken does not tell which one it was.
            if hmac.compare_digest(proof, self._proof(secret, dialer=not self.dialing)) and found is None:
                found = number
        if found is None:
            return self._refuse(Refusal("secret", "the two nodes do not have the same secret: give both the same"))
        assert self._other is not None
        self._key = candidates[found]
        if not self.dialing and found >= len(self.secrets):
            self._other = replace(self._other, access="look")
        refusal = self._check_access() or self._check_certificates() or self.admit(self._other)
        return self._commit() if refusal is None else self._refuse(refusal)

    def _check_access(self) -> Refusal | None:
        assert self._other is not None
        if self._other.access == "look" and self._other.role != "operator":
            return Refusal(
                "access", "the secret is one for operators, who may look: a node needs the secret of the nodes"
            )
        return None

    def _check_certificates(self) -> Refusal | None:
        """Whether both sides mean the same TLS connection, as far as both have one."""
        if not self.dialing and self.version != 1:
            self._shown = self.certificate()
        if self._seen is None or self._shown is None or hmac.compare_digest(self._seen, self._shown):
            return None
        text = (
            "the dialer has been shown another certificate than the acceptor's: somebody in between ends the TLS, and begins "
            "it again. A proxy must pass TLS through, or go on without it"
        )
        return Refusal("certificate", text)

    def _commit(self) -> bytes:
        """The peer has proved itself, and is admitted."""
        self.proved = True
        if self.version != 1:
            self._derive()
        if not self.dialing:
            self._expect = _READY
            return self._prove()
        self.peer = self._other
        return cbor.encode([_READY] if self.version == 1 else [_READY, self._ready])

    def _on_ready(self, items: list[Any]) -> bytes | None:
        if self.version != 1:
            _shape(items, 1)
            if not _is_digest(items[0]) or not hmac.compare_digest(items[0], self._ready):
                return self._refuse(Refusal("secret", "the dialer's last word proves nothing: somebody has changed it"))
        self.peer = self._other
        return None

    # -- what is made of the secret

    def _prove(self) -> bytes:
        """This side's PROOF."""
        proof = self._proof(self._key, dialer=self.dialing)
        certificate = self._seen if self.dialing else self._shown
        return cbor.encode([_PROOF, proof] if self.version == 1 else [_PROOF, proof, certificate])

    def _proof(self, secret: bytes, *, dialer: bool) -> bytes:
        if self.version == 1:
            return hmac.digest(secret, _LABELS[dialer] + self._transcript, "sha256")
        if dialer:
            return self._make(secret, "the dialer proves", self._seen)
        return self._make(secret, "the acceptor proves", self._seen, self._shown)

    def _derive(self) -> None:
        """What the dialer's last word proves, and the keys of the frames, if they are to be sealed."""
        both = (self._seen, self._shown)
        self._ready = self._make(self._key, "the dialer is ready", *both)
        if None in both:
            dialers = self._make(self._key, "frames of the dialer", *both)
            acceptors = self._make(self._key, "frames of the acceptor", *both)
            self.keys = Keys(dialers, acceptors) if self.dialing else Keys(acceptors, dialers)

    def _make(self, secret: bytes, use: str, *certificates: bytes | None) -> bytes:
        """32 bytes for one use, of the secret and of all that has been said."""
        key = extract(hashlib.sha256(self._transcript).digest(), secret)
        shown = b"".join(certificate or _NO_CERTIFICATE for certificate in certificates)
        return expand(key, f"hubkit link {self.version}, {use}\0".encode() + shown)

    # -- refusals

    def _refuse(self, refusal: Refusal) -> bytes:
        whom = f"refused {self._other.node}" if self._other is not None else "refused the peer"
        self.failure = HandshakeRefused(f"{whom}: {refusal.text} ({refusal.code})", code=refusal.code, by_peer=False)
        return _refuse(refusal)

    def _refused(self, items: list[Any]) -> None:
        match items:
            case [str(code), str(text), *_] if code.isidentifier() and len(code) <= 32:
                shown = "".join(c if c.isprintable() else "?" for c in text[:300])
                self.failure = HandshakeRefused(f"refused by the peer: {shown} ({code})", code=code, by_peer=True)
            case _:
                self.failure = ProtocolViolation("in the handshake: the refusal is malformed")


def _refuse(refusal: Refusal) -> bytes:
    return cbor.encode([_REFUSE, refusal.code, refusal.text[:500]])


def _parse(frame: bytes) -> tuple[int, list[Any]]:
    if len(frame) > MAX_GREETING:
        msg = f"a frame of {len(frame)} bytes: at most {MAX_GREETING} are allowed"
        raise ProtocolViolation(msg)
    message = cbor.decode(frame)
    if type(message) is not list or not message or type(message[0]) is not int:
        msg = "a frame is not a message"
        raise ProtocolViolation(msg)
    return message[0], message[1:]


def _shape(items: list[Any], count: int) -> None:
    if len(items) < count:
        msg = f"a message has {len(items)} items where {count} were expected"
        raise ProtocolViolation(msg)


def _is_digest(value: object) -> bool:
    return type(value) is bytes and len(value) == hashlib.sha256().digest_size


def _list(versions: Sequence[int]) -> str:
    return ", ".join(str(version) for version in list(versions)[:8])


def _identity_to_wire(identity: Identity) -> list[Any]:
    return [identity.node, identity.address, identity.role, list(identity.capabilities)]


def check_node(value: object) -> str:
    """``value`` if it can be a node id, ``name#boot``. Raises `ProtocolViolation`."""
    if type(value) is str and is_node_id(value):
        return value
    msg = "a node id is malformed"
    raise ProtocolViolation(msg)


@lru_cache(8192)
def is_node_id(value: str | bytes) -> bool:
    """Whether ``value`` can be a node id. Every heartbeat names all nodes: those that are known are not looked at again."""
    if isinstance(value, bytes) or len(value) > 300 or not value.isprintable():
        return False
    name, mark, boot = value.rpartition("#")
    return bool(name and mark and boot.isascii() and boot.isdigit() and len(boot) <= _BOOT_DIGITS)


def _identity_from_wire(value: object) -> Identity:
    match value:
        case [node, (str() | None) as address, ("node" | "operator") as role, list(capabilities), *_]:
            words = all(type(word) is str and len(word) <= 64 for word in capabilities) and len(capabilities) <= 32
            printable = address is None or (len(address) <= 500 and address.isprintable())
            if words and printable:
                return Identity(check_node(node), address, role, tuple(capabilities))
    msg = "the identity is malformed"
    raise ProtocolViolation(msg)
