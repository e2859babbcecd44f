"""Long runs: many seeds of every schedule. ``python -m tests.property.sweep --seeds 1000``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.property.schedules import SCHEDULES, run


def main() -> int:
    """Play the seeds; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--length", type=int, default=250)
    parser.add_argument("--schedule", choices=[*SCHEDULES, "all"], default="all")
    parser.add_argument("--verbose", action="store_true", help="print the traceback of each failure")
    options = parser.parse_args()
    failed = 0
    for schedule in SCHEDULES if options.schedule == "all" else [options.schedule]:
        began, steps, faults = time.perf_counter(), 0, []
        for seed in range(options.start, options.start + options.seeds):
            try:
                steps += run(seed, schedule, options.length).steps
            except Exception as error:
                faults.append((seed, f"{type(error).__name__}: {error}"))
                if options.verbose:
                    traceback.print_exc()
        elapsed = time.perf_counter() - began
        print(  # noqa: T201
            f"{schedule}: {options.seeds} seeds, {len(faults)} failed, {steps / elapsed:.0f} steps a second",
            flush=True,
        )
        for seed, what in faults[:10]:
            print(f"   seed {seed}: {what}", flush=True)  # noqa: T201
        failed += len(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
