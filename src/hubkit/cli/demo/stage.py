"""What all acts of the demo share: the observer's hub, the processes, the logs, and the picture of it all.

Law of this room: the demo watches from outside. Its own process is a member of the hub that runs no children, so what it
shows is what any node could see: its own copy of the registry, and the answers of the children themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from hubkit.actors.ref import Ref
from hubkit.cli.demo.fleet import Fleet, Member
from hubkit.cli.demo.logs import Logs
from hubkit.cli.demo.logwatch import Report, Watcher
from hubkit.cli.demo.screen import Part, Screen
from hubkit.cli.demo.view import NodeLine, draw
from hubkit.errors import HubkitError
from hubkit.hub.hub import Hub
from hubkit.pids import Pid

__all__ = ["CHILDREN", "POLL", "Stage", "Trouble"]

CHILDREN = 60
POLL = 0.005  # seconds between two looks, while something is being timed
REPORTS = 0.25  # seconds between two rounds of questions to all children
FRAMES = 0.1  # seconds between two pictures
STEP = 10.0  # seconds that anything that is waited for may take


class Trouble(Exception):
    """Something did not happen as it should have. Its text says what."""


@dataclass(slots=True, eq=False)
class Stage:
    """The demo, at one moment."""

    hub: Hub
    fleet: Fleet
    logs: Logs
    screen: Screen
    reports: dict[str, tuple[Pid, Report]] = field(default_factory=dict)

    # -- what is so

    def places(self) -> dict[str, Pid]:
        """The pid of every child that runs, as the observer's registry has it."""
        found = {name: self.hub.pid(name) for name in self.logs.paths}
        return {name: pid for name, pid in found.items() if pid is not None}

    def count(self, member: Member) -> int:
        """How many children run on a node."""
        return sum(pid.node == member.name for pid in self.places().values())

    def ref(self, name: str) -> Ref[Watcher]:
        """The handle of one child."""
        return self.hub.ref(name, Watcher)

    # -- waiting for what should be so

    async def until(self, condition: Callable[[], bool], what: Callable[[], str]) -> float:
        """Wait until ``condition()``; returns how many seconds it took. Raises `Trouble` with ``what()`` after `STEP`."""
        began = trio.current_time()
        while not condition():
            if trio.current_time() > began + STEP:
                msg = f"after {STEP:g} s {what()}"
                raise Trouble(msg)
            await trio.sleep(POLL)
            self.check_processes()
        return trio.current_time() - began

    def all_run(self) -> bool:
        """Whether every child runs on a node that lives."""
        living = {member.name for member in self.fleet.members.values() if member.lives}
        places = self.places()
        return len(places) == CHILDREN and all(pid.node in living for pid in places.values())

    def missing(self) -> str:
        """Which children do not run, in words."""
        living = {member.name for member in self.fleet.members.values() if member.lives}
        places = self.places()
        names = [name for name in self.logs.paths if name not in places or places[name].node not in living]
        return f"{len(names)} children do not run: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"

    def check_processes(self) -> None:
        """Raise `Trouble` if a node process has ended that nobody has ended."""
        for member in self.fleet.members.values():
            if member.lives and member.process.poll() is not None:
                words = member.last_words() or "it said nothing"
                msg = f"{member.name} (process {member.pid}) has ended by itself, code {member.process.returncode}: {words}"
                raise Trouble(msg)

    # -- the children's own words

    async def ask_all(self, within: float = STEP) -> dict[str, Report]:
        """Ask every child for its report. Those that do not answer within the time are not in the result."""
        found: dict[str, Report] = {}

        async def ask(name: str) -> None:
            try:
                found[name] = await self.ref(name).call(Watcher.report)
            except HubkitError:
                return  # its node has just gone: it will answer the next time, or be missed

        with trio.move_on_after(within):
            async with trio.open_nursery() as nursery:
                for name in self.logs.paths:
                    nursery.start_soon(ask, name)
        return found

    async def keep_asking(self) -> None:
        """Ask all children again and again: it is traffic, and what the table shows."""
        while True:
            places = self.places()
            if len(places) == CHILDREN:
                answers = await self.ask_all(within=1.0)
                self.reports.update({name: (places[name], report) for name, report in answers.items()})
            await trio.sleep(REPORTS)

    # -- the picture

    async def keep_drawing(self) -> None:
        """Redraw the table, for ever."""
        while True:
            self.draw()
            await trio.sleep(FRAMES)

    def draw(self) -> None:
        """Draw the table as it is now."""
        places = self.places()
        lines = []
        for member in self.fleet.members.values():
            here = [name for name, pid in places.items() if pid.node == member.name and member.state != "killed"]
            known = [
                self.reports[name][1] for name in here if name in self.reports and self.reports[name][0] == places[name]
            ]
            lines.append(
                NodeLine(
                    node=member.name,
                    pid=member.pid,
                    state=member.state,
                    children=len(here),
                    messages=sum(report.messages for report in known),
                    lines=sum(report.lines for report in known),
                    errors=sum(report.errors for report in known),
                )
            )
        screen = self.screen
        screen.update(draw(lines, total=CHILDREN, width=screen.width, is_unicode=screen.is_unicode))

    def say(self, *parts: Part | str) -> None:
        """Tell what happened."""
        self.screen.say(*parts, indent="    ")

    def act(self, number: int, text: str) -> None:
        """Announce what happens next, and why it is worth a look."""
        self.screen.say()
        self.screen.say(Part(f" {number}. ", "bold"), Part(text, "bold"), hang="    ")

    async def pause(self, seconds: float) -> None:
        """Let it run for a while, for those who watch."""
        await trio.sleep(seconds)
        self.check_processes()
        self.draw()
        self.screen.print_table()
