"""Actors: a mailbox, a task, a handle. This floor knows nothing of networks, clusters or supervision.

====================  ==================================================================================
`actor`               what users write: `Actor` and ``@actor``; what of it can be called
`messages`            the values that pass: `Down`, `Exit`, `Monitor`, `Request`; and `NotBegun`
`mailbox`             one actor's queue: bounded for users, never for the system
`cell`                one incarnation of one actor, from its start to its end
`context`             what an actor sees of its cell
`ref`                 the handle that users keep
`system`              all actors of one node, and the seam to those of other nodes
`links`               two actors that end together
`late`                replies that come after the handler has returned
`states`, `shelf`     state machines, and what they put off
`multicall`           one call to many actors, and what came of it so far
`timers`              one heap and one task for all timers of a system
`inspection`          looking into actors that run
`reports`             how a crash is told
`structured`          how a block is left: the body's exception bare, ours bare, a group only for both
====================  ==================================================================================
"""

from hubkit.actors.actor import Actor, actor
from hubkit.actors.cell import Cell
from hubkit.actors.context import Context
from hubkit.actors.messages import Down, Exit, Monitor, NotBegun, Request
from hubkit.actors.ref import Ref
from hubkit.actors.system import Locator, Remote, System, current_system
from hubkit.actors.timers import Timer

__all__ = [
    "Actor",
    "Cell",
    "Context",
    "Down",
    "Exit",
    "Locator",
    "Monitor",
    "NotBegun",
    "Ref",
    "Remote",
    "Request",
    "System",
    "Timer",
    "actor",
    "current_system",
]
