"""What is not to be believed, whoever says it.

Law of this room: a message that no honest and sane node would send, and that would harm for ever if it were believed, is
refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from hubkit.cluster.rows import Run
from hubkit.cluster.stamps import NEVER
from hubkit.cluster.sync import Sync
from hubkit.pids import NodeId

__all__ = ["LEAP", "incredible"]

#: The most by which a term may be ahead of all that is known here. (A bound for terms themselves could be reached by one
#: lie, and then nobody could ever take the child over.)
LEAP = 1 << 32


def incredible(sync: Sync, runs: Mapping[str, Mapping[NodeId, Run]], wall_ms: int, drift_max: float) -> str | None:
    """Why this is not to be believed; `None`: it may be. ``drift_max``: seconds by which a stamp may be ahead."""
    newest = max([NEVER, *sync.upto.values(), *sync.have.values()])
    ahead = newest[0] - wall_ms
    if ahead > drift_max * 1000:
        return f"a clock there is {ahead / 1000:.0f} s ahead of mine; at most {drift_max:g} s are allowed"
    for key, row in sync.rows.items():
        if isinstance(row.value, Run) and row.value.term > LEAP:
            last = max((run.term for run in runs.get(key[1], {}).values()), default=0)
            if row.value.term > last + LEAP:
                return f"it gives child {key[1]!r:.80} the term {row.value.term}, after {last}: terms grow one by one"
    return None
