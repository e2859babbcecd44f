"""Let it crash: a supervisor starts again what has failed, and gives up when that does not help.

Run it: python examples/restarts.py
"""

import logging

import trio

import hubkit


class Parser(hubkit.Actor):
    """Sums the numbers it is given. It does not defend itself against nonsense: that is its supervisor's business."""

    def __init__(self) -> None:
        self.total = 0

    async def feed(self, text: str) -> int:
        self.total += int(text)  # nonsense raises here, and crashes the actor
        return self.total


async def crash(parser: hubkit.Ref[Parser]) -> None:
    """Feed it nonsense. The caller is told that the actor has crashed, and why."""
    reason: BaseException | None = None
    try:
        await parser.call(Parser.feed, "many")
    except hubkit.errors.ActorCrashed as error:
        reason = error.__cause__
    assert isinstance(reason, ValueError)


async def main() -> None:
    parsers = [hubkit.child("left", Parser), hubkit.child("right", Parser)]
    async with hubkit.Supervisor(children=parsers, max_restarts=3, max_seconds=5) as supervisor:
        left, right = supervisor.ref("left"), supervisor.ref("right")
        assert await left.call(Parser.feed, "1") == 1
        assert await right.call(Parser.feed, "2") == 2

        await crash(left)

        # It runs again, from a fresh start; the same ref leads to the new one. Its sibling has noticed nothing.
        assert await left.call(Parser.feed, "10") == 10
        assert await right.call(Parser.feed, "20") == 22
        print("left was restarted, right was not")

    # A restart heals what was an accident. What fails again and again is a mistake: then the supervisor gives up, and the
    # error leaves the block, for those who can do more about it.
    given_up = False
    try:
        async with hubkit.Supervisor(children=parsers, max_restarts=3, max_seconds=5) as supervisor:
            for _ in range(4):
                await crash(supervisor.ref("left"))
            await trio.sleep_forever()
    except hubkit.errors.RestartIntensityExceeded as error:
        given_up = True
        print("the supervisor gave up:", error)
    assert given_up


if __name__ == "__main__":
    logging.getLogger("hubkit").setLevel(logging.CRITICAL)  # the crashes are wanted: no tracebacks
    trio.run(main)
