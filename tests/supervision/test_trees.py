"""The tree of what is supervised: all of it, as it is, and nothing is disturbed."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import hubkit
from hubkit import debug
from hubkit.errors import HubClosed


class Counter(hubkit.Actor):
    def __init__(self) -> None:
        self.value = 0

    async def add(self, n: int = 1) -> int:
        self.value += n
        return self.value

    async def fail(self) -> None:
        raise ValueError

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Team(hubkit.Actor):
    """Opens a supervisor as a block, in a task of its own."""

    async def on_start(self) -> None:
        await self.context.nursery.start(self.keep)

    async def keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with hubkit.Supervisor(children=[hubkit.child("member", Counter)]):
            task_status.started()
            await trio.sleep_forever()


async def test_a_tree_shows_all_that_is_beneath(autojump_clock: trio.testing.MockClock) -> None:
    inner = hubkit.child("inner", hubkit.Supervisor, [hubkit.child("leaf", Counter)])
    specs = [hubkit.child("a", Counter), inner, hubkit.child("team", Team)]
    async with hubkit.Supervisor(children=specs) as supervisor:
        ref = supervisor.ref("a")
        for _ in range(3):
            await ref.call(Counter.add)
        ref.cast_nowait(Counter.fail)
        await trio.sleep(1)
        await ref.call(Counter.add)
        ref.cast_nowait(Counter.rest, 10)
        await trio.sleep(1)
        ref.cast_nowait(Counter.add)
        await trio.sleep(4)
        await supervisor.terminate_child("inner")
        tree = supervisor.tree()
        assert (tree.id, tree.actor, tree.state) == ("", "hubkit:Supervisor", "running")
        a, stopped, team = tree.children
        assert (a.id, a.state, a.restarts, a.mailbox, a.oldest, a.handled) == ("a", "running", 1, 1, 4.0, 1)
        assert a.pid == ref.pid
        assert (stopped.id, stopped.state, stopped.pid, stopped.children) == ("inner", "stopped", None, ())
        assert [(child.id, child.state) for child in team.children] == [("member", "running")]

        await supervisor.restart_child("inner")
        await debug.suspend(supervisor.ref("team"))
        _, inside, team = supervisor.tree().children
        assert [(child.id, child.actor) for child in inside.children] == [
            ("leaf", "tests.supervision.test_trees:Counter")
        ]
        assert (inside.actor, team.state) == ("hubkit:Supervisor", "suspended")
        lines = str(supervisor.tree()).splitlines()
        assert len(lines) == 6
        assert lines[1].startswith("  a (tests.supervision.test_trees:Counter) <local#0.")
        assert "restarts 1, handled 1, waiting 1, the oldest for 4.0 s" in lines[1]
        assert lines[3].startswith("    leaf ")
        await debug.resume(supervisor.ref("team"))
    with pytest.raises(HubClosed):
        supervisor.tree()
