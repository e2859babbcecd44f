"""What an operator sees of a hub over the wire: pure readings of its map, in plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hubkit.cluster.core import Core
from hubkit.pids import Pid

__all__ = ["listing", "summary"]


def summary(core: Core, pids: Mapping[str, tuple[Pid, ...]]) -> dict[str, Any]:
    """The hub as a whole, and its nodes."""
    running = Counter(
        node for child in core.wants for node, run in core.runs.get(child, {}).items() if run.phase == "running"
    )
    return {
        "partitioned": core.partitioned,
        "children": len(core.wants),
        "running": len(pids),
        "nodes": [
            {
                "node": row.name,
                "state": row.state if node in core.alive else "silent",
                "address": row.address,
                "children": running[node],
            }
            for node, row in sorted(core.nodes.items())
        ],
    }


def listing(core: Core, pids: Mapping[str, tuple[Pid, ...]]) -> list[Mapping[str, Any]]:
    """The hub's children, one by one."""
    rows: list[Mapping[str, Any]] = []
    for child, want in sorted(core.wants.items()):
        own = pids.get(child, ())
        runs = [run for node, run in core.runs.get(child, {}).items() if node in core.alive and run.role == "active"]
        state = "running" if own else "parked" if any(run.phase == "failed" for run in runs) else "starting"
        rows.append(
            {
                "child": child,
                "actor": want.start,
                "state": state,
                "nodes": [pid.node for pid in own],
                "pids": [str(pid) for pid in own],
                "term": max((run.term for run in runs), default=0),
                "tag": want.tag,
                "error": next((run.error for run in runs if run.error), None),
            }
        )
    return rows
