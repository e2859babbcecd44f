"""The mesh: one link to every other node of the cluster, kept for as long as both live.

Law of this room: whoever is heard of is linked to, once; whoever is lost is dialled again; and nothing here waits for
anybody, so one slow, frozen or hostile peer costs no more than its own link. The mesh carries lists and counts
heartbeats; what they mean is the business of the floor above, which it tells through `MeshEvents`.

Evidence of a peer's end comes in three grades, and is passed on as it is: a goodbye (it says so itself), a refusal (its
link broke without a word, and its host answers that nobody listens at its port any more, or a newer boot of its name
answers there), and silence, which proves nothing.

Refused: gossip about who is dead (only the living are recommended, by those who are linked to them), and resuming a broken
link (the floor above compares versions anyway).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import trio

from hubkit.environment import Environment
from hubkit.errors import HandshakeRefused, ProtocolViolation
from hubkit.logs import Log
from hubkit.net.certificates import Secured, is_for, secured
from hubkit.net.dialer import Dialer, Target
from hubkit.net.greeting import Reception, greet, guarded
from hubkit.net.handshake import NONCE, VERSIONS, Handshake, Identity, Refusal, check_node, is_node_id
from hubkit.net.lines import one_line
from hubkit.net.operator import answer
from hubkit.net.owner import Liveness, MeshEvents
from hubkit.net.pairs import Attempt, Pairs
from hubkit.net.pulse import CAPABILITY, Pasts
from hubkit.net.sending import Sending
from hubkit.net.session import LinkStatistics, Session
from hubkit.net.transport import Link, Transport
from hubkit.net.wire import Kind, encode
from hubkit.pids import NodeId, boot_of, name_of

__all__ = ["LinkStatistics", "Liveness", "Mesh", "MeshEvents"]

logger: Log = Log("hubkit.net")

_PEERS_MAX = 4096  # entries in a PEERS or BEAT message
_KINDS = frozenset(Kind)
_PARTING = 2.0  # seconds that a link may take to close, and some more
_SPEAKS = 1.5  # beats for which one that was heard of still speaks


class Mesh(Sending):
    """The links of one node.

    ``identity``: who this node is; without an address, the transport's URL is filled in. ``secrets``: the first is used, all
    are accepted; ``operators``: those with which operators may look. ``versions``: of the protocol, best first. ``seeds``:
    addresses; `None`: they will be told, see `set_seeds`. ``beat``: seconds between heartbeats; a link that is silent for
    ``down_after`` seconds is closed, and so is one that takes nothing for twice as long. ``max_outbox``: bytes that may wait
    for one peer before its link is given up. ``greeting``: seconds for a handshake, of which at most ``max_greetings`` are
    under way with dialers at a time; beyond, the one that has taken longest is refused.
    """

    def __init__(
        self,
        identity: Identity,
        transport: Transport,
        *,
        secrets: Sequence[bytes] = (),
        operators: Sequence[bytes] = (),
        versions: Sequence[int] = VERSIONS,
        seeds: Sequence[str] | None = (),
        events: MeshEvents,
        environment: Environment,
        liveness: Liveness,
        beat: float = 1.0,
        down_after: float = 4.0,
        max_outbox: int = 64 * 1024 * 1024,
        greeting: float = 5.0,
        max_greetings: int = 128,
    ) -> None:
        self.identity: Identity = replace(identity, capabilities=(*identity.capabilities, CAPABILITY))
        self.url: str | None = None
        self.leaving: bool = False
        self._transport = transport
        self._secrets, self._operators, self._versions = tuple(secrets), tuple(operators), tuple(versions)
        self._events = events
        self._environment = environment
        self._liveness = liveness
        self._beat = beat
        self._down_after = down_after
        self._max_outbox = max_outbox
        self._greeting = greeting
        self._reception = Reception(max_greetings, within=greeting)
        self._sessions: dict[NodeId, Session] = {}
        self._attempts: dict[Attempt, Session] = {}
        self._pasts = Pasts()
        self._pairs = Pairs(identity.node)
        self._dialer = Dialer(identity.node, self, environment)
        if seeds is not None:
            self.set_seeds(dict.fromkeys(seeds, True))

    def __repr__(self) -> str:
        return f"<Mesh of {self.identity.node}, {len(self._sessions)} links>"

    # -- for the owner

    async def run(self, *, task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, dial and beat until cancelled. Reports the URL listened at (`None` if it does not listen).

        To know the URL before (a node's name may be made of it), call ``await transport.open()``.
        """
        self.url = await self._transport.open()
        if self.identity.address is None:
            self.identity = replace(self.identity, address=self.url)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._serve)
            nursery.start_soon(self._beats)
            nursery.start_soon(self._dialer.run)
            task_status.started(self.url)

    def know(self, node: NodeId, address: str) -> None:
        """``node`` lives at ``address``: keep a link to it."""
        self._dialer.know(node, address)

    def forget(self, node: NodeId) -> None:
        """``node`` is dead: do not dial it any more."""
        self._dialer.forget(node)

    def set_seeds(self, seeds: Mapping[str, bool], complete: bool = True) -> None:
        """Dial these addresses from now on, besides those of members.

        `True`: somebody has written the address down, and it is dialled for ever; `False`: it was found, and is left in peace
        when its node says goodbye. ``complete``: more of them is not to be waited for.
        """
        self._dialer.set_seeds(seeds, complete)

    def close_link(self, peer: NodeId, reason: str) -> None:
        """End the link to ``peer``, and tell it why. It may come back: see `MeshEvents.admit`."""
        session = self._sessions.get(peer)
        if session is not None and not session.ending:
            logger.info("link to %s: closed here: %s", peer, reason)
            session.close(reason)

    @property
    def links(self) -> Mapping[NodeId, LinkStatistics]:
        """A snapshot of every link."""
        return {node: self._sessions[node].statistics(self._pasts.of(node)) for node in sorted(self._sessions)}

    @property
    def missing(self) -> Sequence[tuple[NodeId | None, str, str]]:
        """Whom this node dials, or is about to, without success so far: who it should be, the address, and the last error."""
        return self._dialer.missing

    async def goodbye(self, *, within: float) -> None:
        """Leave: say so to all peers after what waits for them, and wait until they have hung up, at most ``within`` s.

        From now on nothing is sent, dialled or accepted; end `run` afterwards.
        """
        self.leaving = True
        sessions = list(self._sessions.values())
        for session in sessions:
            session.finish(within)
        with trio.move_on_after(within + _PARTING):  # a link closes within about a second; leaving never depends on it
            for session in sessions:
                await session.gone.wait()

    # -- seeds, and what the dialer needs

    def is_linked(self, node: NodeId) -> bool:
        """Whether there is a link to ``node``."""
        return node in self._sessions

    async def connect(self, target: Target) -> None:
        """Dial ``target``, and carry the link to its end. Raises why there was none."""
        link = await self._transport.dial(target.address)
        attempt = Attempt(dialing=True)
        try:
            handshake = self._handshake(attempt, link)
            try:
                peer = await greet(link, handshake, within=self._greeting)
            except HandshakeRefused as error:
                if error.code == "duplicate":
                    target.node = attempt.peer or target.node
                raise
            if (
                target.suspect is not None
                and target.suspect != peer.node
                and name_of(target.suspect) == name_of(peer.node)
            ):
                self.refused(target.suspect)
                target.suspect = None
            target.node = peer.node
            await self._carry(link, peer, attempt, handshake)
        finally:
            self._pairs.ended(attempt)
            await link.aclose()

    def refused(self, node: NodeId) -> None:
        """Proof of a node's death."""
        logger.info("%s is gone: its address does not answer for it any more", node)
        self._tell(self._events.refused, node)

    def seed_failed(self, address: str, error: Exception) -> None:
        """A seed did not let us in."""
        self._tell(self._events.seed_failed, address, error)

    def seeds_exhausted(self) -> None:
        """No seed did."""
        if not self._sessions:
            self._tell(self._events.seeds_exhausted)

    def _tell(self, event: Callable[..., object], *args: object) -> bool:
        try:
            event(*args)
        except Exception:
            logger.exception("an error in the handling of %s", getattr(event, "__name__", event))
            return False
        return True

    # -- accepting

    async def _serve(self, *, task_status: trio.TaskStatus[str | None]) -> None:
        await self._transport.serve(self._accept, task_status=task_status)

    async def _accept(self, link: Link) -> None:
        """One connection from outside, to its end. Raises why there was no link; the transport tells it, and closes."""
        attempt = Attempt(dialing=False)
        handshake = self._handshake(attempt, link)
        try:
            peer = await self._reception.greet(link, handshake, greeted=lambda: self._pairs.greeted(attempt))
            if peer.role == "operator":
                await answer(guarded(link, handshake), peer, self._events.request)
            else:
                await self._carry(link, peer, attempt, handshake)
        except HandshakeRefused as error:
            if error.code not in ("duplicate", "distrusted"):
                raise
            logger.debug("%s: no link: %s", link.remote, one_line(error))
        finally:
            self._pairs.ended(attempt)

    def _handshake(self, attempt: Attempt, link: Link) -> Handshake:
        tls = secured(link)
        return Handshake(
            self.identity,
            dialing=attempt.dialing,
            nonce=self._environment.token(NONCE),
            secrets=self._secrets,
            operators=self._operators,
            versions=self._versions,
            admit=lambda peer: self._admit(attempt, peer, tls),
            certificate=lambda: tls.certificate() if tls is not None else None,
        )

    def _admit(self, attempt: Attempt, peer: Identity, tls: Secured | None) -> Refusal | None:
        """Whether a peer that has proved the secret may be linked."""
        if peer.role == "operator":
            return None
        if self.leaving:
            return Refusal("busy", f"{self.identity.node} is leaving")
        if tls is not None and tls.names is not None and not is_for(tls.names, name_of(peer.node)):
            names = ", ".join(map(repr, tls.names[:4])) or "nobody"
            text = f"the certificate of {peer.node} is for {names}: give the node such a name, or a certificate with its own"
            return Refusal("certificate", text)
        if (refusal := self._admit_name(peer)) is not None:
            return refusal
        try:
            objection = self._events.admit(peer)
        except Exception:
            logger.exception("an error while %s was looked at", peer.node)
            objection = "error: the other node failed to look at the request"
        if objection is not None:
            code, colon, text = objection.partition(": ")
            return Refusal(code, text) if colon and code.isidentifier() else Refusal("refused", objection)
        if not self._pairs.commit(attempt, peer.node):
            attempt.peer = peer.node
            return Refusal("duplicate", "there is a link between these two nodes already")
        return None

    def _admit_name(self, peer: Identity) -> Refusal | None:
        name = name_of(peer.node)
        if name == name_of(self.identity.node):
            text = f"the name {name!r} is taken by {self.identity.node} at {self.identity.address}: give each node its own name"
            return Refusal("name", text)
        for node in sorted(self._sessions):
            if name_of(node) == name and node != peer.node and not self._sessions[node].ending:
                other = self._sessions[node]
                if boot_of(node) < boot_of(peer.node) and peer.address and peer.address == other.peer.address:
                    if self._environment.now() - other.heard < _SPEAKS * self._beat:  # an address is soon claimed
                        return Refusal("busy", f"{node} has that name and address, and speaks: come when it is silent")
                    # The port belongs to the newer boot now: the old process is gone, its link just does not know yet.
                    other.abort(f"{peer.node} has taken its place")
                    self.refused(node)
                    continue
                text = f"the name {name!r} is taken by {node}, which is linked: give each node its own name"
                return Refusal("name", text)
        return None

    # -- carrying

    async def _carry(self, link: Link, peer: Identity, attempt: Attempt, handshake: Handshake) -> None:
        """Make a greeted link the one of its pair, and carry it to its end; or close it, if another one is."""
        stays, old = self._pairs.establish(attempt)
        if not stays:
            logger.debug("a second link to %s: closed", peer.node)
            return
        if old is not None and (replaced := self._attempts.get(old)) is not None:
            replaced.parted = True
            self._end(replaced, "a newer link took its place")
            replaced.abort("a newer link took its place")
        if handshake.version == 1:
            logger.info("link to %s: by protocol version 1, whose frames are not guarded: upgrade it", peer.node)
        session = Session(
            guarded(link, handshake),
            peer,
            dialed=attempt.dialing,
            version=handshake.version,
            environment=self._environment,
            message=self._events.message,
            control=self._control,
            max_outbox=self._max_outbox,
        )
        self._sessions[peer.node] = self._attempts[attempt] = session
        why = "this node ends"
        try:
            if self._begin(session):
                why = await session.run()
            else:
                why = "an error here"
        finally:
            del self._attempts[attempt]
            self._pairs.ended(attempt)
            self._end(session, why)
            await session.aclose()

    def _begin(self, session: Session) -> bool:
        peer = session.peer
        logger.info("link to %s: up (%s)", peer.node, "dialled" if session.dialed else "accepted")
        self._liveness.linked(peer.node, self._environment.now())
        if peer.address is not None:
            self._dialer.know(peer.node, peer.address)
        self._dialer.link_up(peer.node)
        self._pasts.of(peer.node).ups += 1
        session.ping()
        others = [s for node, s in sorted(self._sessions.items()) if node != peer.node]
        known = [[s.peer.node, s.peer.address] for s in others if s.peer.address is not None]
        if known:
            session.put(encode(Kind.PEERS, known), urgent=True)
        if peer.address is not None:
            news = encode(Kind.PEERS, [[peer.node, peer.address]])
            for other in others:
                other.put(news, urgent=True)
        return self._tell(self._events.link_up, peer)

    def _end(self, session: Session, why: str) -> None:
        """Tell everybody, once, that a link has ended."""
        if not session.up:
            return
        session.up = False
        session.ending = True
        peer = session.peer.node
        if self._sessions.get(peer) is session:
            del self._sessions[peer]
        self._pasts.of(peer).last_error = one_line(why)
        logger.info("link to %s: down: %s", peer, one_line(why))
        if session.said_goodbye:
            self._dialer.goodbye(peer)
        self._tell(self._events.link_down, peer, session.said_goodbye)
        suspicious = not session.said_goodbye and not session.parted
        self._dialer.link_down(peer, suspicious=suspicious, lasted=session.age)
        if not self._sessions:
            self._dialer.all_links_lost()

    def _control(self, session: Session, message: list[Any]) -> None:
        """A message of the mesh's own."""
        match message:
            case [Kind.BEAT, dict(vector), *_] if len(vector) <= _PEERS_MAX:
                if not all(map(is_node_id, vector)) or not {int}.issuperset(map(type, vector.values())):
                    msg = "a heartbeat is malformed"
                    raise ProtocolViolation(msg)
                self._liveness.heard(vector, self._environment.now(), session.peer.node)
            case [Kind.PEERS, list(peers), *_] if len(peers) <= _PEERS_MAX:
                for entry in peers:
                    self._recommended(entry, session.peer.node)
            case [Kind.GOODBYE, *_]:
                session.said_goodbye = True
                session.abort("the peer said goodbye", hard=False)
            case [Kind.CLOSE, str(reason), *_] if len(reason) <= 500:
                session.parted = True
                session.abort(f"closed by the peer: {reason!r}", hard=False)
            case [Kind.UNKNOWN, int(kind), *_] if session.version > 1:
                logger.debug("%s does not know messages of kind %d", session.peer.node, kind)
            case [kind, *_] if session.version > 1 and kind not in _KINDS:
                session.put(encode(Kind.UNKNOWN, kind))  # of a later release: the sender decides what that means
            case _:
                msg = f"a message of kind {message[0]} is malformed or unknown"
                raise ProtocolViolation(msg)

    def _recommended(self, entry: object, by: NodeId) -> None:
        match entry:
            case [node, str(address), *_] if len(address) <= 500 and address.isprintable():
                self._dialer.know(check_node(node), address, by=by)
            case _:
                msg = "a list of peers is malformed"
                raise ProtocolViolation(msg)

    # -- heartbeats

    async def _beats(self) -> None:
        last = self._environment.now()
        while True:
            await trio.sleep(self._beat)
            now = self._environment.now()
            late = now - last - self._beat
            last = now
            if late > self._beat:
                self._liveness.woke(late, now)
                for session in self._sessions.values():
                    session.slept(late)
            vector = [*self._liveness.beat(now).items()][:_PEERS_MAX]  # known for longest, first: this node itself
            message = encode(Kind.BEAT, dict(vector))
            for session in list(self._sessions.values()):
                if session.look(now, self._down_after):
                    session.put(message, urgent=True)
                    session.ping()
