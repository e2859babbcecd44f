"""Checkers and networks as text: how a command names them, and how they are read back.

Law of this room: what is written is read back as what it was, or it is not written at all. Nothing is executed: a text names
one of the public checkers, with numbers for arguments. A checker of a user's own has no name that a command could find.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubkit.errors import ConfigurationError
from hubkit.net.simulated import SimulatedNetwork
from hubkit.testing.arguments import NETWORK_OPTIONS, NETWORKS
from hubkit.testing.checkers import (
    balance,
    down_exactly_once,
    monotonic_terms,
    no_lost_child,
    registry_converges,
    single_owner,
)
from hubkit.testing.keeping import no_acked_message_lost
from hubkit.testing.watching import Checker

__all__ = ["CHECKERS", "checker_text", "network_text", "read_checker", "read_network"]

#: The checkers that can be named.
CHECKERS: Final[dict[str, Callable[..., Checker]]] = {
    maker.__name__: maker
    for maker in (
        balance,
        down_exactly_once,
        monotonic_terms,
        no_acked_message_lost,
        no_lost_child,
        registry_converges,
        single_owner,
    )
}


def checker_text(checker: Checker) -> str | None:
    """The text from which `read_checker` makes this checker; `None` if there is none."""
    try:
        text = repr(checker)
        return text if read_checker(text) == checker else None
    except Exception:
        return None  # it is a user's own, and may do anything when it is printed


def read_checker(text: str) -> Checker:
    """The checker of this text, as ``single_owner(overlap=5.0)``. Raises `ConfigurationError` for anything else."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigurationError(_no_checker(text)) from error
    match tree:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CHECKERS:
            pass
        case _:
            raise ConfigurationError(_no_checker(text))
    given = [_number(part) for part in tree.args]
    named = {keyword.arg: _number(keyword.value) for keyword in tree.keywords if keyword.arg is not None}
    if None in given or None in named.values() or len(named) < len(tree.keywords):
        msg = f"{text!r:.80}: the arguments of {name} must be numbers, as in {name}(5.0)"
        raise ConfigurationError(msg)
    try:
        return CHECKERS[name](*given, **named)
    except TypeError as error:
        msg = f"{text!r:.80}: {error}"
        raise ConfigurationError(msg) from error


def _no_checker(text: str) -> str:
    return f"{text!r:.80} is no checker that can be named. There are: {', '.join(CHECKERS)}; as in single_owner(overlap=5.0)"


def _number(tree: ast.expr) -> float | None:
    """The number that stands there; `None` if there is something else."""
    match tree:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _number(operand)
            return None if number is None else -number
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id="inf") | ast.Attribute(attr="inf"):
            return math.inf
        case _:
            return None


def network_text(network: str | Mapping[str, Any]) -> str | None:
    """The text from which `read_network` makes this network; `None` if there is none."""
    if isinstance(network, str):
        return network
    if any(type(value) not in (int, float) for value in network.values()):
        return None
    return ",".join(f"{name}={value!r}" for name, value in network.items()) or "simulated"


def read_network(text: str) -> str | dict[str, float]:
    """The network of this text: a kind, or options as ``latency=0.01,jitter=0.005``. Raises `ConfigurationError`."""
    if text in NETWORKS:
        return text
    options: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in NETWORK_OPTIONS or name in options:
            msg = (
                f"{text!r:.80} is no network: write {', '.join(NETWORKS)}, or some of {', '.join(NETWORK_OPTIONS)}, each "
                "once, as in latency=0.01,jitter=0.005"
            )
            raise ConfigurationError(msg)
        try:
            options[name] = int(value) if value.isdecimal() else float(value)
        except ValueError:
            msg = f"{text!r:.80} is no network: {name} must be a number, not {value!r:.80}"
            raise ConfigurationError(msg) from None
    SimulatedNetwork(**options)  # type: ignore[arg-type]  # it says what is wrong with the values
    return options
