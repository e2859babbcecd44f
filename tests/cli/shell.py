"""Real `hubkit` processes for tests: started, asked, and ended whatever happens.

Law of this room: every wait has a bound, and none is a sleep: what is waited for is a line of the log, an answer, or an end.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from tests.house import SRC

HUBKIT = (sys.executable, "-m", "hubkit.cli")

#: What the programs of these tests are: a module `shop`, in the directory that the command is run in.
SHOP = """
import sys
import trio
import hubkit

class Counter(hubkit.Actor):
    def __init__(self):
        self.value = 0
    async def add(self, n=1):
        self.value += n
        return self.value

class Stubborn(hubkit.Actor):
    async def on_stop(self, reason):
        print("on_stop", flush=True)
        await trio.sleep_forever()

async def main(hub):
    specs = [hubkit.child(f"c{n}", Counter) for n in range(5)]
    await hub.start_children(specs, tag="counters", check_existing=False)
    print("ready", flush=True)
    await trio.sleep_forever()

async def stubborn(hub):
    await hub.start_child(hubkit.ChildSpec("stubborn", Stubborn, shutdown=100.0))
    print("ready", flush=True)
    await trio.sleep_forever()

async def clean(hub):
    try:
        print("ready", flush=True)
        await trio.sleep_forever()
    finally:
        print("cleaned", flush=True)

async def deaf(hub):
    with trio.CancelScope(shield=True):
        print("ready", flush=True)
        await trio.sleep_forever()

async def once(hub):
    print("once on", hub.id, hub.node.url, flush=True)

async def about(hub):
    node = hub.node
    print(node._weight, dict(sorted(node._labels.items())), node._per_address)

async def broken(hub):
    raise ValueError("the shop is closed")

async def leaves(hub):
    sys.exit(7)

async def nothing():
    pass

def plain(hub):
    pass

class Nested:
    @staticmethod
    async def main(hub):
        pass
"""


def environment(**extra: str) -> dict[str, str]:
    """The environment of a `hubkit` process: this one's, without secrets."""
    found = {key: value for key, value in os.environ.items() if key != "NO_COLOR" and not key.startswith("HUBKIT_")}
    path = os.pathsep.join(filter(None, [str(SRC), found.get("PYTHONPATH", "")]))
    return {**found, "PYTHONPATH": path, **extra}


def hubkit(
    *arguments: str, cwd: Path | None = None, within: float = 30, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*HUBKIT, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said: exactly one line, and not a word of a traceback."""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert len(lines) == 1, result.stderr
    return lines[0]


class Run:
    """A `hubkit` process that goes on."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out = self.err = ""
        self._news = trio.Event()

    async def listen(self, nursery: trio.Nursery) -> None:
        """Read what it says, as it says it."""
        nursery.start_soon(self._read, self.process.stdout, "out")
        nursery.start_soon(self._read, self.process.stderr, "err")

    async def _read(self, stream: trio.abc.ReceiveStream | None, name: str) -> None:
        assert stream is not None
        async for data in stream:
            setattr(self, name, getattr(self, name) + data.decode())
            self._news.set()
            self._news = trio.Event()
        self._news.set()

    async def says(self, pattern: str, *, on: str = "out", within: float = 20) -> re.Match[str]:
        """Wait until its output has this in it."""
        with trio.fail_after(within):
            while (found := re.search(pattern, getattr(self, on))) is None:
                assert self.process.poll() is None or not self._news.is_set(), f"it ended: {self.out}\n{self.err}"
                await self._news.wait()
        return found

    async def url(self) -> str:
        """The URL at which it is open, from its log."""
        return (await self.says(r"is open at (\S+),", on="err"))[1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ends(self, within: float = 20) -> int:
        """Wait for its end, and return its exit code."""
        with trio.fail_after(within):
            return await self.process.wait()


@asynccontextmanager
async def running(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> AsyncIterator[Run]:
    """A `hubkit` process; it is killed at the end of the block, if it still runs. ``prefix``: what stands before it."""
    process = await trio.lowlevel.open_process(
        [*prefix, *HUBKIT, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run = Run(process)
    try:
        async with trio.open_nursery() as nursery:
            await run.listen(nursery)
            yield run
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()


async def ask(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Any:
    """Run a command that prints JSON, while other tasks go on."""
    result = await trio.to_thread.run_sync(lambda: hubkit(*arguments, "--json", cwd=cwd, env=env))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
