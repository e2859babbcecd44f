"""`Supervisor` against a naive model of OTP's pages, over drawn trees: whatever is asked and whatever fails, at any moment.

Alone, each step must leave the same children in the same states, and have the same results and the same log, line by line.
Steps at the same time must have come out as some order of them would have.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from outcome import Outcome, acapture
from tests.supervision.kit import Worker, World, quiet
from tests.supervision.model import PERIOD, WAIT, Kid, Model, Plan

from hubkit.actors import current_system
from hubkit.errors import ActorError, HubkitError, RestartIntensityExceeded, StartFailed
from hubkit.specs import Backoff, ChildSpec
from hubkit.supervision import Supervisor
from hubkit.testing.scheduling import Deterministic

RESTARTS = ("permanent", "permanent", "transient", "temporary")
NEW = "new"


class Turns:
    """A trio run in virtual time, driven piece by piece from code that is not async; the seed is the order of its tasks."""

    def __init__(self, seed: int) -> None:
        self._order = Deterministic(seed)
        self._turns: deque[Callable[[], object]] = deque()
        self._job: Callable[[], Awaitable[Any]] | None = None
        self._result: Outcome[Any] | None = None
        self._parked: trio.lowlevel.Task | None = None
        self._over: Outcome[None] | None = None
        self.nursery: trio.Nursery
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._turns.append,
            done_callback=lambda over: setattr(self, "_over", over),
            host_uses_signal_set_wakeup_fd=True,
            clock=trio.testing.MockClock(autojump_threshold=0),
        )
        self._pump()

    async def _main(self) -> None:
        async with trio.open_nursery() as self.nursery:
            while True:
                self._parked = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
                if self._job is None:
                    return
                self._result = await acapture(self._job)

    def _pump(self) -> None:
        with self._order:
            while self._parked is None and self._over is None:
                self._turns.popleft()()

    def run(self, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run it to its end. Time moves meanwhile, and not otherwise."""
        self._job, self._result = lambda: work(*args), None
        self._wake()
        assert self._result is not None, self._over
        return self._result.unwrap()

    def close(self) -> None:
        """End it."""
        self._job = None
        self._wake()
        assert self._over is not None
        self._over.unwrap()

    def _wake(self) -> None:
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)
            self._pump()


class Fallible(Worker):
    async def on_stop(self, reason: str) -> None:
        self.world.log.append(f"-{self.name} {reason}")
        if self.name in self.world.fail_stops:
            raise OSError(f"{self.name} cannot stop")

    async def fall(self) -> None:
        async def fails() -> None:
            raise KeyError(self.name)

        self.context.nursery.start_soon(fails)


class Known(Supervisor):
    """Tells its world of itself."""

    def __init__(self, world: World, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.world, self.name = world, name

    async def __aenter__(self) -> Self:
        self.world.sups[self.name] = self
        return await super().__aenter__()


def supervisor_args(plan: Plan, world: World) -> tuple[tuple[Any, ...], dict[str, Any]]:
    specs = [spec_of(each, world) for each in plan.children or ()]
    options = {
        "strategy": plan.strategy,
        "max_restarts": plan.intensity,
        "max_seconds": PERIOD,
        "auto_shutdown": plan.auto,
    }
    return (world, plan.id, specs), options


def spec_of(plan: Plan, world: World) -> ChildSpec:
    backoff = Backoff(WAIT, 1.0, WAIT, 0.0) if plan.backoff else None
    start: Any = Fallible
    args, kwargs = ((plan.id, world), {}) if plan.children is None else supervisor_args(plan, world)
    if plan.children is not None:
        start = Known
    return ChildSpec(
        plan.id, start, args, kwargs, restart=plan.restart, significant=plan.significant, backoff=backoff, shutdown=60.0  # type: ignore[arg-type]  # a word
    )  # fmt: skip


@st.composite
def plans(draw: Any, id: str = "r", depth: int = 3, auto_above: str = "never") -> Plan:
    """A tree; ids are paths."""
    restart = draw(st.sampled_from(RESTARTS))
    significant = auto_above != "never" and restart != "permanent" and draw(st.booleans())
    is_supervisor = depth > 0 and (id == "r" or draw(st.integers(0, 3)) == 0)
    if not is_supervisor:
        return Plan(id, restart, significant, draw(st.integers(0, 3)) == 0)
    auto = draw(st.sampled_from(["never", "never", "any_significant", "all_significant"]))
    names = [id + letter for letter in "abcd"[: draw(st.sampled_from([3, 4, 2, 1]))]]
    children = tuple(draw(plans(name, depth - 1, auto)) for name in names)
    strategy = draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
    return Plan(id, restart, significant, False, strategy, draw(st.sampled_from([3, 8, 1, 0])), auto, children)


def every(plan: Plan) -> Iterator[Plan]:
    yield plan
    for each in plan.children or ():
        yield from every(each)


def tidy(log: list[str], living: set[str]) -> Counter[str]:
    """What a log says, without the starts that were interrupted: who had just started then, has no goodbye."""
    found: list[str] = []
    last: dict[str, str] = {}
    for line in [*log, *(f"+{id}" for id in {line[1:].split()[0] for line in log} - living)]:
        id = line[1:].split()[0]
        if line[0] == "+" == last.get(id, "-")[0]:
            found.remove(line)
        last[id] = line
        found.append(line)
    return Counter(found)


picks = st.integers(0, 20)
ENDS = st.sampled_from(["crash", "fall", "normal", "shutdown", "bored"])
ASKS = st.sampled_from(["start_child", "terminate_child", "restart_child", "delete_child"])


class Machine(RuleBasedStateMachine):
    """The real tree in virtual time, beside its model."""

    turns: Turns
    model: Model

    @initialize(seed=st.integers(0, 1 << 16), plan=plans(), fail=st.none() | picks)
    def open(self, seed: int, plan: Plan, fail: int | None) -> None:
        self.turns, self.plan = Turns(seed), plan
        self.world, self.model = World(), Model()
        nodes = list(every(plan))
        self.workers = [each.id for each in nodes if each.children is None]
        self.names = [each.id for each in nodes if each.children is not None]
        self.ended: list[BaseException | None] = []
        self.leave = trio.Event()
        self.scope = trio.CancelScope()
        if fail is not None:
            self.fail_starts(fail, 1)
        self.turns.run(self.begin)
        if not self.model.start(None, Kid(plan)):
            self.model.over = "did not start"
        self.compare()

    async def begin(self) -> None:
        self.beside(self.block)
        await quiet()

    def beside(self, work: Callable[..., Any], *args: Any) -> None:
        """Run it beside the rules: they are one task."""
        self.turns.nursery.start_soon(work, *args)

    async def block(self) -> None:
        args, options = supervisor_args(self.plan, self.world)
        error: BaseException | None = None
        try:
            with self.scope:
                async with Known(*args, **options):
                    await self.leave.wait()
                    if self.how == "error":
                        raise LookupError("as asked")
        except (HubkitError, LookupError) as caught:
            error = caught
        self.ended.append(error)

    def running(self) -> bool:
        return hasattr(self, "model") and self.model.over is None

    # Rules.

    @precondition(running)
    @rule(pick=picks, times=st.integers(1, 3))
    def fail_starts(self, pick: int, times: int) -> None:
        """The next starts of a worker fail."""
        if self.workers:
            id = self.workers[pick % len(self.workers)]
            self.world.fail_starts[id] = self.model.fail_starts[id] = times

    @precondition(running)
    @rule(pick=picks)
    def fail_stops(self, pick: int) -> None:
        """The stops of a worker fail from now on, or no more."""
        if self.workers:
            self.model.fail_stops ^= {self.workers[pick % len(self.workers)]}
            self.world.fail_stops = set(self.model.fail_stops)

    @precondition(running)
    @rule(pick=picks, way=ENDS)
    def ends(self, pick: int, way: str) -> None:
        """A worker ends by itself."""
        if self.workers:
            self.together([("ends", self.workers[pick % len(self.workers)], way)])

    @precondition(running)
    @rule(what=ASKS, name=picks, pick=picks, new=st.sampled_from(RESTARTS))
    def asks(self, what: str, name: int, pick: int, new: str) -> None:
        """Somebody calls a method of one of the supervisors."""
        self.together([self.ask(what, name, pick, new)])

    @precondition(running)
    @rule(
        pick=picks,
        way=ENDS,
        asks=st.lists(st.tuples(ASKS, picks, picks, st.sampled_from(RESTARTS)), min_size=1, max_size=2),
    )
    def at_the_same_time(self, pick: int, way: str, asks: list[tuple[str, int, int, str]]) -> None:
        """A worker ends, and methods are called, all at once."""
        steps = [self.ask(*ask) for ask in asks]
        if self.workers:
            steps.append(("ends", self.workers[pick % len(self.workers)], way))
        self.together(steps)

    @precondition(running)
    @rule(seconds=st.sampled_from([0.5, 1.5, 6.5]))
    def time_passes(self, seconds: float) -> None:
        """Waits end, and restarts are forgotten."""
        self.turns.run(trio.sleep, seconds)
        self.turns.run(quiet)
        ways = [copy.deepcopy(self.model) for _ in range(2)]
        for last_first, model in enumerate(ways):
            model.pass_time(seconds, last_first=bool(last_first))
        found = [model for model in ways if self.told(model) and self.same(model)]
        assert found, f"neither order of the waits gives {self.world.log}"
        self.model = found[0]
        self.model.log[:] = self.world.log
        self.compare()

    @precondition(lambda self: not self.running())
    @rule(seconds=st.sampled_from([1.5, 100.0]))
    def nothing_happens_any_more(self, seconds: float) -> None:
        """It has ended: so it stays, and whatever is asked of it is refused."""
        self.turns.run(trio.sleep, seconds)
        results: dict[int, str] = {}
        self.turns.run(self.do, ("ask", "terminate_child", "r", "ra"), results, 0)
        assert results == {0: "HubClosed"}
        assert self.world.log == self.model.log

    how = "normal"

    @precondition(running)
    @rule(how=st.sampled_from(["normal", "error", "cancel"]), pick=st.none() | picks)
    def shutdown(self, how: str, pick: int | None) -> None:
        """The block is left, perhaps while a worker crashes."""
        self.how = how
        before = len(self.world.log)

        async def leave() -> None:
            if pick is not None and self.workers:
                self.beside(self.do, ("ends", self.workers[pick % len(self.workers)], "crash"), {}, 0)
            self.leave.set() if how != "cancel" else self.scope.cancel()
            await quiet()

        self.turns.run(leave)
        self.model.shut(self.model.sups["r"])
        self.model.over = how
        self.model.log[:], expected = self.world.log, self.model.log[:]
        began = {line[1:] for line in self.world.log[before:] if line.startswith("+")}
        assert not began & {each.id for each in self.plan.children or ()}, "it has restarted a child while it shut down"
        told = tidy(self.world.log, set())
        for id in {line[1:].split()[0] for line in told}:
            ended = sum(times for line, times in told.items() if line.startswith(f"-{id} "))
            assert told[f"+{id}"] == ended + 1, (
                f"{id} has not ended as often as it has started, but for the mark of `tidy`"
            )
        if pick is None:
            assert self.world.log == expected
        self.check_over()

    # How they are done, and compared.

    def ask(self, what: str, name: int, pick: int, new: str) -> tuple[Any, ...]:
        chosen = self.names[name % len(self.names)]
        kids = [each.id for each in next(p for p in every(self.plan) if p.id == chosen).children or ()]
        kids.append(chosen + NEW)
        id = kids[pick % len(kids)]
        if what != "start_child":
            return ("ask", what, chosen, id)
        if id == chosen + NEW and id not in self.workers:
            self.workers.append(id)
        return ("ask", what, chosen, Plan(id, new))

    async def do(self, step: tuple[Any, ...], results: dict[int, str], number: int) -> None:
        if step[0] == "ends":
            for cell in list(current_system().cells.values()):
                if cell.child_id == step[1] and cell.started:
                    ref = current_system().ref(cell.pid)
                    try:
                        if step[2] in ("crash", "fall"):
                            await ref.call(step[2])
                        else:
                            await ref.call(Worker.leave, step[2])
                    except ActorError:
                        pass
            return
        _, what, name, argument = step
        try:
            if what == "start_child":
                argument = spec_of(argument, self.world)
            await getattr(self.world.sups[name], what)(argument)
            results[number] = "ok"
        except HubkitError as error:
            results[number] = type(error).__name__

    def together(self, steps: list[tuple[Any, ...]]) -> None:
        results: dict[int, str] = {}

        async def all_at_once() -> None:
            for number, step in enumerate(steps):
                self.beside(self.do, step, results, number)
            await quiet()

        began = len(self.world.log)
        self.turns.run(all_at_once)
        found = [
            (model, told)
            for model, told in orders(self.model, steps)
            if self.agrees(model, told, results, began, steps)
        ]
        assert found, f"no order of {steps} gives {results} and {self.world.log[began:]}"
        self.model = found[0][0]
        self.model.log[:] = self.world.log
        if self.model.over is not None:
            self.check_over()

    def agrees(
        self, model: Model, told: dict[int, str], results: dict[int, str], began: int, steps: list[tuple[Any, ...]]
    ) -> bool:
        if told != results or (len(steps) == 1 and model.log[began:] != self.world.log[began:]):
            return False
        return self.told(model) and self.same(model)

    def told(self, model: Model) -> bool:
        return tidy(model.log, model.living) == tidy(self.world.log, model.living)

    def same(self, model: Model) -> bool:
        if (model.over is None) == bool(self.ended):
            return False
        if Counter(+model.fail_starts) != +Counter(self.world.fail_starts):
            return False
        for name, sup in model.sups.items():
            if sup.up and [(kid.plan.id, kid.state) for kid in sup.kids] != [
                (status.id, status.state) for status in self.world.sups[name].which_children()
            ]:
                return False
        return True

    def compare(self) -> None:
        assert self.world.log == self.model.log
        assert self.same(self.model)
        if self.model.over is not None:
            self.check_over()

    def check_over(self) -> None:
        kind = {"gave up": RestartIntensityExceeded, "did not start": StartFailed, "error": LookupError}
        [error] = self.ended
        assert type(error) is kind.get(self.model.over or "", type(None))
        self.turns.run(self.nothing_is_left)

    async def nothing_is_left(self) -> None:
        assert current_system().cells == {}
        assert current_system().directories == {}

    def teardown(self) -> None:
        if not hasattr(self, "turns"):
            return

        async def end() -> None:
            self.scope.cancel()
            await quiet()

        try:
            self.turns.run(end)
        finally:
            self.turns.close()


def orders(model: Model, steps: list[tuple[Any, ...]]) -> Iterator[tuple[Model, dict[int, str]]]:
    """What comes of every order of the steps, and of what they set off."""
    late: tuple[tuple[str, int], ...] = ()
    todo = [(model, dict(enumerate(steps)), dict[int, str](), late)]
    while todo:
        now, left, told, late = todo.pop()
        if not left and len(steps) == 1:
            now.settle()
        if not left and not now.queue:
            if all(not now.sups[name].up or now.sups[name].born != born for name, born in late):
                yield now, told
            continue
        for number, step in left.items():
            # Copies keep what belongs together together.
            then, rest = copy.deepcopy(now), {key: value for key, value in left.items() if key != number}
            if step[0] == "ends":
                then.ends(step[1], step[2])
                todo.append((then, rest, told, late))
            else:
                todo.append((then, rest, {**told, number: then.ask(*step[1:])}, late))
                if len(steps) > 1:  # asked of one that ends before it has come to that
                    asked = (step[2], now.sups[step[2]].born)
                    todo.append((copy.deepcopy(now), rest, {**told, number: "HubClosed"}, (*late, asked)))
        for place in range(len(now.queue) if left or len(steps) > 1 else 0):
            then = copy.deepcopy(now)
            then.queue.insert(0, then.queue.pop(place))
            then.handle()
            todo.append((then, left, told, late))


TestSupervisor = Machine.TestCase
TestSupervisor.settings = settings(
    max_examples=60, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
