"""How a hub decides: frozen values, one of each family, given to `hubkit.Hub`.

Law of this room: a strategy has one or two pure methods, answers from its arguments alone, and gives the same answer on
every node. A strategy of your own is any object with the same methods: the Protocols are exported here.

===================  ==================================  ==========================================
family               Protocol                            comes with hubkit
===================  ==================================  ==========================================
where children run   `Distribution`                      `ConsistentHashing`
how many copies      `Redundancy`                        `Singularity`
how they move        `Migration`                         `ColdSwap`
who is told when     `Synchronization`                   `PubSub`
while parted         `PartitionTolerance`, `Leased`      `Divergence`, `StaticQuorum`, `MajorityQuorum`, `DynamicQuorum`
===================  ==================================  ==========================================
"""

from __future__ import annotations

from hubkit.cluster.policy import (
    ChildView,
    ClusterView,
    Distribution,
    Leased,
    Migration,
    NodeView,
    PartitionTolerance,
    QuorumView,
    Redundancy,
    SelectiveDistribution,
    Strategies,
    Synchronization,
)
from hubkit.strategies.distribution import ConsistentHashing
from hubkit.strategies.migration import ColdSwap
from hubkit.strategies.partition import Divergence, DynamicQuorum, MajorityQuorum, StaticQuorum
from hubkit.strategies.redundancy import Singularity
from hubkit.strategies.synchronization import PubSub

__all__ = [
    "ChildView",
    "ClusterView",
    "ColdSwap",
    "ConsistentHashing",
    "Distribution",
    "Divergence",
    "DynamicQuorum",
    "Leased",
    "MajorityQuorum",
    "Migration",
    "NodeView",
    "PartitionTolerance",
    "PubSub",
    "QuorumView",
    "Redundancy",
    "SelectiveDistribution",
    "Singularity",
    "StaticQuorum",
    "Strategies",
    "Synchronization",
]
