"""hubkit's plugin for pytest: the seeds of simulated tests, and what there is to see of one that failed.

Law of this room: it is loaded by every run of pytest wherever hubkit is installed, so it costs nothing and imports nothing.
That is why it lies outside of the package: to import a part of hubkit is to import all of it, before coverage has begun to
measure. What it needs of hubkit it takes when a simulation has failed, and hubkit has been loaded anyway. What hubkit is to
know of the options stands in the environment.

Options: ``--hubkit-seeds N`` (how many seeds each simulated test runs), ``--hubkit-seed S`` (only this one: a replay),
``--hubkit-plan PLAN`` (what ``fault_plans`` draws: a replay, too), ``--hubkit-trace DIR`` (where timelines of failures go).
Any test that asks for the argument ``hubkit_seed`` is run with one seed after the other; `hubkit.testing.simulated` makes
such tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

SEED = "hubkit_seed"
SEEDS = 10
TRACE = ".hubkit"
#: where modules were found before tests were looked for (this is loaded first): but for what the configuration says, that
#: is where another process would find them
PATH = tuple(sys.path)
#: the runs of pytest in this process, the innermost last
configs: list[pytest.Config] = []

#: the options that hubkit reads in the environment
DICTATED = {"--hubkit-plan": "HUBKIT_REPLAY_PLAN", "--hubkit-seed": "HUBKIT_REPLAY_SEED"}
_before = pytest.StashKey[Mapping[str, object]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("hubkit", "simulations (hubkit.testing)")
    group.addoption("--hubkit-seeds", type=int, metavar="N", help="run each simulated test with so many seeds")
    group.addoption(
        "--hubkit-seed",
        type=int,
        metavar="S",
        help="run each simulated test, and each simulation in a Hypothesis test, with this seed only (a replay)",
    )
    group.addoption(
        "--hubkit-plan",
        metavar="PLAN",
        help="let fault_plans draw this plan only: 'FaultPlan(...)', as a failure prints it (a replay)",
    )
    group.addoption(
        "--hubkit-trace", metavar="DIR", help=f"where timelines of failures go (default: {TRACE} in the root directory)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and leave in the environment what hubkit is to know of them."""
    seeds, seed = config.getoption("--hubkit-seeds"), config.getoption("--hubkit-seed")
    if seeds is not None and seed is not None:
        msg = "--hubkit-seed runs one seed, --hubkit-seeds many: give one of them"
        raise pytest.UsageError(msg)
    if seeds is not None and seeds < 1:
        msg = f"--hubkit-seeds must be at least 1, not {seeds}"
        raise pytest.UsageError(msg)
    configs.append(config)
    config.stash[_before] = {name: os.environ.get(name) for name in DICTATED.values()}
    _set({name: config.getoption(option) for option, name in DICTATED.items()})


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    if config in configs:
        configs.remove(config)
        _set(config.stash[_before])


def _set(variables: Mapping[str, object]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a Hypothesis test to which a plan is dictated look for nothing else: no shrinking, no complaint about its pace."""
    hypothesis = sys.modules.get("hypothesis")
    if config.getoption("--hubkit-plan") is None or hypothesis is None:
        return
    for item in items:
        test: Any = getattr(item, "function", None)
        usual = getattr(
            test, "_hypothesis_internal_use_settings", None
        )  # Hypothesis' own plugin does it like this, too
        if usual is not None and hasattr(test, "hypothesis"):
            test._hypothesis_internal_use_settings = hypothesis.settings(
                usual,
                phases=[phase for phase in usual.phases if phase.name in ("explicit", "generate")],
                database=None,  # what is saved there was drawn in another way
                deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each seed."""
    if SEED not in metafunc.fixturenames:
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if any(SEED in str(mark.args[0] if mark.args else mark.kwargs.get("argnames")) for mark in marks):
        return  # the test has its own seeds
    simulated = getattr(metafunc.function, "hubkit_simulated", None)
    config, first = metafunc.config, getattr(simulated, "first", 0)
    seeds = config.getoption("--hubkit-seeds") or getattr(simulated, "seeds", SEEDS)
    only = config.getoption("--hubkit-seed")
    chosen = range(first, first + seeds) if only is None else [only]
    metafunc.parametrize(SEED, chosen, ids=[f"seed{seed}" for seed in chosen])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section to the report of a test in which a simulation failed, and spare people the machinery around it."""
    found = None
    if call.excinfo is not None and "hubkit.testing" in sys.modules:
        from hubkit.testing.failures import describe_failure, report_of, without_machinery

        found = report_of(call.excinfo.value)
        if found is not None and not item.config.getoption("fulltrace"):
            call.excinfo.traceback = type(call.excinfo.traceback)(without_machinery(call.excinfo.tb))
    report = yield
    if found is not None and report.failed:
        by_seed = SEED in getattr(item, "fixturenames", ())
        text = describe_failure(*found, item.nodeid, _directory(item.config), by_seed=by_seed)
        report.sections.append(("hubkit", text))
    return report


def _directory(config: pytest.Config) -> Path:
    given = config.getoption("--hubkit-trace")
    return config.rootpath / TRACE if given is None else config.invocation_params.dir / given
