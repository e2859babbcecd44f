"""One story for all plans: hubs, children, clients, a plan of disasters; then all must be well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.sim.actors import Counter, Friend, forget
from tests.sim.traffic import Traffic
from tests.sim.truth import Memory, check_events

import hubkit
from hubkit.node.blocks import bare_nursery
from hubkit.testing import Checker, Simulation, down_exactly_once, no_lost_child, registry_converges

__all__ = ["CHECKERS", "LOST", "SETTLED", "Story"]

#: Seconds within which all is well after the last disaster: a dial that was under way into the void has been given up (5 s),
#: the next one been made (2 s at most), and who will not come back been silent for long enough (4 s, and a beat to look).
SETTLED = 12.0
#: Seconds within which every child runs in each company, after the last change of the topology. The longest way: who
#: reaches nobody any more, but hears them, believes in them until they have given up their links to it (4 s of silence, and
#: a beat), and then until they have been silent for as long; and a clock may go at 0.8 of its speed.
LOST = 14.0
CHECKERS: tuple[Checker, ...] = (no_lost_child(within=LOST), registry_converges(within=SETTLED), down_exactly_once())


@dataclass
class Story:
    """Plays the plan of the simulation. ``children`` at first, ``clients`` meanwhile, each acting every ``pace`` seconds."""

    children: int = 12
    clients: int = 3
    pace: float = 0.7
    within: float = SETTLED
    together: bool = True
    #: whether each node has a second hub, with children of its own
    second: bool = False
    down_after: float = 4.0
    #: some node lives through the plan that knew all children at its beginning: so none of them may be lost
    survived: bool = False
    #: more arguments of the hubs
    arguments: dict[str, Any] = field(default_factory=dict)
    #: what became of it: seconds until all was well again, and what the clients were told
    took: float = field(default=0.0, init=False)
    traffic: Traffic = field(init=False)

    async def __call__(self, sim: Simulation) -> None:
        assert sim.plan is not None
        forget()
        options: dict[str, Any] = {"down_after": self.down_after, "beat": self.down_after / 4, **self.arguments}
        for name in sim.plan.founders:
            if self.second:
                sim.start_soon(
                    "mail", node=name, children=[hubkit.child(f"m{n}", Counter) for n in range(5)], **options
                )
                sim.start_soon("shop", node=name, **self.arguments)
            elif self.together:
                sim.start_soon("shop", node=name, **options)
            else:
                await sim.start_hub("shop", node=name, **options)
        await sim.settled(within=30)
        names = [f"c{number}" for number in range(self.children)]
        specs = [
            hubkit.child(name, Friend, names[number - 1]) if number % 3 == 1 else hubkit.child(name, Counter)
            for number, name in enumerate(names)
        ]
        hub = sim.hub(sim.plan.founders[0], "shop")
        assert (await hub.start_children(specs)).status == "ok"
        memory = Memory(sim)
        for name in names:
            memory.started(name)
        sim.watch(memory)
        self.traffic = Traffic(sim, memory, names, pace=self.pace)
        async with bare_nursery() as nursery:
            for number in range(self.clients):
                nursery.start_soon(self.traffic.client, f"client {number} of {sim.seed}")
            await sim.play()
            sim.note("the plan is over")
            ended = sim.now
            somebody = any(sim.alive(node) for node in sim.nodes)  # where nobody is left, nothing can settle
            if somebody:
                await sim.settled(within=self.within)
                self.took = sim.now - ended
                sim.note(f"settled after {self.took:.3f} s")
            await self.traffic.end(within=15.0)
            nursery.cancel_scope.cancel()
        if somebody:
            await sim.settled(within=self.within)
        sim.check()
        self.traffic.check()
        await sim.sleep(10.0)
        if somebody:
            await sim.settled(within=0.0)
        sim.check()
        check_events(sim)
        assert not (self.survived and memory.perished() & {f"start of {name}" for name in names})
