"""Long runs: many seeds of every schedule. ``python -m tests.property.sweep --seeds 1000``.

The schedules that begin with ``quorum-`` are those of `tests.property.parted`; ``--schedule quorum`` plays them all.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.property.parted import KINDS, run_parted
from tests.property.schedules import SCHEDULES, run
from tests.property.world import World

QUORUM = [f"quorum-{kind}" for kind in KINDS]


def play(seed: int, schedule: str, length: int) -> World:
    """Play one seed of any schedule."""
    if schedule in QUORUM:
        return run_parted(seed, schedule.removeprefix("quorum-"), length)
    return run(seed, schedule, length)


def main() -> int:
    """Play the seeds; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument(
        "--length", type=int, default=0, help="steps of each; as it is best for the schedule by default"
    )
    parser.add_argument("--schedule", choices=[*SCHEDULES, *QUORUM, "quorum", "all"], default="all")
    parser.add_argument("--verbose", action="store_true", help="print the traceback of each failure")
    options = parser.parse_args()
    failed = 0
    several = {"all": [*SCHEDULES, *QUORUM], "quorum": QUORUM}
    for schedule in several.get(options.schedule, [options.schedule]):
        began, steps, faults = time.perf_counter(), 0, []
        for seed in range(options.start, options.start + options.seeds):
            try:
                length = options.length or (900 if schedule in QUORUM else 250)
                steps += play(seed, schedule, length).steps
            except Exception as error:
                faults.append((seed, f"{type(error).__name__}: {error}"))
                print(f"   {schedule} seed {seed}: {faults[-1][1]}", flush=True)  # noqa: T201
                if options.verbose:
                    traceback.print_exc()
        elapsed = time.perf_counter() - began
        print(  # noqa: T201
            f"{schedule}: {options.seeds} seeds, {len(faults)} failed, {steps / elapsed:.0f} steps a second",
            flush=True,
        )
        failed += len(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
