"""A naive supervisor, written from OTP 27's pages and from nothing else: lists, and what they say happens next.

Law of this room: it knows no tasks. A step is done at once and as a whole; what it sets off waits in ``queue``, and is handled
one by one. It writes the log that the children of `tests.supervision.kit.World` would write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: seconds of every supervisor's period, and of every backoff
PERIOD = 5.0
WAIT = 1.0


@dataclass(frozen=True)
class Plan:
    """A child as it is written down; with ``children`` (perhaps none) a supervisor, else a worker."""

    id: str
    restart: str = "permanent"
    significant: bool = False
    backoff: bool = False
    strategy: str = "one_for_one"
    intensity: int = 3
    auto: str = "never"
    children: tuple[Plan, ...] | None = None


@dataclass(eq=False)
class Kid:
    plan: Plan
    state: str = "stopped"
    #: whether its process lives, whatever its supervisor knows
    alive: bool = False
    #: which process, and which wait before a restart, this is
    life: int = 0
    wait: int = 0
    inner: Sup | None = None


@dataclass(eq=False)
class Sup:
    plan: Plan
    above: tuple[Sup, Kid] | None
    kids: list[Kid] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    up: bool = True
    born: int = 0

    def kid(self, id: str) -> Kid | None:
        return next((kid for kid in self.kids if kid.plan.id == id), None)


class Model:
    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.fail_starts: Counter[str] = Counter()
        self.fail_stops: set[str] = set()
        self.queue: list[tuple[Any, ...]] = []
        self.timers: list[tuple[float, Sup, Kid, int]] = []
        #: the last supervisor of each name
        self.sups: dict[str, Sup] = {}
        self.over: str | None = None
        self.births = 0

    @property
    def living(self) -> set[str]:
        """The workers that run."""
        kids = [kid for sup in self.sups.values() if sup.up for kid in sup.kids]
        return {kid.plan.id for kid in kids if kid.alive and kid.inner is None}

    # What is done to one child.

    def start(self, sup: Sup | None, kid: Kid) -> bool:
        plan = kid.plan
        if plan.children is None:
            if self.fail_starts[plan.id] > 0:
                self.fail_starts[plan.id] -= 1
                return False
            self.log.append(f"+{plan.id}")
        else:
            self.births += 1
            above = None if sup is None else (sup, kid)
            inner = kid.inner = self.sups[plan.id] = Sup(plan, above, born=self.births)
            for each in plan.children:
                inner.kids.append(Kid(each))
                if not self.start(inner, inner.kids[-1]):
                    inner.kids.pop()
                    self.shut(inner)
                    return False
        kid.state, kid.alive, kid.life, kid.wait = "running", True, kid.life + 1, 0
        return True

    def stop(self, kid: Kid, reason: str = "shutdown") -> None:
        if kid.alive:
            kid.alive = False
            if kid.inner is not None:
                self.shut(kid.inner)
            else:
                self.log.append(f"-{kid.plan.id} {reason}")
        kid.state, kid.wait = "stopped", 0

    def shut(self, sup: Sup) -> None:
        sup.up = False
        for kid in reversed(sup.kids):
            self.stop(kid)

    def forget(self, sup: Sup, kid: Kid) -> None:
        if kid.plan.restart == "temporary":
            sup.kids.remove(kid)

    # What happens by itself.

    def ends(self, id: str, reason: str) -> None:
        """A worker that lives ends by itself; ``crash`` and ``fall`` are failures."""
        for sup in self.sups.values():
            kid = sup.kid(id)
            if sup.up and kid is not None and kid.alive and kid.inner is None:
                kid.alive = False
                self.log.append(f"-{id} {'crash' if reason == 'fall' else reason}")
                normal = reason in ("normal", "shutdown") and id not in self.fail_stops
                self.queue.append(("ended", sup, kid, kid.life, normal))

    def handle(self) -> None:
        what, sup, kid, number, *rest = self.queue.pop(0)
        if not sup.up or kid not in sup.kids:
            return
        if what == "ended" and kid.state == "running" and kid.life == number:
            self.ended(sup, kid, rest[0])
        elif what == "failed" and kid.state == "restarting" and not kid.wait:
            self.restart(sup, kid)
        elif what == "due" and kid.state == "restarting" and kid.wait == number:
            self.restart_group(sup, kid)

    def ended(self, sup: Sup, kid: Kid, normal: bool) -> None:
        kid.alive = False
        if kid.plan.restart == "permanent" or (kid.plan.restart == "transient" and not normal):
            self.restart(sup, kid)
            return
        kid.state = "stopped"
        self.forget(sup, kid)
        if not kid.plan.significant or sup.plan.auto == "never":
            return
        left = [other for other in sup.kids if other.plan.significant and other.state != "stopped"]
        if sup.plan.auto == "any_significant" or not left:
            self.ends_itself(sup, "shut down")

    def restart(self, sup: Sup, kid: Kid) -> None:
        sup.restarts = [then for then in sup.restarts if self.now - then <= PERIOD] + [self.now]
        if len(sup.restarts) > sup.plan.intensity:
            kid.state = "stopped"
            self.ends_itself(sup, "gave up")
        elif kid.plan.backoff:
            kid.state, kid.wait = "restarting", len(self.timers) + 1
            self.timers.append((self.now + WAIT, sup, kid, kid.wait))
            self.stop_others(sup, kid)
        else:
            self.restart_group(sup, kid)

    def stop_others(self, sup: Sup, kid: Kid) -> list[Kid]:
        """Stop those that are started again with this one; returns all of them."""
        place = sup.kids.index(kid)
        group = {"one_for_one": [kid], "one_for_all": sup.kids[:], "rest_for_one": sup.kids[place:]}[sup.plan.strategy]
        for other in reversed(group):
            if other is not kid:
                self.stop(other)
                self.forget(sup, other)
        return group

    def restart_group(self, sup: Sup, kid: Kid) -> None:
        kid.state = "stopped"
        for other in self.stop_others(sup, kid):
            if other in sup.kids and not self.start(sup, other):
                other.state, other.wait = "restarting", 0
                self.queue.append(("failed", sup, other, 0))
                return

    def ends_itself(self, sup: Sup, how: str) -> None:
        self.shut(sup)
        if sup.above is None:
            self.over = how
        else:
            above, kid = sup.above
            self.queue.append(("ended", above, kid, kid.life, True))

    def settle(self) -> None:
        while self.queue:
            self.handle()

    def pass_time(self, seconds: float, *, last_first: bool = False) -> None:
        """Waits that end in the same moment end in the order in which they began, or the other way round."""
        end = self.now + seconds
        while True:
            due = sorted((timer for timer in self.timers if self.now <= timer[0] <= end), key=lambda timer: timer[0])
            live = [t for t in due if t[1].up and t[2].state == "restarting" and t[2].wait == t[3]]
            if not live:
                break
            first = [timer for timer in live if timer[0] == live[0][0]]
            self.now, sup, kid, number = first[-1 if last_first else 0]
            self.queue.append(("due", sup, kid, number))
            self.settle()
        self.now = end

    # What is asked.

    def ask(self, what: str, name: str, argument: Any) -> str:
        """The result of a method of the supervisor of this name: ``ok``, or the name of its error."""
        sup = self.sups[name]
        if not sup.up:
            return "HubClosed"
        if what == "start_child":
            if sup.kid(argument.id) is not None:
                return "AlreadyStarted"
            kid = Kid(argument)
            if not self.start(sup, kid):
                return "StartFailed"
            sup.kids.append(kid)
            return "ok"
        found = sup.kid(argument)
        if found is None:
            return "NoSuchActor"
        if what == "terminate_child":
            self.stop(found)
            self.forget(sup, found)
            return "ok"
        if found.state != "stopped":
            return "AlreadyStarted"
        if what == "delete_child":
            sup.kids.remove(found)
            return "ok"
        return "ok" if self.start(sup, found) else "StartFailed"
