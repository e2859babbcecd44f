"""What the node processes of the demo run, by ``hubkit run hubkit.cli.demo.node:main``.

Law of this room: no process outlives the demo. A node serves until its stdin ends, which is a pipe from the demo's process:
however that one dies, its nodes notice.
"""

from __future__ import annotations

import sys

import trio

from hubkit.cli.demo.logwatch import Watcher
from hubkit.hub.hub import Hub

__all__ = ["ACTORS", "main"]

#: What may run here: hubs place a child only where its actor has been defined, so the import is what matters.
ACTORS = (Watcher,)


async def main(hub: Hub) -> None:
    """Serve until stdin ends."""
    await trio.lowlevel.wait_readable(sys.stdin)  # nothing is ever written to it: readable means ended
