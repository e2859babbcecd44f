"""Rooms of a chat on two nodes: whoever knows a room's name reaches it, wherever it runs.

The two nodes are in one process here, each with a port of its own, so that the example ends by itself; on two machines
nothing but the addresses would change.

Run it: python examples/chat.py
"""

import trio

import hubkit


class Guest(hubkit.Actor):
    """Somebody who reads along."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def hear(self, line: str) -> None:
        self.seen.append(line)

    async def lines(self) -> list[str]:
        return self.seen


class Room(hubkit.Actor):
    """Passes on what is said to all who are in it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.guests: dict[hubkit.Monitor, hubkit.Ref[Guest]] = {}

    async def join(self, guest: hubkit.Ref[Guest]) -> str:
        # A ref is a value: it travels in messages, and leads back to its actor from everywhere.
        self.guests[self.context.monitor(guest)] = guest
        return self.topic

    async def say(self, line: str) -> int:
        """Tell all, and return how many have heard it."""
        heard = 0
        for guest in self.guests.values():
            try:
                await guest.call(Guest.hear, line)
                heard += 1
            except hubkit.errors.NoSuchActor:
                pass  # has just left: the `Down` is on its way
        return heard

    async def count(self) -> int:
        return len(self.guests)

    async def on_info(self, message: object) -> None:
        # Exactly one `Down` for each monitor, whether the guest left, crashed, or its node is gone.
        if isinstance(message, hubkit.Down):
            del self.guests[message.monitor]


async def main() -> None:
    async with (
        hubkit.Hub("chat", name="paris", listen="ws://127.0.0.1:0") as paris,
        hubkit.Hub("chat", name="tokyo", listen="ws://127.0.0.1:0", join=[str(paris.node.url)]) as tokyo,
    ):
        rooms = [hubkit.child(f"room-{n}", Room, f"topic {n}") for n in range(8)]
        result = await paris.start_children(rooms, tag="room")
        assert result.status == "ok"
        assert result.nodes() == ("paris", "tokyo")  # spread by their names: there is no list to keep
        print({node: sum(pid.node == node for pid in result.pids()) for node in result.nodes()})

        # Both nodes see all rooms, and both talk to them in the same way.
        await tokyo.settled()
        assert tokyo.tagged("room").keys() == paris.tagged("room").keys()

        ann = await paris.start_child(hubkit.child("ann", Guest))
        bob = await tokyo.start_child(hubkit.child("bob", Guest))
        for room in (hub.ref(f"room-{n}", Room) for hub in (paris, tokyo) for n in (0, 7)):
            if await room.call(Room.count) == 0:
                assert (await room.call(Room.join, ann)).startswith("topic")
                await room.call(Room.join, bob)
            assert await room.call(Room.say, "hello") == 2
        assert await bob.call(Guest.lines) == ["hello"] * 4
        assert await ann.call(Guest.lines) == ["hello"] * 4

        # Bob leaves. Nobody has to tell the rooms.
        await tokyo.stop_child("bob")
        assert await paris.ref("room-0", Room).call(Room.say, "where is bob?") == 1
        print("ann read:", await ann.call(Guest.lines))


if __name__ == "__main__":
    trio.run(main)
