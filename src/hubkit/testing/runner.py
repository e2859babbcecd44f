"""How a scenario is run from beginning to end.

Law of this room: what is wrong with the call is said before anything is started.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from hubkit.errors import ConfigurationError
from hubkit.testing.plans import FaultPlan
from hubkit.testing.production import Production
from hubkit.testing.simulation import Simulation
from hubkit.testing.trace import Report
from hubkit.testing.watching import Checker

__all__ = ["run"]


def run(
    main: Callable[[Simulation], Awaitable[object]],
    seed: int,
    *,
    network: Any = "simulated",
    plan: FaultPlan | None = None,
    checkers: Iterable[Checker] = (),
    limit: float = 3_600.0,
) -> Report:
    """See `Simulation.run`."""
    _check_main(main)
    if isinstance(network, str) and network == "websocket":
        from hubkit.testing.real import run_real

        return run_real(main, seed, plan=plan, checkers=checkers, limit=limit)
    production = Production(seed, network, plan, checkers, limit, main)
    return production.conduct(
        lambda: trio.run(production.perform, main, clock=production.clock, instruments=[production.turns])
    )


def _check_main(main: object) -> None:
    if not callable(main):
        msg = f"main must be an async function of one argument, the Simulation; not {main!r:.80}"
        raise ConfigurationError(msg)
    try:
        inspect.signature(main).bind(None)
    except TypeError as error:
        name = getattr(main, "__qualname__", main)
        msg = f"main is called with one argument, the Simulation, and {name!s} does not take that: {error}"
        raise ConfigurationError(msg) from None
    except ValueError:
        return  # no signature to look at
