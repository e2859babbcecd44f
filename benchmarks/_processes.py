"""Other processes, as the one that measures sees them: each is the benchmark itself, called with ``--member``."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import closing
from typing import Any

import trio

__all__ = ["Process", "free_ports"]


class Process:
    """One of the others: it answers each line on its standard input with one on its standard output."""

    def __init__(self, file: str, options: dict[str, Any]) -> None:
        self.file = file
        self.options = options
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        command = [sys.executable, self.file, "--member", json.dumps(self.options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._answers = trio.lowlevel.FdStream(os.dup(self.process.stdout.fileno()))
        self._rest = b""

    async def answer(self) -> Any:
        """Its next answer."""
        while b"\n" not in self._rest:
            chunk = await self._answers.receive_some()
            assert chunk, f"{self.options['name']} has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    async def ask(self, **question: Any) -> Any:
        """Ask it, and wait for the answer."""
        self.tell(**question)
        return await self.answer()

    def tell(self, **question: Any) -> None:
        """Ask it; `answer` gets the answer later."""
        self.write(json.dumps(question).encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Put this on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    async def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        await self._answers.aclose()

    async def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        await self._answers.aclose()


def free_ports(count: int) -> list[int]:
    """Ports that are free, and that no outgoing connection will take while a killed process is started again."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) and port not in found:
                found.append(port)
    return found
