"""One safeguard less: what each of them is for, shown by schedules that go wrong without it.

``python -m tests.property.ablation --seeds 200`` counts how many do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from tests.property.schedules import run
from tests.property.world import InvariantViolated

from hubkit.cluster import store as store_room
from hubkit.cluster.converge import Rules
from hubkit.cluster.core import Core
from hubkit.cluster.membership import Membership
from hubkit.cluster.replication import Replication
from hubkit.cluster.rows import Key, Row
from hubkit.cluster.store import Store


class _Forgetful(dict):  # type: ignore[type-arg]  # of claims
    """Claims that nobody waits for."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


def _unannounced(original: Callable[..., None]) -> Callable[..., None]:
    def changed(self: Rules, *arguments: object) -> None:
        original(self, *arguments)
        self.announced = _Forgetful()

    return changed


def _by_the_clock(key: Key, row: Row, old: Row) -> bool:
    return row.stamp > old.stamp


def _nothing(*arguments: object) -> None:
    return None


def _yes(*arguments: object) -> bool:
    return True


def _collect_at_once(self: Store, acknowledged: object) -> int:
    return _collect(self, [])


_collect = Store.collect

#: What is taken away: the schedule that shows it, and what takes the place of what.
SAFEGUARDS: dict[str, tuple[str, list[tuple[object, str, object]]]] = {
    "claims are announced": ("calm", [(Rules, "__init__", _unannounced(Rules.__init__))]),
    "a newcomer meets all it has heard of": ("calm", [(Membership, "_has_met_all", _yes)]),
    "removals come with their reasons": ("calm", [(Rules, "_known", _yes), (Replication, "accompany", _nothing)]),
    "tombstones wait for all": ("chaos", [(Store, "collect", _collect_at_once)]),
    "who settles or leaves passes on what it knows": ("calm", [(Replication, "pass_on", _nothing)]),
    "a claimant is told what it does not know": ("calm", [(Core, "_warn_claimant", _nothing)]),
    "only what was seen is removed": ("chaos", [(store_room, "stands", _by_the_clock)]),
    "who might hold it is waited for": ("chaos", [(Rules, "_unaccounted", lambda self, runs: ())]),
    "rows about a want on its way stay": ("silence", [(Rules, "_is_removed", _yes)]),
}


@contextmanager
def without(safeguard: str) -> Iterator[str]:
    """Take a safeguard away; the schedule that needs it."""
    schedule, replacements = SAFEGUARDS[safeguard]
    with ExitStack() as stack:
        for owner, name, replacement in replacements:
            stack.enter_context(patch.object(owner, name, replacement))
        yield schedule


def failures(safeguard: str, seeds: range) -> Iterator[tuple[int, str]]:
    """The seeds that go wrong without it, and how."""
    with without(safeguard) as schedule:
        for seed in seeds:
            try:
                run(seed, schedule)
            except InvariantViolated as violation:
                yield seed, str(violation)


def main() -> int:
    """Count the schedules that go wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    options = parser.parse_args()
    for safeguard, (schedule, _) in SAFEGUARDS.items():
        failed = list(failures(safeguard, range(options.seeds)))
        print(f"not {safeguard!r} ({schedule}): {len(failed)} of {options.seeds} {failed[:2]}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
