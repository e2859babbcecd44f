"""`simulated`: a scenario becomes a test.

Law of this room: what comes out is a plain function, which any test runner can call; it knows nothing of pytest, and pytest
need not be there. How many seeds it runs is one parameter, ``hubkit_seed``: pytest's plugin fills it with one seed after
the other, each a test of its own; whoever leaves it out gets them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, overload

from hubkit.errors import ConfigurationError
from hubkit.specs import check_seconds
from hubkit.testing.arguments import check_checkers, check_network
from hubkit.testing.plans import FaultPlan
from hubkit.testing.simulation import Simulation
from hubkit.testing.watching import Checker

__all__ = ["SEED", "Filled", "Simulated", "scenario_of", "simulated"]

#: the parameter of a simulated test that pytest's plugin fills
SEED = "hubkit_seed"

Scenario = Callable[..., Awaitable[object]]
Test = Callable[..., None]


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A scenario with all its arguments but the simulation: what is run where a scenario takes more than that.

    ``before`` and ``named`` are those arguments. ``settings``: of the simulated test that it comes from. ``target``: how
    ``hubkit sim`` was told to find the scenario; empty: by nobody.
    """

    main: Scenario
    before: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    settings: Simulated | None = None
    target: str = ""

    def __call__(self, sim: Simulation) -> Awaitable[object]:
        """Call the scenario."""
        return self.main(*self.before, sim, **self.named)

    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":  # what it is called in messages: a class cannot say that of its instances
            return getattr(self.main, name, "main")
        raise AttributeError(name)


@dataclass(frozen=True, slots=True)
class Simulated:
    """How a test is simulated; what `simulated` leaves on it as ``hubkit_simulated``. ``main``: the scenario as written."""

    main: Scenario
    seeds: int
    first: int
    network: str | Mapping[str, float]
    checkers: tuple[Checker, ...]
    limit: float

    def run(self, seed: int, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Run the scenario with this seed: ``args`` come before its simulation, ``named`` after it."""
        plan = next((value for value in named.values() if isinstance(value, FaultPlan)), None)
        scenario = Filled(self.main, args, named, self)
        Simulation.run(scenario, seed, network=self.network, plan=plan, checkers=self.checkers, limit=self.limit)


def scenario_of(found: Any) -> tuple[Any, Simulated | None]:
    """The scenario behind what a module calls by its name: a test that `simulated` has made, with ``@given`` above it or not.

    Whatever else it is, it is returned as it is.
    """
    test = getattr(getattr(found, "hypothesis", None), "inner_test", found)
    settings = getattr(test, "hubkit_simulated", None)
    return (settings.main, settings) if isinstance(settings, Simulated) else (found, None)


@overload
def simulated(seeds: Scenario, /) -> Test: ...


@overload
def simulated(
    seeds: int = 10,
    *,
    first: int = 0,
    network: str | Mapping[str, float] = "simulated",
    checkers: Iterable[Checker] = (),
    limit: float = 3_600.0,
) -> Callable[[Scenario], Test]: ...


def simulated(
    seeds: int | Scenario = 10,
    *,
    first: int = 0,
    network: str | Mapping[str, float] = "simulated",
    checkers: Iterable[Checker] = (),
    limit: float = 3_600.0,
) -> Any:
    """Make a test of ``async def test(sim, ...)``: it runs in simulations, with ``seeds`` seeds from ``first`` on.

    Further parameters are pytest's fixtures or other arguments; a `FaultPlan` among them is ``sim.plan``, too. Under
    pytest every seed is a test of its own, ``--hubkit-seeds N`` says how many, and ``--hubkit-seed S`` which one. Called
    without a seed, the function runs them all. ``network``, ``checkers`` and ``limit``: see `Simulation.run`. Example::

        @simulated(seeds=20)
        async def test_a_hub_of_one(sim: Simulation) -> None:
            hub = await sim.start_hub("shop", node="a")
            ...

    With Hypothesis, ``@given`` goes *above* it: each seed is tried with many plans::

        @given(plan=fault_plans(3))
        @simulated(seeds=3, checkers=[no_lost_child(within=60)])
        async def test_any_disaster(sim: Simulation, plan: FaultPlan) -> None:
            ...
            await sim.play(plan)

    Raises `ConfigurationError` for what is no such function, and for ``@given`` below.
    """
    if not isinstance(seeds, int):
        return simulated()(seeds)
    if isinstance(seeds, bool) or seeds < 1:
        msg = f"seeds must be a number of at least 1, not {seeds!r}"
        raise ConfigurationError(msg)
    if isinstance(first, bool) or not isinstance(first, int):
        msg = f"first must be a seed, an int, not {first!r}"
        raise ConfigurationError(msg)
    check_seconds(limit, "limit", zero=False, infinite=True)
    check_network(network)
    watching = check_checkers(checkers)

    def decorate(main: Scenario) -> Test:
        return _test_of(Simulated(main, seeds, first, network, watching, limit))

    return decorate


def _test_of(settings: Simulated) -> Test:
    main = settings.main
    before, after = _parameters(main)

    @wraps(main)
    def test(*args: Any, **named: Any) -> None:
        __tracebackhide__ = True
        seed = named.pop(SEED, None)
        given = inspect.Signature([*before, *after]).bind(*args, **named).arguments
        rest = {name: value for name, value in given.items() if name not in {own.name for own in before}}
        instance = tuple(given[own.name] for own in before)
        if seed is not None:
            settings.run(seed, instance, rest)
            return
        for each in range(settings.first, settings.first + settings.seeds):
            settings.run(each, instance, rest)

    inner: Any = test
    # Without this, whoever asks for the signature is shown that of the scenario, with its simulation.
    del inner.__wrapped__
    filled = inspect.Parameter(SEED, inspect.Parameter.KEYWORD_ONLY)
    inner.__signature__ = inspect.Signature([*before, *after, filled])
    inner.__annotations__ = {}
    inner.hubkit_simulated = settings
    return test


def _parameters(main: Scenario) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """The parameters of a scenario before (``self``) and after its simulation."""
    name = getattr(main, "__qualname__", repr(main))
    if hasattr(main, "is_hypothesis_test"):
        msg = f"{name}: put @given above @simulated, so that it draws for the test that @simulated makes"
        raise ConfigurationError(msg)
    if not inspect.iscoroutinefunction(main):
        msg = f"@simulated is for a scenario, `async def test(sim, ...)`, and {name} is none"
        raise ConfigurationError(msg)
    parameters = list(inspect.signature(main).parameters.values())
    own = 1 if parameters and parameters[0].name == "self" else 0
    if len(parameters) <= own or parameters[own].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        msg = f"{name} has no parameter for its simulation: write `async def {main.__name__}(sim, ...)`"
        raise ConfigurationError(msg)
    after = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters[own + 1 :]]
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        msg = f"{name} must name all its parameters: pytest fills them by their names"
        raise ConfigurationError(msg)
    return parameters[:own], after
