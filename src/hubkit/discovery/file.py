"""A file that says where nodes may be, kept by somebody else.

Law of this room: the file is looked at once a second, and read when it is another one. What is read is bounded: a device, or a
file of gigabytes, is an error and no end of memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import trio

from hubkit.discovery.protocol import Pace
from hubkit.errors import ConfigurationError

__all__ = ["File"]

#: The largest file that is read, in bytes.
LARGEST: Final = 1 << 20

_Print = tuple[int, int, int]


@dataclass(slots=True)
class _Read:
    """What was read last, and of which file."""

    mark: _Print | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """The URLs in a file, one a line; looked at every second, and read again when it has changed. Example::

        hubkit.Hub("shop", listen="ws://10.0.0.1:4040", secret=..., join=hubkit.discovery.File("/etc/shop/nodes"))

    Empty lines, and what follows a ``#``, are passed over. A file that is not there, or of more than a megabyte, is
    logged once and looked for again; meanwhile what was read last stands. Write it whole and rename it into place, so that
    no half of it is read. Spelt ``file:///etc/shop/nodes`` (``file:nodes`` is relative to the current directory).

    Raises `ConfigurationError` for a path that is none.
    """

    path: str | os.PathLike[str]
    _read: _Read = field(default_factory=_Read, init=False, repr=False, compare=False)
    _pace: ClassVar[Pace] = Pace(every=1.0, first=0.5, most=2.0)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path):
            msg = f"File needs the path of a file with one URL a line, not {self.path!r:.80}"
            raise ConfigurationError(msg)

    async def addresses(self) -> Iterable[str]:
        """The lines of the file. Raises `OSError` if it cannot be read."""
        return await trio.to_thread.run_sync(self._lines, abandon_on_cancel=True)

    def _lines(self) -> tuple[str, ...]:
        path = Path(self.path)
        about = path.stat()
        mark = (about.st_ino, about.st_mtime_ns, about.st_size)
        if mark == self._read.mark:
            return self._read.lines
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            msg = f"{path} is no file of at most {LARGEST} bytes"
            raise OSError(msg)
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(LARGEST)
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        self._read.lines = tuple(line for line in lines if line)
        self._read.mark = mark
        return self._read.lines
