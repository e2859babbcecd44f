"""Test distributed code by property: whole hubs under virtual time, on a simulated network, from one seed.

`Simulation` runs a scenario; `FaultPlan` is a plan of disasters as a value, which ``hubkit.testing.strategies.fault_plans``
draws and shrinks (it needs Hypothesis); checkers say what must hold at every step; `simulated` makes tests of scenarios;
`SimulationMachine` (Hypothesis again) is the base of users' own state machines; ``hubkit.testing.laws`` (and again) tells
whether a strategy of your own keeps the laws of its family. `SimulatedNetwork` is the transport beneath, `check_transport` the
suite that every transport must pass. `Probe` is an actor for tests of any kind, which notes what it gets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hubkit.errors import InvariantViolated, NotSettled, SimulationError
from hubkit.net.simulated import SimulatedNetwork
from hubkit.testing.checkers import (
    balance,
    down_exactly_once,
    monotonic_terms,
    no_lost_child,
    registry_converges,
    single_owner,
)
from hubkit.testing.conformance import check_transport
from hubkit.testing.faults import Break, Crash, Hold, Join, Leave, Partition, Pause, Restart, Skew, Slow
from hubkit.testing.keeping import no_acked_message_lost
from hubkit.testing.marks import simulated
from hubkit.testing.plans import FaultPlan
from hubkit.testing.probes import Asked, Probe
from hubkit.testing.simulation import Simulation
from hubkit.testing.stepper import Stepper
from hubkit.testing.trace import Report, Step
from hubkit.testing.watching import Checker, Watcher, World

if TYPE_CHECKING:
    from hubkit.testing import laws, strategies
    from hubkit.testing.machine import FaultRules, SimulationMachine

__all__ = [
    "Asked",
    "Break",
    "Checker",
    "Crash",
    "FaultPlan",
    "FaultRules",
    "Hold",
    "InvariantViolated",
    "Join",
    "Leave",
    "NotSettled",
    "Partition",
    "Pause",
    "Probe",
    "Report",
    "Restart",
    "SimulatedNetwork",
    "Simulation",
    "SimulationError",
    "SimulationMachine",
    "Skew",
    "Slow",
    "Step",
    "Stepper",
    "Watcher",
    "World",
    "balance",
    "check_transport",
    "down_exactly_once",
    "laws",
    "monotonic_terms",
    "no_acked_message_lost",
    "no_lost_child",
    "registry_converges",
    "simulated",
    "single_owner",
    "strategies",
]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is loaded when it is asked for."""
    if name in ("laws", "strategies", "FaultRules", "SimulationMachine"):
        is_room = name in ("laws", "strategies")
        try:
            room = importlib.import_module(f"hubkit.testing.{name if is_room else 'machine'}")
        except ModuleNotFoundError as error:
            if error.name != "hypothesis":
                raise
            msg = f"hubkit.testing.{name} needs Hypothesis: pip install 'hubkit[testing]'"
            raise ModuleNotFoundError(msg, name="hypothesis") from None
        return room if is_room else getattr(room, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
