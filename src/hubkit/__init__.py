"""hubkit: actors, supervisors, and a hub that keeps named children alive over many processes, on trio.

* `Actor`, ``@actor``, `Ref`, `Context`: actors and how to talk to them;
* `StateMachine` and ``@when``, `MultiCall`, `LateReply`: actors with states, calls to many, and replies that come later;
* `Supervisor`, `start`, `ChildSpec`, `child`, `Backoff`: keeping actors alive in one process;
* `Hub`, `Node`: keeping named children alive over many, `Placement`: where they may run;
* `hubkit.strategies`, `hubkit.discovery`, `hubkit.events`, `hubkit.errors`, `hubkit.debug`, `hubkit.testing`: the rest, by
  subject.

Everything that is not exported here or in those five modules is private and may change in any release.
"""

from hubkit import debug, discovery, errors, events, strategies
from hubkit._version import __version__
from hubkit.actors.actor import Actor, actor
from hubkit.actors.context import Context
from hubkit.actors.late import LateReply
from hubkit.actors.messages import Down, Exit, Monitor
from hubkit.actors.multicall import MultiCall
from hubkit.actors.ref import Ref
from hubkit.actors.states import StateMachine, when
from hubkit.actors.timers import Timer
from hubkit.cluster.affinity import Placement
from hubkit.cluster.explain import Explanation
from hubkit.discovery.protocol import Discovery
from hubkit.errors import Reject
from hubkit.hub.bulletin import EventStream, Hook
from hubkit.hub.future import Future
from hubkit.hub.hub import Hub
from hubkit.hub.results import ChildInfo, HubStatistics, Move, StartResult, StopResult
from hubkit.messages import message
from hubkit.net.websocket import TLS
from hubkit.node.node import Node
from hubkit.pids import Pid
from hubkit.specs import Backoff, ChildSpec
from hubkit.supervision.supervisor import Supervisor, child, start

__all__ = [
    "TLS",
    "Actor",
    "Backoff",
    "ChildInfo",
    "ChildSpec",
    "Context",
    "Discovery",
    "Down",
    "EventStream",
    "Exit",
    "Explanation",
    "Future",
    "Hook",
    "Hub",
    "HubStatistics",
    "LateReply",
    "Monitor",
    "Move",
    "MultiCall",
    "Node",
    "Pid",
    "Placement",
    "Ref",
    "Reject",
    "StartResult",
    "StateMachine",
    "StopResult",
    "Supervisor",
    "Timer",
    "__version__",
    "actor",
    "child",
    "debug",
    "discovery",
    "errors",
    "events",
    "message",
    "start",
    "strategies",
    "when",
]
