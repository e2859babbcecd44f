"""Actors as functions: a pipeline of workers that read their mailboxes with `async for`.

Run it: python examples/pipeline.py
"""

from dataclasses import dataclass

import trio

import hubkit


@dataclass(frozen=True)
class Page:
    """What travels down the pipeline."""

    title: str
    text: str


@hubkit.actor
async def splitter(context: hubkit.Context, counter: hubkit.Ref[object]) -> None:
    """Splits pages into words, and passes those on. `send` waits while the next one's mailbox is full."""
    async for page in context:
        for word in page.text.split():
            await counter.send(word.strip(".,").lower())
        await counter.send(None)


@hubkit.actor
async def counter(context: hubkit.Context, pages: int, result: trio.MemorySendChannel[dict[str, int]]) -> None:
    """Counts words until it has seen the end of so many pages. Returning is a normal end: nothing is restarted."""
    counts: dict[str, int] = {}
    while pages:
        word = await context.receive()
        if word is None:
            pages -= 1
        else:
            counts[word] = counts.get(word, 0) + 1
    await result.send(counts)


PAGES = [
    Page("Crashes", "Let it crash. A crash is ordinary."),
    Page("Mailboxes", "A mailbox is a queue, and a queue is bounded."),
]


async def main() -> None:
    send, receive = trio.open_memory_channel[dict[str, int]](1)
    async with hubkit.Supervisor() as supervisor:
        # "transient": started again after a crash, but not after a normal end.
        counting = await supervisor.start_child(
            hubkit.ChildSpec("counter", counter, args=(len(PAGES), send), restart="transient", mailbox=4)
        )
        splitting = await supervisor.start_child(hubkit.child("splitter", splitter, counting))
        for page in PAGES:
            await splitting.send(page)
        counts = await receive.receive()

    assert counts["crash"] == 2
    assert counts["queue"] == 2
    assert counts["a"] == 4
    print("most frequent:", max(counts, key=lambda word: counts[word]))


if __name__ == "__main__":
    trio.run(main)
