"""The public face is a list, and this is it: a name that comes or goes must come or go here, too."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import tomllib
from types import ModuleType

import pytest
from tests.house import ROOT, python

import hubkit

#: What `from hubkit import *` gives.
NAMES = {
    "__version__",
    "Actor",
    "actor",
    "Backoff",
    "child",
    "ChildInfo",
    "ChildSpec",
    "Context",
    "Discovery",
    "Down",
    "EventStream",
    "Exit",
    "Explanation",
    "Future",
    "Hook",
    "Hub",
    "HubStatistics",
    "LateReply",
    "message",
    "Monitor",
    "Move",
    "MultiCall",
    "Node",
    "Pid",
    "Placement",
    "Ref",
    "Reject",
    "start",
    "StartResult",
    "StateMachine",
    "StopResult",
    "Supervisor",
    "Timer",
    "TLS",
    "when",
}

#: Public modules under it.
NAMESPACES = {"debug", "discovery", "errors", "events", "strategies"}

#: What `from hubkit.testing import *` gives. (It is no attribute of hubkit: who does not test does not load it.)
TESTING = {
    "Asked",
    "balance",
    "Break",
    "Checker",
    "check_transport",
    "Crash",
    "down_exactly_once",
    "FaultPlan",
    "FaultRules",
    "Hold",
    "InvariantViolated",
    "Join",
    "laws",
    "Leave",
    "monotonic_terms",
    "no_acked_message_lost",
    "no_lost_child",
    "NotSettled",
    "Partition",
    "Pause",
    "Probe",
    "registry_converges",
    "Report",
    "Restart",
    "simulated",
    "SimulatedNetwork",
    "Simulation",
    "SimulationError",
    "SimulationMachine",
    "single_owner",
    "Skew",
    "Slow",
    "Step",
    "Stepper",
    "strategies",
    "Watcher",
    "World",
}


def test_the_public_names_are_these() -> None:
    assert set(hubkit.__all__) == NAMES | NAMESPACES


def test_the_list_is_sorted_and_says_nothing_twice() -> None:
    assert len(hubkit.__all__) == len(set(hubkit.__all__))


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_there_and_explains_itself(name: str) -> None:
    thing = getattr(hubkit, name)
    if name != "__version__":
        doc = inspect.getdoc(thing)
        assert doc, f"hubkit.{name} has no docstring"
        assert not doc.startswith(f"{name}("), f"hubkit.{name} has the docstring that dataclass made up"


@pytest.mark.parametrize("name", sorted(NAMESPACES))
def test_every_namespace_has_a_list_of_its_own(name: str) -> None:
    module = importlib.import_module(f"hubkit.{name}")
    assert inspect.getdoc(module)
    assert hasattr(module, "__all__"), f"hubkit.{name} has no __all__"
    for public in module.__all__:
        thing = getattr(module, public)
        assert isinstance(thing, ModuleType) or inspect.getdoc(thing), f"hubkit.{name}.{public} has no docstring"


def test_the_names_for_tests_are_these_and_explain_themselves() -> None:
    testing = importlib.import_module("hubkit.testing")
    assert set(testing.__all__) == TESTING
    assert testing.__all__ == sorted(testing.__all__)
    for name in sorted(TESTING):
        assert inspect.getdoc(getattr(testing, name)), f"hubkit.testing.{name} has no docstring"


def test_tests_can_be_written_without_hypothesis() -> None:
    source = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from hubkit.testing import Simulation, FaultPlan, simulated\n"
        "import hubkit.testing\n"
        "for name in ('strategies', 'laws'):\n"
        "    try: getattr(hubkit.testing, name)\n"
        "    except ModuleNotFoundError as error: print(error)\n"
    )
    result = python("-c", source, within=30)
    assert result.stdout.splitlines() == [
        f"hubkit.testing.{name} needs Hypothesis: pip install 'hubkit[testing]'" for name in ("strategies", "laws")
    ]


def test_nothing_leaks() -> None:
    # In a fresh process: rooms that a test has imported are attributes of the package, too. They are not public, but
    # they are no leak either.
    source = "import hubkit, types; print(*(n for n, v in vars(hubkit).items() if not isinstance(v, types.ModuleType)))"
    result = python("-c", source, within=30)
    assert result.returncode == 0, result.stdout
    found = {name for name in result.stdout.split() if not name.startswith("_")} - {"annotations"}
    assert found <= NAMES, f"these leak from hubkit: {sorted(found - NAMES)}"


def test_the_tree_in_the_docstring_of_errors_is_the_tree() -> None:
    from hubkit import errors

    doc = inspect.getdoc(errors) or ""
    drawn = re.findall(r"^ *(?:\| +)*\+-- (\w+)", doc, flags=re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", hubkit.__version__)


def test_the_command_is_installed() -> None:
    result: subprocess.CompletedProcess[str] = python("-c", "from hubkit.cli import main; main(['--help'])", within=30)
    assert result.returncode == 0, result.stdout
    for command in ("demo", "run", "status", "children", "sim"):
        assert command in result.stdout
