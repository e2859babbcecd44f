"""A child's spec as the map carries it: from `ChildSpec` to the opaque body of a `Want`, and back.

Law of this room: the core never looks into a body, so a spec whose actor or argument types this process has never heard of
still travels through it untouched. It is opened where the child is to start, and where a user looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hubkit.cluster.rows import Want
from hubkit.cluster.settings import VOTERS
from hubkit.errors import ConfigurationError, HubkitError, NotSerializable
from hubkit.names import find_actor, is_local_name
from hubkit.net.payload import Payloads
from hubkit.specs import Backoff, ChildSpec, UnknownStart, check_id

__all__ = ["Wish", "check_ids", "check_metadata", "check_specs", "close_wish", "open_want"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A child as its user wrote it."""

    spec: ChildSpec
    metadata: Any = None
    tag: str | None = None


def check_specs(specs: object, what: str = "specs") -> list[ChildSpec]:
    """Return ``specs`` as a list of `ChildSpec` with distinct ids whose actors have a name other nodes can look up."""
    if isinstance(specs, ChildSpec) or not hasattr(specs, "__iter__"):
        msg = f"{what} must be an iterable of hubkit.ChildSpec, not {specs!r:.80}"
        raise ConfigurationError(msg)
    found: dict[str, ChildSpec] = {}
    for spec in specs:
        check_spec(spec)
        if spec.id in found:
            msg = f"two children have the id {spec.id!r}: ids are unique in a hub"
            raise ConfigurationError(msg)
        found[spec.id] = spec
    return list(found.values())


def check_metadata(metadata: object, specs: Iterable[ChildSpec]) -> dict[str, Any]:
    """Return ``child_metadata`` as a dict, if it is of none but these specs."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        msg = f"child_metadata must map child ids to the metadata of each, not {metadata!r:.80}"
        raise ConfigurationError(msg)
    unknown = sorted(metadata.keys() - {spec.id for spec in specs}, key=repr)
    if unknown:
        msg = f"child_metadata names {unknown[0]!r}, which is not among the specs"
        raise ConfigurationError(msg)
    return dict(metadata)


def check_ids(ids: object) -> list[str]:
    """Return ``ids`` as a list of distinct child ids."""
    if isinstance(ids, str):
        msg = f"ids must be an iterable of child ids; for the one child {ids!r} use stop_child, or [{ids!r}]"
        raise ConfigurationError(msg)
    if not isinstance(ids, Iterable):
        msg = f"ids must be an iterable of child ids, not {ids!r:.80}"
        raise ConfigurationError(msg)
    return list(dict.fromkeys(check_id(id) for id in ids))


def check_spec(spec: object) -> ChildSpec:
    """Return ``spec`` if a hub can place it."""
    if not isinstance(spec, ChildSpec):
        msg = f"a child must be given as a hubkit.ChildSpec (see hubkit.child), not {spec!r:.80}"
        raise ConfigurationError(msg)
    if spec.id.partition("/")[0] == VOTERS:
        msg = f"the child id {spec.id!r} is reserved: ids must not begin with {VOTERS!r}"
        raise ConfigurationError(msg)
    name = getattr(spec.start, "__hubkit_actor__", None)
    if name is None or isinstance(spec.start, UnknownStart):
        msg = (
            f"child {spec.id!r} cannot be started from here: this process has not defined its actor {spec.start!r:.80}"
        )
        raise ConfigurationError(msg)
    if is_local_name(name):
        msg = (
            f"child {spec.id!r}: {name} is defined inside a function, so other nodes cannot look it up by name. "
            "Move it to the top level of a module, or give it a fixed name with @hubkit.actor(name='...')"
        )
        raise ConfigurationError(msg)
    if spec.significant:
        msg = f"child {spec.id!r}: significant has a meaning only under a Supervisor with auto_shutdown, not in a hub"
        raise ConfigurationError(msg)
    return spec


def close_wish(wish: Wish, payloads: Payloads) -> Want:
    """The want of a wish. Raises `NotSerializable` if an argument or the metadata cannot travel."""
    spec = wish.spec
    if wish.tag is not None:
        check_id(wish.tag, "a tag")
    backoff = None
    if spec.backoff is not None:
        backoff = [
            float(spec.backoff.first),
            float(spec.backoff.factor),
            float(spec.backoff.max),
            float(spec.backoff.jitter),
        ]
    options = [spec.restart, float(spec.shutdown), spec.mailbox, backoff]
    try:
        body = payloads.dumps([spec.args, dict(spec.kwargs), options, wish.metadata])
    except NotSerializable as error:
        msg = f"child {spec.id!r}: its arguments and metadata must be able to travel to other nodes. {error}"
        raise NotSerializable(msg) from error
    return Want(spec.start.__hubkit_actor__, body, wish.tag)


def open_want(child: str, want: Want, payloads: Payloads) -> Wish:
    """The wish of a want. An actor that this process has not defined becomes an `UnknownStart`.

    Raises `HubkitError` when the body makes no sense here: a message class that is not defined in this process, say.
    """
    try:
        body: Any = payloads.loads(want.body)
        args, kwargs, (restart, shutdown, mailbox, backoff), metadata = body
        start = find_actor(want.start) or UnknownStart(want.start)
        options = {"restart": restart, "shutdown": shutdown, "mailbox": mailbox}
        spec = ChildSpec(child, start, args, kwargs, backoff=backoff and Backoff(*backoff), **options)
    except (HubkitError, ValueError, TypeError) as error:
        msg = f"the spec of child {child!r} cannot be read on this node: {error}"
        raise HubkitError(msg) from error
    return Wish(spec, metadata, want.tag)


class WishReader:
    """Opens wants once each: specs are read far more often than they change."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self.open: Callable[[str, Want], Wish] = lru_cache(maxsize=4096)(
            lambda child, want: open_want(child, want, payloads)
        )

    def open_anew(self, child: str, want: Want) -> Wish:
        """A wish of one's own, to be altered at will."""
        return open_want(child, want, self._payloads)

    def show(self, child: str, want: Want) -> Wish:
        """The wish as far as this process can read it: who looks at all children must not fail because of one."""
        try:
            return self.open(child, want)
        except HubkitError:
            return Wish(ChildSpec(child, UnknownStart(want.start)), None, want.tag)
