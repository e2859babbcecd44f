"""Whether a strategy keeps the laws of its family: to be called in a test of whoever writes one.

Law of this room: a hub works with any strategy that keeps these laws, and those that come with hubkit keep them. What breaks
one is shown small: the law in words, and the simplest question whose answer breaks it.

One function for each family, and `check_strategy`, which finds the families of a strategy by its methods::

    from hubkit.testing import laws

    def test_my_strategies_keep_the_laws() -> None:
        laws.check_distribution(ByTag(), stable=True)
        laws.check_strategy(HalfOfAll())

Cases are drawn by Hypothesis (``pip install "hubkit[testing]"``), 200 for each law; all of them take a second or so.
"""

from __future__ import annotations

from typing import Any

import hypothesis

from hubkit.errors import ConfigurationError
from hubkit.testing.laws.distribution import check_distribution
from hubkit.testing.laws.families import check_migration, check_redundancy, check_synchronization
from hubkit.testing.laws.partition import check_partition_tolerance

__all__ = [
    "check_distribution",
    "check_migration",
    "check_partition_tolerance",
    "check_redundancy",
    "check_strategy",
    "check_synchronization",
]

_FAMILIES = {
    "place": check_distribution,
    "copies": check_redundancy,
    "warm": check_migration,
    "targets": check_synchronization,
    "allowed": check_partition_tolerance,
}


def check_strategy(strategy: Any, *, examples: int = 200, settings: hypothesis.settings | None = None) -> None:
    """Put a strategy to the laws of its family, or families: those whose method it has.

    ``examples``: cases for each law. ``settings``: Hypothesis' own, in place of ``examples``.

    Raises `AssertionError`, which names the law and shows the smallest case that breaks it; and `ConfigurationError` for what
    is no strategy at all, and for a class in place of a value. Example::

        @pytest.mark.parametrize("strategy", [ByTag(), HalfOfAll()], ids=repr)
        def test_it_keeps_the_laws(strategy: Any) -> None:
            check_strategy(strategy)
    """
    checks = (
        [] if isinstance(strategy, type) else [check for name, check in _FAMILIES.items() if hasattr(strategy, name)]
    )
    if not checks:
        msg = f"a strategy is a value that has one of .{', .'.join(_FAMILIES)}, not {strategy!r:.80}"
        raise ConfigurationError(msg)
    for check in checks:
        check(strategy, examples=examples, settings=settings)
