"""Which nodes may take part in a hub: the user's rule, asked once for each link to a node that has the hub, too.

Law of this room: who decides is a plain function of a name and labels, and where it fails, nobody is admitted: a rule that
cannot be asked protects nothing by saying yes. What it says holds as long as the link, whatever it would say later.

Refused: keeping the rows of a node that was not admitted out of what others tell. Rows come by way of all nodes of a hub, so
all of them must have the same rule; whoever one of them admits is in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hubkit.errors import ConfigurationError
from hubkit.logs import Log

__all__ = ["EVERYBODY", "Admission", "Admit", "check_admit", "denial"]

log: Log = Log("hubkit.hub")

#: ``admit(name, labels)``: whether the node of this name, which says these labels of itself, may take part in the hub.
Admit = Callable[[str, Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class Admission:
    """A rule; `None`: everybody may."""

    rule: Admit | None = None
    _said: set[str] = field(default_factory=set, compare=False, repr=False)

    def admits(self, hub: str, me: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether that node may take part. A refusal is logged, once for each name."""
        if self.rule is None:
            return True
        try:
            admitted = self.rule(name, dict(labels))
        except Exception:
            log.exception("hub %s on node %s: admit(%r, ...) failed, so that node is not admitted", hub, me, name)
            return False
        if not admitted and name not in self._said:
            if len(self._said) < _MOST:
                self._said.add(name)
            log.warning("node %s stays apart: %s", me, denial(hub, me, name))
        return bool(admitted)


_MOST = 1000  # names that are remembered, so that each is logged once

EVERYBODY = Admission()


def denial(hub: str, node: str, name: str) -> str:
    """What is told to both sides."""
    return f"hub {hub!r} on node {node!r} does not admit node {name!r}: its admit= would have to let that name or its labels in"


def check_admit(admit: object) -> Admission:
    """The rule that was given."""
    if admit is None:
        return EVERYBODY
    if not callable(admit):
        msg = f"admit must be a function of (name, labels) that returns a bool, not {admit!r:.80}"
        raise ConfigurationError(msg)
    return Admission(admit)
