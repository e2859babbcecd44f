"""The node processes of the demo: started, killed, stopped, and never left behind.

Law of this room: when the block ends, for whatever reason, so have the processes; their last words are kept until then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import trio

from hubkit.cli.secrets import VARIABLE

__all__ = ["Fleet", "Member", "fleet"]

State = Literal["starting", "running", "killed", "stopping", "stopped"]


@dataclass(slots=True, eq=False)
class Member:
    """One node process."""

    name: str
    process: trio.Process
    errors: Path
    state: State = "starting"

    @property
    def pid(self) -> int:
        """The number of the operating system's process."""
        return self.process.pid

    @property
    def lives(self) -> bool:
        """Whether it should be there: neither killed nor stopped by the demo."""
        return self.state in ("starting", "running")

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return self.errors.read_text(encoding="utf-8", errors="replace")[-2000:].strip()


class Fleet:
    """Starts and ends node processes that join the node at ``join``. Made by `fleet`."""

    def __init__(self, directory: Path, *, join: str, hub: str, secret: str) -> None:
        self._directory, self._join, self._hub, self._secret = directory, join, hub, secret
        self.members: dict[str, Member] = {}

    async def start(self, name: str) -> Member:
        """Start a node process. It listens at a free port of the loopback address; `Node` says which to the others."""
        command = [sys.executable, "-m", "hubkit.cli", "run", "hubkit.cli.demo.node:main"]
        command += ["--hub", self._hub, "--name", name, "--listen", "ws://127.0.0.1:0", "--join", self._join]
        command += ["--log-level", "warning"]
        errors = self._directory / f"{name}.stderr"
        with errors.open("wb") as file:
            process = await self._open(command, file)
        member = self.members[name] = Member(name, process, errors)
        return member

    async def _open(self, command: list[str], errors: IO[bytes]) -> trio.Process:
        environment = {**os.environ, VARIABLE: self._secret}
        # A session of its own: Ctrl-C in the terminal is for the demo, which ends its nodes itself.
        return await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, env=environment, start_new_session=True
        )

    async def kill(self, member: Member) -> None:
        """SIGKILL: the process has no chance to do anything about it. Returns when the system has buried it."""
        member.state = "killed"
        member.process.kill()
        await member.process.wait()

    def ask_to_stop(self, member: Member) -> None:
        """SIGTERM: the node is to hand its children over, and to end. See `ended`."""
        member.state = "stopping"
        member.process.send_signal(signal.SIGTERM)

    async def ended(self, member: Member) -> int:
        """Wait for the end of a process that was asked to stop. Returns its exit code."""
        code = await member.process.wait()
        member.state = "stopped"
        return code

    async def end(self) -> None:
        """End all that still run, at once."""
        for member in self.members.values():
            if member.process.poll() is None:
                member.process.kill()
        for member in self.members.values():
            await member.process.wait()
            if member.process.stdin is not None:
                await member.process.stdin.aclose()


@asynccontextmanager
async def fleet(directory: Path, *, join: str, hub: str, secret: str) -> AsyncIterator[Fleet]:
    """A `Fleet` whose processes end with the block."""
    found = Fleet(directory, join=join, hub=hub, secret=secret)
    try:
        yield found
    finally:
        with trio.CancelScope(shield=True):
            await found.end()
