"""Actors in one process: an object that owns its state, and takes one message at a time.

Run it: python examples/counter.py
"""

import trio

import hubkit


class TooMuch(hubkit.Reject):
    """The counter would pass its limit. A `Reject` answers the caller; the actor lives on."""


class Counter(hubkit.Actor):
    """Counts up to a limit."""

    def __init__(self, limit: int = 100) -> None:
        self.value = 0
        self.limit = limit

    async def add(self, n: int = 1) -> int:
        if self.value + n > self.limit:
            raise TooMuch(self.limit)
        self.value += n
        return self.value


async def main() -> None:
    async with hubkit.start(hubkit.child("counter", Counter, limit=10)) as counter:
        # Arguments and results are checked by the type checker: add takes an int, and so `total` is one.
        total = await counter.call(Counter.add, 2)
        assert total == 2

        # A cast does not wait for an answer. Messages through one ref arrive in their order.
        await counter.cast(Counter.add, 3)
        assert await counter.call(Counter.add, 0) == 5

        # A refusal reaches the caller as it was raised, and harms nothing.
        try:
            await counter.call(Counter.add, 50)
        except TooMuch as refusal:
            print("refused: the limit is", *refusal.args)
        assert await counter.call(Counter.add) == 6

        # Many callers, no locks: each message is handled before the next one begins.
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(counter.call, Counter.add)
        assert await counter.call(Counter.add, 0) == 10

    # Nothing outlives the block: the counter has stopped.
    try:
        await counter.call(Counter.add)
    except hubkit.errors.HubkitError as error:
        print("afterwards:", type(error).__name__)
    print("the counter counted to 10")


if __name__ == "__main__":
    trio.run(main)
