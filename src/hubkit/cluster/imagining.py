"""Where children would be if other nodes were there.

Law of this room: the answer is that of the placement itself, asked about a hub that does not exist. (What a balancer would
choose depends on the load at that moment, too.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubkit.cluster.balance import Balance
from hubkit.cluster.ledger import Ledger
from hubkit.cluster.members import Members
from hubkit.cluster.placement import Placement
from hubkit.cluster.policy import Strategies
from hubkit.cluster.rows import NodeRow, Want
from hubkit.pids import name_of, node_id

__all__ = ["imagined"]


def imagined(
    rows: Iterable[NodeRow], strategies: Strategies, ledger: Ledger, members: Members
) -> dict[str, tuple[str, ...]]:
    """The names of the owners of each child if these were the ready nodes."""
    placement = Placement(strategies.distribution, strategies.redundancy)
    placement.update({node_id(row.name, 0): row for row in rows})
    wants: dict[str, Want] = dict(ledger.wants)
    for child, pins in Balance(None, strategies.distribution, ledger, members, placement).due(sorted(wants)).items():
        wants[child] = replace(wants[child], pins=pins)
    found = {child: tuple(map(name_of, placement.owners(child, want))) for child, want in wants.items()}
    return {child: owners for child, owners in found.items() if child not in placement.failing}  # those would stay
