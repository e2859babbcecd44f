"""How a hub decides: frozen values, one of each family, given to `hubkit.Hub`.

Law of this room: a strategy has one or two pure methods, answers from its arguments alone, and gives the same answer on
every node. A strategy of your own is any object with the same methods: the Protocols are exported here.

===================  ==================================  ==========================================
family               Protocol                            comes with hubkit
===================  ==================================  ==========================================
where children run   `Distribution`                      `ConsistentHashing`, `Guided`,
                                                         `CentralizedLoadBalancer`
how many copies      `Redundancy`                        `Singularity`, `Replication`
how they move        `Migration`                         `ColdSwap`, `HotSwap`
who is told when     `Synchronization`                   `PubSub`, `Gossip`
while parted         `PartitionTolerance`, `Leased`      `Divergence`, `StaticQuorum`, `MajorityQuorum`, `DynamicQuorum`
===================  ==================================  ==========================================
"""

from __future__ import annotations

from hubkit.cluster.policy import (
    BalancingDistribution,
    ChildView,
    ClusterView,
    Distribution,
    Leased,
    Migration,
    NodeView,
    PartitionTolerance,
    Placer,
    PreparedDistribution,
    QuorumView,
    Redundancy,
    Strategies,
    Synchronization,
)
from hubkit.strategies.distribution import CentralizedLoadBalancer, ConsistentHashing, Guided
from hubkit.strategies.migration import ColdSwap, HotSwap
from hubkit.strategies.partition import Divergence, DynamicQuorum, MajorityQuorum, StaticQuorum
from hubkit.strategies.redundancy import Replication, Singularity
from hubkit.strategies.synchronization import Gossip, PubSub

__all__ = [
    "BalancingDistribution",
    "CentralizedLoadBalancer",
    "ChildView",
    "ClusterView",
    "ColdSwap",
    "ConsistentHashing",
    "Distribution",
    "Divergence",
    "DynamicQuorum",
    "Gossip",
    "Guided",
    "HotSwap",
    "Leased",
    "MajorityQuorum",
    "Migration",
    "NodeView",
    "PartitionTolerance",
    "Placer",
    "PreparedDistribution",
    "PubSub",
    "QuorumView",
    "Redundancy",
    "Replication",
    "Singularity",
    "StaticQuorum",
    "Strategies",
    "Synchronization",
]
