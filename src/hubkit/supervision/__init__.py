"""Supervision: what follows when an actor ends.

====================  ==================================================================================
`restarts`            the policy, pure: exit, history and time give a verdict
`runner`              one child of a spec, from its start to its bounded stop
`children`            what a supervisor knows of each child
`manager`             what goes on inside a supervisor
`supervisor`          `Supervisor`, ``hubkit.start`` and ``hubkit.child``
====================  ==================================================================================

Supervision restarts *instances*; a hub places *wishes*, and uses the policy and the runner for those placed here.
"""

from hubkit.supervision.children import ChildCounts, ChildStatus
from hubkit.supervision.restarts import History, Limits, Verdict, decide
from hubkit.supervision.runner import Running, start_instance, stop_all
from hubkit.supervision.supervisor import Supervisor, child, start

__all__ = [
    "ChildCounts",
    "ChildStatus",
    "History",
    "Limits",
    "Running",
    "Supervisor",
    "Verdict",
    "child",
    "decide",
    "start",
    "start_instance",
    "stop_all",
]
