"""Hypothesis' explanations, and why simulations stay out of them.

While Hypothesis shrinks a failure it traces every line that runs, to name those that only failing cases reach. A simulation is
a million lines of hubkit and trio: tracing makes each run five times as slow, so that shrinking takes minutes for seconds,
and the lines that it names are hubkit's own. So nothing is traced inside a simulation; the test around it is.

Law of this room: only Hypothesis is kept out. Debuggers and measurements of coverage go on, and what was there is given back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["unexplained"]

#: who traces for Hypothesis: the room, before Python 3.12; and the tool, from then on
_ROOM, _TOOL, _TOOL_ID = "hypothesis.internal.scrutineer", "scrutineer", 3


@contextmanager
def unexplained() -> Iterator[None]:
    """Let Hypothesis trace nothing in here."""
    trace = sys.gettrace()
    if type(getattr(trace, "__self__", None)).__module__ == _ROOM:
        sys.settrace(None)
        try:
            yield
        finally:
            sys.settrace(trace)
        return
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None or monitoring.get_tool(_TOOL_ID) != _TOOL:
        yield
        return
    events = monitoring.get_events(_TOOL_ID)
    monitoring.set_events(_TOOL_ID, 0)
    try:
        yield
    finally:
        monitoring.set_events(_TOOL_ID, events)
