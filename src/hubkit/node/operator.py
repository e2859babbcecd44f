"""What an operator may ask of a node over the wire: questions with plain answers.

Law of this room: what an operator's secret allows is a list of what may be asked with it (`LOOKING`), not of what may not:
a question that is added changes something, until it is said that it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubkit.actors.inspection import ActorInfo
from hubkit.errors import ConfigurationError
from hubkit.node.seams import Attached

__all__ = ["LOOKING", "answer", "objection", "tree"]

#: The questions that change nothing: all that a secret for operators is good for.
LOOKING = ("children", "explain", "links", "plan", "status", "top", "tree")


def objection(access: str, message: list[Any]) -> str | None:
    """Why this question is not answered to who has proved a secret with that access (see `hubkit.net.handshake.Identity`)."""
    asked = message[0] if message else None
    if access == "full" or asked in LOOKING:
        return None
    what = asked if isinstance(asked, str) and asked.isidentifier() and len(asked) <= 32 else "do anything else"
    return f"this secret is one for operators, who may look ({', '.join(LOOKING)}) but not {what}: use the nodes' own secret"


def _no_links() -> list[dict[str, Any]]:
    return []


def answer(
    node: Mapping[str, Any],
    hubs: Mapping[str, Attached],
    message: list[Any],
    *,
    links: Callable[[], list[dict[str, Any]]] = _no_links,
) -> list[Any]:
    """Answer a question: ``["ok", value]`` or ``["error", text]``. ``node``: what the node says of itself."""
    try:
        match message:
            case ["status"]:
                return ["ok", {**node, "hubs": [dict(hubs[name].status()) for name in sorted(hubs)]}]
            case ["links"]:
                return ["ok", links()]
            case ["children", str(name)]:
                return ["ok", [dict(row) for row in _hub(hubs, name).listing()]]
            case ["children", None]:
                rows = [{"hub": name, **row} for name in sorted(hubs) for row in hubs[name].listing()]
                return ["ok", rows]
            case ["tree", str(name)]:
                return ["ok", [_plain(tree(hubs, name))]]
            case ["tree", None]:
                return ["ok", [_plain(tree(hubs, name)) for name in sorted(hubs)]]
            case ["explain", str() | None as name, str(child)]:
                return ["ok", _explained(hubs, name, child)]
            case ["plan", str() | None as name, list(add), list(remove)]:
                chosen = {name: _hub(hubs, name)} if name is not None else hubs
                return [
                    "ok",
                    [{"hub": key, **move} for key in sorted(chosen) for move in chosen[key].desk.plan(add, remove)],
                ]
            case ["drain", str() | None as name]:
                chosen = {name: _hub(hubs, name)} if name is not None else hubs
                for key in sorted(chosen):
                    chosen[key].desk.drain()
                return ["ok", sorted(chosen)]
            case _:
                return ["error", "this node knows the questions status, children, links, tree, explain, plan and drain"]
    except ConfigurationError as error:
        return ["error", str(error)]


def _explained(hubs: Mapping[str, Attached], name: str | None, child: str) -> list[dict[str, Any]]:
    found = [name] if name is not None else [key for key in sorted(hubs) if hubs[key].desk.knows(child)]
    if not found or not _hub(hubs, found[0]).desk.knows(child):
        place = "no hub on this node" if name is None else f"hub {name!r}"
        verb = "has" if name is None else "has no"
        msg = f"{place} {verb} child {child!r:.80}"
        raise ConfigurationError(msg)
    return [{"hub": key, **hubs[key].desk.explain(child)} for key in found]


def _plain(info: ActorInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "actor": info.actor,
        "state": info.state,
        "pid": None if info.pid is None else str(info.pid),
        "restarts": info.restarts,
        "handled": info.handled,
        "mailbox": info.mailbox,
        "oldest": info.oldest,
        "children": [_plain(child) for child in info.children],
    }


def tree(hubs: Mapping[str, Attached], name: str) -> ActorInfo:
    """What of a hub runs on this node. Raises `ConfigurationError` when the hub is not there."""
    return _hub(hubs, name).tree()


def _hub(hubs: Mapping[str, Attached], name: str) -> Attached:
    if name not in hubs:
        msg = f"there is no hub {name!r} on this node; it has: {', '.join(sorted(hubs)) or 'none'}"
        raise ConfigurationError(msg)
    return hubs[name]
