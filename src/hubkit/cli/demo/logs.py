"""Sixty log files that grow, as those of a busy shop would: the demo's input is real files.

Law of this room: it knows what it wrote. At the end every watcher must have counted just that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import trio

from hubkit.environment import Environment

__all__ = ["Logs"]

SERVICES = ("api", "auth", "cart", "mail", "pay", "search")
ROUND = 0.1  # seconds
LINES = 4  # at most so many in each file a round
ERRORS = 0.04  # this share of the lines

GOOD = ("GET /{} 200", "POST /{} 201", "cache of {} refreshed", "job {} done", "{} says hello")
BAD = ("GET /{} 500: upstream is gone", "{}: connection reset by peer", "{}: no space left on device")


class Logs:
    """The log files of ``count`` services in ``directory``. ``written``: how many lines each has, by its name."""

    def __init__(self, directory: Path, count: int, environment: Environment) -> None:
        self._environment = environment
        names = [f"{SERVICES[n % len(SERVICES)]}-{n // len(SERVICES):02}" for n in range(count)]
        self.paths: dict[str, Path] = {name: directory / f"{name}.log" for name in sorted(names)}
        self.written: dict[str, int] = dict.fromkeys(self.paths, 0)
        for path in self.paths.values():
            path.touch()

    async def grow(self) -> None:
        """Write until cancelled; a round that has begun is finished."""
        while True:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write)
            await trio.sleep(ROUND)

    def _write(self) -> None:
        chance = self._environment.random
        for name, path in self.paths.items():
            lines = [self._line(name) for _ in range(chance.randint(0, LINES))]
            with path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
            self.written[name] += len(lines)

    def _line(self, name: str) -> str:
        chance = self._environment.random
        bad = chance.random() < ERRORS
        text = chance.choice(BAD if bad else GOOD).format(name)
        when = datetime.fromtimestamp(self._environment.wall(), UTC).isoformat(timespec="milliseconds")
        return f"{when} {'ERROR' if bad else 'INFO'} {text}\n"
