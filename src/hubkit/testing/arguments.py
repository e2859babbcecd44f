"""What users pass to a simulation, checked where they pass it.

Law of this room: what cannot work is refused before anything has happened: no fault in the trace, no hub begun, no way cut. The
message says which argument is wrong, what was expected, and what to write.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from hubkit.errors import ConfigurationError
from hubkit.hub.hub import Hub
from hubkit.testing.plans import FaultPlan
from hubkit.testing.watching import Checker

__all__ = [
    "check_checker",
    "check_checkers",
    "check_network",
    "check_number",
    "check_plan",
    "groups_of",
    "split_options",
]

#: What of ``start_hub``'s options belongs to the node.
NODE_OPTIONS = ("secret", "beat", "down_after", "join")
#: What the simulation itself says.
GIVEN = ("node", "name", "listen", "advertise", "transport", "environment", "tls")
#: What belongs to the hub.
HUB_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(Hub).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in {*NODE_OPTIONS, *GIVEN}
)

#: The kinds of network, and what of the simulated one can be said.
NETWORKS = ("simulated", "websocket")
NETWORK_OPTIONS = ("latency", "jitter", "bandwidth", "break_rate")

_EXAMPLE = "such as no_lost_child(within=10)"


def check_checkers(checkers: object, what: str = "checkers") -> tuple[Checker, ...]:
    """Return ``checkers`` as a tuple, if it is some collection of checkers."""
    if _is_checker(checkers):
        msg = f"{what} must be a list of checkers, not one: write [{checkers!r:.80}]"
        raise ConfigurationError(msg)
    if isinstance(checkers, str | bytes | Mapping) or not isinstance(checkers, Iterable):
        msg = f"{what} must be a list of checkers {_EXAMPLE}, not {checkers!r:.80}"
        raise ConfigurationError(msg)
    return tuple([check_checker(checker, f"{what}[{place}]") for place, checker in enumerate(checkers)])


def check_checker(checker: object, what: str) -> Checker:
    """Return ``checker`` if it is one: a value with the method ``watch``."""
    if _is_checker(checker):
        return checker  # type: ignore[return-value]  # it has what the protocol asks for
    if isinstance(checker, type) or inspect.isfunction(checker):
        name = checker.__name__
        if checker.__module__.startswith("hubkit.testing.") and not _parameters(checker):
            return check_checker(checker(), what)  # `monotonic_terms` is as good as `monotonic_terms()`
        msg = f"{what} must be a checker, and {name} is what makes one: call it, as in {name}({_parameters(checker)})"
    elif isinstance(checker, list | tuple | set | frozenset):
        msg = f"{what} must be one checker {_EXAMPLE}, not several: {checker!r:.80}; give them one by one"
    else:
        msg = f"{what} must be a checker {_EXAMPLE} (an object with the method watch(world)), not {checker!r:.80}"
    raise ConfigurationError(msg)


def _is_checker(value: object) -> bool:
    # A simulation and its world have methods of that name, too, which do something else.
    other = isinstance(value, type) or hasattr(value, "start_hub") or hasattr(value, "hub_ids")
    return not other and callable(getattr(value, "watch", None))


def _parameters(maker: Any) -> str:
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return "..."
    return ", ".join(f"{one.name}=..." for one in parameters if one.default is one.empty and one.kind < one.VAR_KEYWORD)


def check_network(network: object) -> str | Mapping[str, Any]:
    """Return ``network`` if it is the name of a kind, or options of the simulated one."""
    if isinstance(network, str) and network in NETWORKS:
        return network
    if isinstance(network, Mapping) and all(isinstance(name, str) and name in NETWORK_OPTIONS for name in network):
        return network
    kinds = ", ".join(map(repr, NETWORKS))
    msg = f"network must be {kinds}, or a mapping of {', '.join(NETWORK_OPTIONS)}; not {network!r:.80}"
    raise ConfigurationError(msg)


def check_plan(plan: object) -> FaultPlan:
    """Return ``plan`` if it is a `FaultPlan`."""
    if not isinstance(plan, FaultPlan):
        text = ": FaultPlan.parse(...) reads one from its text" if isinstance(plan, str) else ""
        msg = f"plan must be a FaultPlan, not {plan!r:.80}{text}"
        raise ConfigurationError(msg)
    return plan


def check_number(value: object, what: str, low: float = -math.inf, high: float = math.inf, hint: str = "") -> float:
    """Return ``value`` if it is a finite number from ``low`` to ``high``."""
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        bounds = (
            "" if low == -math.inf else f" of at least {low:g}" if high == math.inf else f" from {low:g} to {high:g}"
        )
        msg = f"{what} must be a finite number{bounds}{hint}, not {value!r:.80}"
        raise ConfigurationError(msg)
    return number


def groups_of(groups: tuple[object, ...]) -> list[list[Any]]:
    """The groups of a partition as lists, a single name as a group of one. The names themselves are not looked at."""
    if not groups:
        msg = "partition needs groups of nodes that shall not reach each other: sim.partition({'a'}, {'b', 'c'})"
        raise ConfigurationError(msg)
    named: list[list[Any]] = []
    for group in groups:
        names = [group] if isinstance(group, str) else group
        if isinstance(names, bytes) or not isinstance(names, Iterable):
            msg = f"a group of a partition must be a set of names such as {{'a', 'b'}}, or one name; not {group!r:.80}"
            raise ConfigurationError(msg)
        found = list(names)
        for name in found:
            if isinstance(name, Collection) and not isinstance(name, str | bytes):
                msg = (
                    f"a group of a partition must be a set of names, and in {group!r:.80} there are groups: give each group "
                    "as an argument of its own, sim.partition({'a'}, {'b', 'c'})"
                )
                raise ConfigurationError(msg)
        if not found:
            msg = f"a group of a partition must name a node: {group!r:.80} is empty, leave it out"
            raise ConfigurationError(msg)
        named.append(found)
    return named


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what belongs to the node from what belongs to the hub. What can be read only once is read here."""
    for name in options:
        if name in GIVEN:
            msg = f"{name}= is given by the simulation: leave it out"
            raise ConfigurationError(msg)
        if name not in NODE_OPTIONS and name not in HUB_OPTIONS:
            every = sorted({*NODE_OPTIONS, *HUB_OPTIONS})
            close = get_close_matches(name, every, 1)
            guess = f"did you mean {close[0]}=? There are" if close else "there are"
            msg = f"a hub has no option {name}=: {guess} {', '.join(every)}"
            raise ConfigurationError(msg)
    # An iterator would be empty for the next process that starts with the same options.
    lasting = {name: tuple(value) if isinstance(value, Iterator) else value for name, value in options.items()}
    mine = {name: value for name, value in lasting.items() if name in NODE_OPTIONS}
    return mine, {name: value for name, value in lasting.items() if name not in NODE_OPTIONS}
