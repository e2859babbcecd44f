"""The one room that reaches into trio's scheduler: to make it repeatable, and to hold up the tasks of one process.

Law of this room: what trio does not promise is used here and nowhere else, and is tried out (`self_check`) once in every
process before anything is built upon it. Five things are needed, and trio offers none of them in public:

* *One seed, one order.* trio shuffles the tasks that are ready in a turn; told to be deterministic it sorts them by age
  first, and shuffles with a generator that can be seeded. So a seed is a schedule, and another seed is another one.
* *One order of cancellation.* What a task does when it is cancelled may be seen by others: it takes back a request. trio
  cancels the tasks of a scope, the scopes in it, and scopes whose time is over in the same moment, in the order of their
  addresses in memory. Here the order is that in which they came.
* *A process that stands still.* A long collection of garbage, a suspended machine or a SIGKILL stop all tasks of a process
  in the middle of whatever they do, without a word to any of them. So tasks below a frozen root are taken out of the queue
  in the moment in which they are put there, and put back when the root thaws. What runs in that very turn has its step.
* *An end of those who will not end.* A task that swallows every `trio.Cancelled` can be woken with another error (`wake`).
* *A loop that is left.* Tasks that swallow that, too, cannot be ended by anybody: Python would run them once more when it
  lets go of them, and they would go on. So nobody ever lets go of them (`keep`).

Refused: cancelling the tasks of a crashed process (their ``finally`` blocks would run, as those of no killed process
do), and a scheduler of our own.
"""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from heapq import heappush
from itertools import count
from types import FrameType
from typing import Any, NoReturn

import trio
import trio.testing
from outcome import Error, Outcome
from trio._core import _run, _thread_cache

from hubkit.errors import SimulationError

__all__ = [
    "THREADS",
    "Deterministic",
    "Freezer",
    "age",
    "is_shielded",
    "keep",
    "self_check",
    "wake",
    "watch_interrupts",
]

Task = trio.lowlevel.Task
#: where trio's threads come from; those that wait for work are started no more
THREADS = _thread_cache.ThreadCache


class _Ordered(dict[Any, None]):
    """As much of a set as trio's cancel scopes need, in the order in which things came."""

    add = dict.setdefault
    remove = dict.__delitem__


_numbers = count()


def _orderly(init: Callable[[Any], None]) -> Callable[[Any], None]:
    """What is done last when a scope is made ready for its tasks, with room for them that has an order."""

    def init_orderly(self: Any) -> None:
        self._tasks, self._children = _Ordered(), _Ordered()
        init(self)

    return init_orderly


def _numbered(_: Callable[..., None]) -> Callable[[Any, float, trio.CancelScope], None]:
    """How a deadline is noted: as trio does it, but for the second item, which says who comes first of several."""

    def add(self: Any, deadline: float, cancel_scope: trio.CancelScope) -> None:
        heappush(self._heap, (deadline, next(_numbers), cancel_scope))
        self._active += 1

    return add


#: What is put in the place of what in trio meanwhile, made of it.
_ORDER: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("CancelStatus", "__attrs_post_init__", _orderly),
    ("Deadlines", "add", _numbered),
)


class Deterministic:
    """While it is entered, trio's scheduler and Python's shared ``random`` follow from ``seed``; then they are as before.

    Entered again, they go on where they were.
    """

    def __init__(self, seed: object) -> None:
        self._order = random.Random(f"hubkit schedule {seed}").getstate()
        self._shared = random.Random(f"hubkit shared {seed}").getstate()
        self._outside: tuple[bool, Any, Any] | None = None
        self._plain: list[tuple[type, str, Any]] = []

    def __enter__(self) -> None:
        assert self._outside is None, "it is entered already"
        found = [(getattr(_run, kind), name, made_of) for kind, name, made_of in _ORDER]
        self._plain = [(cls, name, getattr(cls, name)) for cls, name, _ in found]  # before anything is changed
        self._outside = (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate(), random.getstate())
        _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # trio calls it final, and sets it itself
        for cls, name, made_of in found:
            setattr(cls, name, made_of(getattr(cls, name)))
        _run._r.setstate(self._order)
        random.setstate(self._shared)

    def __exit__(self, *_: object) -> None:
        assert self._outside is not None
        self._order, self._shared = _run._r.getstate(), random.getstate()
        allowed, order, shared = self._outside
        self._outside = None
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]  # as above
        while self._plain:
            setattr(*self._plain.pop())
        _run._r.setstate(order)
        random.setstate(shared)


class Freezer(trio.abc.Instrument):
    """Holds up all tasks below some roots. It costs nothing while there are none.

    A Ctrl-C must not strike in the middle of it: a task would be lost, or trio would take the instrument out.
    """

    def __init__(self) -> None:
        self._held: dict[Task, list[Task]] = {}

    @trio.lowlevel.enable_ki_protection
    def freeze(self, root: Task) -> None:
        """Let no task at or below ``root`` run, until `thaw`."""
        assert root not in self._held, "it is frozen already"
        if not self._held:
            trio.lowlevel.add_instrument(self)
        self._held[root] = []
        queue = _run.GLOBAL_RUN_CONTEXT.runner.runq
        for task in list(queue):
            if self._root_of(task) is root:
                queue.remove(task)
                self._held[root].append(task)

    @trio.lowlevel.enable_ki_protection
    def thaw(self, root: Task) -> None:
        """Let them go on, in the order in which they became ready."""
        held = self._held.pop(root, None)
        if held is None:
            return  # a Ctrl-C has come between the wish to freeze it and the deed
        if not self._held:
            trio.lowlevel.remove_instrument(self)
        _run.GLOBAL_RUN_CONTEXT.runner.runq.extend(held)

    def is_frozen(self, root: Task) -> bool:
        """Whether ``root`` is frozen."""
        return root in self._held

    def holds(self, task: Task) -> bool:
        """Whether ``task`` is held up: it, or a task above it, is frozen."""
        return self._root_of(task) is not None

    @trio.lowlevel.enable_ki_protection
    def task_scheduled(self, task: Task) -> None:
        """Trio has just put ``task`` at the end of its queue."""
        root = self._root_of(task)
        if root is not None:
            taken = _run.GLOBAL_RUN_CONTEXT.runner.runq.pop()
            assert taken is task
            self._held[root].append(task)

    def _root_of(self, task: Task) -> Task | None:
        held = self._held
        here: Task | None = task
        while here is not None:
            if here in held:
                return here
            nursery = here.parent_nursery
            here = None if nursery is None else nursery.parent_task
        return None


@trio.lowlevel.enable_ki_protection
def wake(task: Task, error: BaseException) -> bool:
    """Let the await at which ``task`` waits, or is about to go on, raise ``error``. Whether it has one that can."""
    if task._next_send_fn is not None:  # it is about to go on
        if not isinstance(task._next_send, Outcome):
            return False  # with its first step
        task._next_send = Error(error)
        return True
    if task._abort_func is None:
        return False

    def fail() -> NoReturn:
        raise error

    task._attempt_abort(fail)
    return task._next_send_fn is not None


def age(task: Task) -> int:
    """A number that is the smaller the older the task is."""
    return task._counter


def is_shielded(task: Task) -> bool:
    """Whether no cancellation reaches the await at which ``task`` is."""
    return not task._cancel_status.effectively_cancelled


@cache
def _kept() -> list[list[Task]]:
    """What is kept. It is no garbage, not even at the end of the process: then, too, Python would run it."""
    kept: list[list[Task]] = []
    try:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    except (ImportError, AttributeError):  # pragma: no cover  # another Python: then until the end of the process
        return kept
    return kept


def keep() -> None:
    """Never let go of the tasks that there are."""
    _kept().append(list(_run.GLOBAL_RUN_CONTEXT.runner.tasks))


def watch_interrupts(tell: Callable[[], None]) -> None:
    """Have ``tell`` called at each Ctrl-C that this run of trio is told of, before it strikes anybody."""
    manager = _run.GLOBAL_RUN_CONTEXT.runner.ki_manager
    if manager.handler is None:
        return  # this is not the main thread, or somebody else looks after that
    deliver: Callable[[int, FrameType | None], object] = manager.handler

    def handle(number: int, frame: FrameType | None) -> None:
        tell()
        deliver(number, frame)

    manager.handler = handle  # trio takes it away at the end, as its own
    signal.signal(signal.SIGINT, handle)


@cache
def self_check() -> None:
    """Try out what this room relies on, once in a process. Raises `SimulationError` where this trio does not do it."""
    try:
        first, again, other = _schedule(1), _schedule(1), [_schedule(seed) for seed in range(2, 6)]
        trouble = None
        if first != again:
            trouble = "the same seed gave two schedules"
        elif all(schedule == first for schedule in other):
            trouble = "another seed gave no other schedule"
        elif any(numbers not in (sorted(numbers), sorted(numbers, reverse=True)) for numbers in _cancelled()):
            trouble = "tasks were cancelled in no order"
        elif not trio.run(_try_freezing):
            trouble = "a frozen task went on"
        elif not trio.run(_try_waking):
            trouble = "a task that swallows its cancellation could not be woken"
    except (AttributeError, AssertionError, TypeError) as error:
        trouble = repr(error)
    if trouble is not None:
        msg = (
            f"trio {trio.__version__} cannot be simulated by this version of hubkit ({trouble}): use a version of trio that "
            "hubkit's documentation names, or a newer hubkit"
        )
        raise SimulationError(msg)


def _schedule(seed: int) -> list[int]:
    order: list[int] = []

    async def step(number: int) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(step, number)

    with Deterministic(seed):
        trio.run(main)
    return order


def _cancelled() -> list[list[int]]:
    """In which order tasks are: some whose time is over in the same moment, some of one scope, some of scopes in a scope."""
    found: list[list[int]] = [[], [], []]

    async def sleep(number: int) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            found[number % 3].append(number)
            return trio.lowlevel.Abort.SUCCEEDED

        with ExitStack() as stack:
            if number % 3 != 1:
                stack.enter_context(trio.CancelScope(deadline=math.inf if number % 3 else 1.0))
            await trio.lowlevel.wait_task_rescheduled(abort)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(48):
                nursery.start_soon(sleep, number)
                await trio.lowlevel.checkpoint()
            await trio.sleep_until(2.0)
            nursery.cancel_scope.cancel()

    with Deterministic(1):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return found


async def _try_freezing() -> bool:
    """Whether a task and its child stand still while they are frozen, are ready or become so, and go on afterwards."""
    steps = 0
    freezer, gate, roots = Freezer(), trio.Event(), []

    async def child() -> None:
        nonlocal steps
        await gate.wait()
        while True:
            steps += 1
            await trio.lowlevel.checkpoint()

    async def root() -> None:
        roots.append(trio.lowlevel.current_task())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(root)
        await trio.testing.wait_all_tasks_blocked()
        freezer.freeze(roots[0])
        gate.set()
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        stood = steps == 0
        freezer.thaw(roots[0])
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        went_on = steps > 0
        freezer.freeze(roots[0])
        await trio.lowlevel.checkpoint()
        before = steps
        await trio.lowlevel.checkpoint()
        stood = stood and steps == before
        freezer.thaw(roots[0])
        nursery.cancel_scope.cancel()
    return stood and went_on


async def _try_waking() -> bool:
    """Whether a task that swallows its cancellation is ended by another error, and one that waits shielded, too."""
    roots, ended, gate = [], 0, trio.Event()

    async def swallow() -> None:
        roots.append(trio.lowlevel.current_task())
        for patience in range(100, -1, -1):
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                if not patience:  # it could not be woken
                    raise

    async def shield() -> None:
        roots.append(trio.lowlevel.current_task())
        with trio.CancelScope(shield=True):
            await gate.wait()

    async def ends(work: Any) -> None:
        nonlocal ended
        try:
            await work()
        except LookupError:
            ended += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends, swallow)
        nursery.start_soon(ends, shield)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        shielded = sorted(is_shielded(task) for task in roots)
        woken = [wake(task, LookupError()) for task in roots]
        gate.set()
    return ended == 2 and woken == [True, True] and shielded == [False, True]
