"""Every way in that is fuzzed: `DOORS`, by name."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz import codec, finding, linked, meeting, sockets
from tests.fuzz.law import Door

__all__ = ["CORPUS", "DOORS"]

DOORS: dict[str, Door] = {door.name: door for room in (codec, meeting, sockets, linked, finding) for door in room.DOORS}

#: What was found to be of interest, one directory for each door.
CORPUS = Path(__file__).parent / "corpus"
