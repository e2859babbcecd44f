"""How a law is put to a strategy: cases are drawn, and the smallest that breaks it is told in words.

Law of this room: whoever reads a failure learns which law it is, what was asked, and what is wrong with the answer. A strategy
that raises, and one that answers differently from one time to the next, are told of in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from hubkit.errors import ConfigurationError
from hubkit.specs import check_count

__all__ = ["TOTAL", "Bench", "bench_for", "show"]

TOTAL = "it is total: it answers whatever it can be shown, and never raises"
REPEATABLE = "it is deterministic: equal questions have equal answers"

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Bench:
    """A strategy, its family, and how many cases of each law are drawn."""

    strategy: Any
    family: str
    settings: hypothesis.settings

    def fail(self, law: str, what: str) -> AssertionError:
        """The error that says that a law is broken."""
        return AssertionError(f"{self.strategy!r:.200} breaks a law of {self.family}: {law}.\n  {what}")

    def hold(self, cases: st.SearchStrategy[Case], *laws: tuple[str, Callable[[Any, Case], object]]) -> None:
        """Draw cases, and put each to all of these laws: a name, and a function that says in a `str` what is wrong.

        Raises `AssertionError` with the first law that was seen to be broken, and the smallest case that breaks it.
        """
        first: list[tuple[str, Callable[[Any, Case], object]]] = []
        last: list[AssertionError] = []

        @self.settings
        @given(cases)
        def put(case: Case) -> None:
            for law, broken in (
                first or laws
            ):  # once one is known to be broken, the smallest case of that one is looked for
                failure, cause = self._judge(law, broken, case)
                if failure is not None:
                    first[:], last[:] = [(law, broken)], [failure]
                    raise failure from cause

        try:
            put()
        except Flaky as error:
            what = str(last[0]).partition("\n  ")[2] if last else ""
            raise self.fail(REPEATABLE, f"{what}\n  (once; the next time that was asked it was not so)") from error

    def _judge(
        self, law: str, broken: Callable[[Any, Case], object], case: Case
    ) -> tuple[AssertionError | None, Exception | None]:
        try:
            found = broken(self.strategy, case)
        except Exception as error:
            return self.fail(TOTAL, f"{_call(case)} raised {type(error).__name__}: {error}"), error
        return (self.fail(law, found), None) if isinstance(found, str) else (None, None)

    def hold_once(self, law: str, broken: Callable[[], str | None]) -> None:
        """The same for what needs no cases."""
        try:
            found = broken()
        except Exception as error:
            raise self.fail(TOTAL, f"reading it raised {type(error).__name__}: {error}") from error
        if found is not None:
            raise self.fail(law, found)


def bench_for(
    strategy: object, family: str, needs: tuple[str, ...], examples: int, settings: hypothesis.settings | None
) -> Bench:
    """A bench for a strategy of a family. Raises `ConfigurationError` for what is no value that has what it ``needs``."""
    missing = [name for name in needs if isinstance(strategy, type) or not hasattr(strategy, name)]
    if missing:
        msg = f"a strategy of {family} is a value with .{', .'.join(needs)}, not {strategy!r:.80}"
        raise ConfigurationError(msg)
    check_count(examples, "examples", least=1)
    if settings is None:
        # No database: it would take an example of one strategy for one of another. Explaining takes hundreds of runs.
        settings = hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
    return Bench(strategy, family, settings)


def show(value: object) -> str:
    """A value for people: a view without the fields that are as ever."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = []
        for number, item in enumerate(fields(value)):
            own = getattr(value, item.name)
            made = item.default_factory() if item.default_factory is not MISSING else item.default
            if own != made:
                parts.append(show(own) if number == 0 else f"{item.name}={show(own)}")
        return f"{type(value).__name__}({', '.join(parts)})"
    if type(value) is tuple:
        return f"({', '.join(map(show, value))}{',' * (len(value) == 1)})"
    if type(value) is list:
        return f"[{', '.join(map(show, value))}]"
    return f"{value!r:.300}"


def _call(case: object) -> str:
    """The question that a case is: ``place(...)``."""
    asked = getattr(case, "asked", None)
    return asked if isinstance(asked, str) else show(case)
