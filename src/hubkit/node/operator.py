"""What an operator may ask of a node over the wire: questions with plain answers, none of which changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubkit.errors import ConfigurationError
from hubkit.node.seams import Attached

__all__ = ["answer"]


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
            case _:
                return ["error", "this node knows the questions status, children and links"]
    except ConfigurationError as error:
        return ["error", str(error)]


def _hub(hubs: Mapping[str, Attached], name: str) -> Attached:
    if name not in hubs:
        msg = f"there is no hub {name!r} on this node; it has: {', '.join(sorted(hubs)) or 'none'}"
        raise ConfigurationError(msg)
    return hubs[name]
