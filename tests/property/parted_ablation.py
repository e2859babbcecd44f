"""One ingredient of the quorum's lease less: what each is for, shown by schedules in which a child then has two owners.

``python -m tests.property.parted_ablation --seeds 100`` counts how many do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from tests.property import parted
from tests.property.parted import KINDS, run_parted
from tests.property.world import InvariantViolated

from hubkit.cluster.lease import Lease
from hubkit.cluster.policy import QuorumView
from hubkit.cluster.quorum import Quorum
from hubkit.cluster.replication import Replication

__all__ = ["INGREDIENTS", "doubles", "without"]


def _yes(*arguments: object) -> bool:
    return True


def _nothing(*arguments: object) -> None:
    return None


def _by_sight(self: Quorum, node: Any, run: Any, now: float) -> bool:
    return run.role != "released" and node in self._members.alive


def _no_floor(self: Lease, mine: Any, now: float, view: QuorumView) -> Any:
    return mine


def _short(original: Callable[..., None]) -> Callable[..., None]:
    def changed(self: Lease, *arguments: Any) -> None:
        original(self, *arguments)
        self.wait = self._terms.lease

    return changed


def _sighted(self: Lease, now: float, view: QuorumView) -> bool:
    """Count who has been heard of, not who has acknowledged."""
    names = {node.rpartition("#")[0] for node, at in self._heard.items() if now - at < self._terms.lease}
    self.held = self._terms.is_quorum(names | {self._name}, view)
    self.until = now + self._terms.lease
    return self.held


def _proven(self: Quorum, node: Any, now: float) -> bool:
    return self._liveness.gone(node, now)


#: What is taken away: the kind of quorum that shows it, and what takes the place of what.
INGREDIENTS: dict[str, tuple[str, list[tuple[object, str, object]]]] = {
    "a claim waits for a quorum": ("static", [(Lease, "floor", _no_floor)]),
    "a claim waits for rivals out of sight": ("static", [(Quorum, "competes", _by_sight), (Quorum, "gone", _proven)]),
    "who was restarted does not vote": ("fixed", [(Lease, "votes", _yes)]),
    "a stop has a bound that counts from the lease": ("static", [(Quorum, "stop_by", _nothing)]),
    "silence lasts for more than a lease": ("static", [(Lease, "__init__", _short(Lease.__init__))]),
    "acknowledgements count, not sight": ("static", [(Lease, "allowed", _sighted)]),
    "an acknowledgement brings what its sender knew": (
        "static", [(Replication, "knows_all_of", _yes), (Replication, "complete", property(_nothing, _nothing))],
    ),
    "quorums intersect": ("static", [(parted, "KINDS", KINDS | {"static": replace(KINDS["static"], size=2)})]),
}  # fmt: skip


@contextmanager
def without(ingredient: str) -> Iterator[str]:
    """Take an ingredient away; the kind of quorum that needs it."""
    kind, replacements = INGREDIENTS[ingredient]
    with ExitStack() as stack:
        for owner, name, replacement in replacements:
            stack.enter_context(patch.object(owner, name, replacement))
        yield kind


def doubles(ingredient: str, seeds: range, length: int = 1200) -> Iterator[tuple[int, str]]:
    """The seeds in which a child has two owners without it."""
    with without(ingredient) as kind:
        for seed in seeds:
            try:
                run_parted(seed, kind, length)
            except InvariantViolated as violation:
                if " acts on " in str(violation):
                    yield seed, str(violation)


def main() -> int:
    """Count the schedules that go wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for ingredient, (kind, _) in INGREDIENTS.items():
        if options.only in ingredient:
            found = list(doubles(ingredient, range(options.start, options.start + options.seeds)))
            print(f"not {ingredient!r} ({kind}): {len(found)} of {options.seeds} {found[:2]}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
