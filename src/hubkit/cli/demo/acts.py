"""The play: what the demo does, act by act.

Law of this room: every number that is shown was measured here and now; what takes time was looked at every five milliseconds.
What does not happen within its time ends the demo, with exit code 1 and a sentence that says what.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import trio

from hubkit.cli.demo.count import count
from hubkit.cli.demo.fleet import Member, fleet
from hubkit.cli.demo.logs import Logs
from hubkit.cli.demo.logwatch import Watcher
from hubkit.cli.demo.screen import Part, Screen
from hubkit.cli.demo.stage import CHILDREN, STEP, Stage, Trouble
from hubkit.environment import Environment
from hubkit.errors import HubkitError
from hubkit.hub.hub import Hub
from hubkit.supervision.supervisor import child

__all__ = ["play"]

HUB = "logwatch"
LIMIT = 40.0  # seconds; it takes about ten


async def play(screen: Screen) -> int:
    """Play all acts. Returns the exit code."""
    began = trio.current_time()
    screen.say()
    screen.say(
        Part("hubkit demo", "bold"), f": {CHILDREN} growing log files, one actor for each, real processes and signals"
    )
    trouble: str | None = None
    with screen.stage():
        try:
            with trio.fail_after(LIMIT):
                await _on_stage(screen)
        except* Trouble as group:
            trouble = "; ".join(str(error) for error in _leaves(group))
        except* trio.TooSlowError:
            trouble = f"it did not end within {LIMIT:g} s"
        except* HubkitError as group:
            trouble = "; ".join(f"{type(error).__name__}: {error}" for error in _leaves(group))
    took = trio.current_time() - began
    if not screen.is_live:
        screen.say()
    if trouble is not None:
        screen.say(screen.sign(False), Part(f" Something is wrong: {trouble}", "red"))
        return 1
    screen.say(screen.sign(True), Part(" Every child runs exactly once.", "green"), f" {took:.1f} s.")
    screen.say("  Next: hubkit run --help, and the examples that come with the source.")
    return 0


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _on_stage(screen: Screen) -> None:
    """Build everything, play, and take it all down again."""
    environment = Environment()
    secret = environment.token(16).hex()
    with tempfile.TemporaryDirectory(prefix="hubkit-demo-", ignore_cleanup_errors=True) as folder:
        logs = Logs(Path(folder), CHILDREN, environment)
        async with Hub(HUB, name="observer", listen="ws://127.0.0.1:0", secret=secret, actors=[]) as hub:
            url = hub.node.url
            assert url is not None
            async with fleet(Path(folder), join=url, hub=HUB, secret=secret) as processes:
                stage = Stage(hub, processes, logs, screen)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stage.keep_asking)
                    nursery.start_soon(stage.keep_drawing)
                    async with trio.open_nursery() as writing:
                        writing.start_soon(logs.grow)
                        await _acts(stage)
                        writing.cancel_scope.cancel()
                    await count(stage, 6, secret)
                    nursery.cancel_scope.cancel()


async def _acts(stage: Stage) -> None:
    await _three_nodes(stage)
    await _sixty_children(stage)
    await _a_kill(stage)
    await _a_fourth_node(stage)
    await _a_stop(stage)


# -- the acts ---------------------------------------------------------------------------------------------------------------


async def _three_nodes(stage: Stage) -> None:
    stage.act(1, "Three node processes start. Each is told one address, and learns the others' from there.")
    took = await _join(stage, ["node-1", "node-2", "node-3"])
    stage.say(
        f"node-1, node-2 and node-3 are ready, {took:.2f} s after they were started. This process is a member, too: it runs no "
        "children, and watches."
    )


async def _join(stage: Stage, names: list[str]) -> float:
    began = trio.current_time()
    for name in names:
        await stage.fleet.start(name)
    await stage.until(
        lambda: set(names) <= set(stage.hub.statistics().ready),
        lambda: f"not all of {', '.join(names)} have joined",
    )
    for name in names:
        stage.fleet.members[name].state = "running"
    return trio.current_time() - began


async def _sixty_children(stage: Stage) -> None:
    stage.act(
        2, f"{CHILDREN} children start. Each follows one log file: it counts lines, and remembers the last error."
    )
    specs = [child(name, Watcher, str(path)) for name, path in stage.logs.paths.items()]
    began = trio.current_time()
    with trio.fail_after(STEP):
        result = await stage.hub.start_children(specs)
    took = trio.current_time() - began
    if result.status != "ok":
        name, error = next(iter(result.errors.items()))
        msg = f"{len(result.errors)} of {CHILDREN} children did not start; the first, {name}: {error}"
        raise Trouble(msg)
    stage.say(
        f"All run after {_ms(took)}: {_spread(stage)}. No leader has said where: every node computes the same place from "
        "a child's name."
    )
    await stage.pause(2.0)


async def _a_kill(stage: Stage) -> None:
    victim = stage.fleet.members["node-2"]
    before = stage.places()
    lost = [name for name, pid in before.items() if pid.node == victim.name]
    stage.act(
        3, f"SIGKILL to node-2, process {victim.pid}. It cannot say goodbye; its {len(lost)} children are gone with it."
    )
    began = trio.current_time()
    await stage.fleet.kill(victim)
    await stage.until(stage.all_run, stage.missing)
    took = trio.current_time() - began
    after = stage.places()
    stage.say("Every child runs again ", Part(f"{_ms(took)} after the kill", "green"), f": {_spread(stage)}.")
    answers = await stage.ask_all(within=STEP)
    silent = sorted(set(before) - set(answers))
    if silent:
        msg = f"{len(silent)} children run but do not answer after the kill: {', '.join(silent[:5])}"
        raise Trouble(msg)
    answered = _ms(trio.current_time() - began)
    same = sum(before[name] == after[name] for name in before if name not in lost)
    stage.say(
        f"All {len(answers)} answer, {answered} after it. {same} of the {CHILDREN - len(lost)} on the other nodes were not "
        "touched; those that were lost read their logs from the beginning."
    )
    await stage.pause(2.0)


async def _a_fourth_node(stage: Stage) -> None:
    stage.act(4, "A fourth node joins. What belongs on it now moves there, and nothing else moves.")
    before = stage.places()
    joined = await _join(stage, ["node-4"])
    took = await stage.until(
        lambda: stage.count(stage.fleet.members["node-4"]) > 0 and stage.hub.is_settled and stage.all_run(),
        lambda: f"the children have not been rebalanced: {_spread(stage)}",
    )
    after = stage.places()
    moved = [name for name in after if after[name] != before.get(name)]
    astray = sum(after[name].node != "node-4" for name in moved)
    where = f"{astray} of them elsewhere" if astray else "all of them to node-4"
    stage.say(
        f"It is there after {joined:.2f} s, and has its share {_ms(took)} later: {_spread(stage)}. {len(moved)} children "
        f"moved, {where}; {CHILDREN - len(moved)} stayed where they were."
    )
    await stage.pause(2.0)


async def _a_stop(stage: Stage) -> None:
    leaver = stage.fleet.members["node-1"]
    here = stage.count(leaver)
    stage.act(5, f"SIGTERM to node-1. It hands its {here} children over, and leaves when the last one runs elsewhere.")
    began = trio.current_time()
    stage.fleet.ask_to_stop(leaver)
    moved = await stage.until(stage.all_run, stage.missing)
    code: int | None = None
    with trio.move_on_after(STEP):
        code = await stage.fleet.ended(leaver)
    if code != 0:
        ended = "did not end" if code is None else f"ended with exit code {code}"
        msg = f"node-1 {ended} after SIGTERM: {leaver.last_words()}"
        raise Trouble(msg)
    ended = _ms(trio.current_time() - began)
    stage.say(
        f"They run elsewhere after {_ms(moved)}: {_spread(stage)}. The process has ended after {ended}, exit code 0."
    )
    await stage.pause(1.5)


# -- words ------------------------------------------------------------------------------------------------------------------


def _spread(stage: Stage) -> str:
    """How many children run where."""
    found = Counter(pid.node for pid in stage.places().values())
    members: list[Member] = [member for member in stage.fleet.members.values() if member.lives]
    return ", ".join(f"{member.name} has {found[member.name]}" for member in members)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
