"""Watches log files: one actor for each, spread over as many processes as you like.

Every `Watcher` follows one file, counts its lines, and remembers the last error in it. Start this program on several nodes;
each log is watched by exactly one of them, and goes on being watched when a node dies::

    export LOGWATCH=/var/log/myapp
    hubkit run logwatch:main --listen ws://127.0.0.1:4040
    hubkit run logwatch:main --listen ws://127.0.0.1:4041 --join ws://127.0.0.1:4040

    hubkit children ws://127.0.0.1:4040

A watcher keeps its counts in memory alone, and they are right after every failover: the file is the truth, and whoever takes
over reads it from its beginning.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import trio

import hubkit

__all__ = ["Report", "Watcher", "main"]

LOOK = "look"  # what a watcher tells itself, every so often
CHUNK = 1 << 20  # bytes


@hubkit.message
@dataclass(frozen=True, slots=True)
class Report:
    """What a watcher knows of its log, who it is, and how many messages it has handled in this life."""

    lines: int
    errors: int
    last_error: str
    messages: int
    process: int


class Watcher(hubkit.Actor):
    """Follows the log file at ``path``, looking every ``interval`` seconds."""

    def __init__(self, path: str, interval: float = 0.2) -> None:
        self.path: Path = Path(path)
        self.interval = interval
        self.offset: int = 0
        self.lines: int = 0
        self.errors: int = 0
        self.messages: int = 0
        self.last_error: str = ""

    async def on_start(self) -> None:
        """Read what the log has already, and begin to look."""
        await self._look()
        self.context.send_after(self.interval, LOOK)

    async def on_info(self, message: object) -> None:
        """Look again when it is time; anything else is ignored."""
        if message == LOOK:
            self.messages += 1
            await self._look()
            self.context.send_after(self.interval, LOOK)

    async def report(self) -> Report:
        """How the log is now."""
        self.messages += 1
        await self._look()
        return Report(self.lines, self.errors, self.last_error, self.messages, os.getpid())

    async def _look(self) -> None:
        while new := await trio.to_thread.run_sync(self._read):
            for line in new.splitlines():
                self.lines += 1
                if b" ERROR " in line:
                    self.errors += 1
                    self.last_error = line.decode(errors="replace")

    def _read(self) -> bytes:
        """The next whole lines of the log, at most about `CHUNK` bytes; nothing at its end."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset = self.lines = self.errors = 0  # the log was rotated: a new one begins
                file.seek(self.offset)
                data = file.read(CHUNK) + file.readline()
        except FileNotFoundError:
            return b""
        whole = data[: data.rfind(b"\n") + 1]  # the last line may be half written: next time
        self.offset += len(whole)
        return whole


async def main(hub: hubkit.Hub) -> None:
    """Watch every ``*.log`` in the directory ``$LOGWATCH``, and those that appear later. All nodes may do this at once."""
    directory = trio.Path(os.environ.get("LOGWATCH", "."))
    while True:
        logs = {path.stem: path for path in await directory.glob("*.log")}
        new = [hubkit.child(name, Watcher, str(logs[name])) for name in sorted(logs) if hub.lookup(name) is None]
        await hub.start_children(new, check_existing=False)
        await trio.sleep(1)
