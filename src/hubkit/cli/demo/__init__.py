"""``hubkit demo``: sixty log files, one actor for each, on node processes that are killed, added and stopped.

===========  ======================================================================================
`logwatch`   the application: an actor that follows a log file; it runs on its own, too
`node`       what each node process runs
`logs`       the log files, which grow
`fleet`      the node processes
`stage`      what all acts share: the hub of the observer, its reports, the picture of it all
`acts`       the play, act by act
`count`      the last act: does every child run exactly once?
`view`       the table
`screen`     lines and tables on a terminal, or elsewhere
===========  ======================================================================================
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import trio

from hubkit.cli.demo.acts import play
from hubkit.cli.demo.screen import Screen

__all__ = ["demo"]


def demo() -> int:
    """Play it on stdout; the exit code is 0, 1 with what is wrong, or 128 + n when signal n ended it."""
    screen = Screen(sys.stdout)
    received: list[int] = []
    code = 1

    async def obey(scope: trio.CancelScope, signals: Any) -> None:
        async for number in signals:
            received.append(number)
            scope.cancel()

    async def main() -> None:
        nonlocal code
        # All of them the same way: the nodes are ended, and nothing is left behind.
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(obey, nursery.cancel_scope, signals)
                code = await play(screen)
                nursery.cancel_scope.cancel()

    unread = False
    try:
        trio.run(main)
    except* BrokenPipeError:
        unread = True
    if unread:  # whoever read stdout has seen enough; bare, so that it is understood
        raise BrokenPipeError
    if received:
        screen.say("Interrupted; all its processes have been ended.")
        return 128 + received[0]
    return code
