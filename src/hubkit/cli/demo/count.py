"""The last act: does every child run exactly once?

Law of this room: nobody is believed alone. The processes are asked what they run, as an operator would ask; the children are
asked who they are; and what they have counted must be what was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from hubkit.cli.ask import question
from hubkit.cli.demo.fleet import Member
from hubkit.cli.demo.screen import Part
from hubkit.cli.demo.stage import CHILDREN, STEP, Stage, Trouble
from hubkit.cli.failure import Failure

__all__ = ["count", "faults"]

Listing = list[dict[str, Any]]


async def count(stage: Stage, number: int, secret: str) -> None:
    """Check it all, and tell. Raises `Trouble` with what is wrong."""
    stage.act(number, "The count. Each process is asked what it runs, and each child who it is and what it has seen.")
    with trio.move_on_after(STEP):
        await stage.hub.settled()
    living = [member for member in stage.fleet.members.values() if member.lives]
    listings, alive = await _ask_processes(stage, living, secret)
    answers = await stage.ask_all()
    claims = {
        f"each of the {CHILDREN} children runs in exactly one process ({_shares(alive)})": faults(
            stage.logs.paths, listings, alive
        ),
        f"all {CHILDREN} answer, each from the process that says it runs it": _wrong_process(
            stage, living, listings, answers
        ),
        f"they have counted every line, {sum(stage.logs.written.values()):,} in all, and none twice": [
            f"{name} counted {answers[name].lines} lines of {written}"
            for name, written in stage.logs.written.items()
            if name in answers and answers[name].lines != written
        ],
    }
    for claim, wrong in claims.items():
        stage.say(stage.screen.sign(not wrong), f" {claim}")
        for text in wrong[:5]:
            stage.say(Part(f"    {text}", "red"))
    wrong = [text for found in claims.values() for text in found]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        msg = f"{wrong[0]}{more}"
        raise Trouble(msg)


async def _ask_processes(stage: Stage, living: list[Member], secret: str) -> tuple[dict[str, Listing], dict[str, int]]:
    """By node name: what each living process says of all children, and how many actors are alive in it."""
    url = stage.hub.node.url
    assert url is not None
    listings: dict[str, Listing] = {}
    alive: dict[str, int] = {}
    try:
        status = await question(url, ["status"], secrets=(secret,))
        addresses = {row["node"]: row["address"] for hub in status["hubs"] for row in hub["nodes"]}
        for member in living:
            address = addresses[member.name]
            listings[member.name] = await question(address, ["children", stage.hub.id], secrets=(secret,))
            status = await question(address, ["status"], secrets=(secret,))
            alive[member.name] = sum(hub["here"] for hub in status["hubs"])
    except (Failure, KeyError) as error:
        msg = f"a process does not tell what it runs: {error}"
        raise Trouble(msg) from error
    return listings, alive


def faults(names: Iterable[str], listings: Mapping[str, Listing], alive: Mapping[str, int]) -> list[str]:
    """What is wrong with the answers of the processes.

    A child counts where a process says that it runs *there*; and no process may have more actors than it tells of.
    """
    runs = Counter(row["child"] for node, rows in listings.items() for row in rows for n in row["nodes"] if n == node)
    wrong = [f"{name} runs in {runs[name]} processes" for name in names if runs[name] != 1]
    for node, rows in sorted(listings.items()):
        told = sum(node in row["nodes"] for row in rows)
        if told != alive[node]:
            wrong.append(f"{node} has {alive[node]} actors alive, and tells of {told}")
    views = {node: {row["child"]: tuple(row["pids"]) for row in rows} for node, rows in listings.items()}
    first, *others = sorted(views)
    wrong += [
        f"{node} and {first} do not agree on where the children are" for node in others if views[node] != views[first]
    ]
    return wrong


def _shares(alive: Mapping[str, int]) -> str:
    return ", ".join(f"{node}: {number}" for node, number in sorted(alive.items()))


def _wrong_process(
    stage: Stage, living: list[Member], listings: dict[str, Listing], answers: dict[str, Any]
) -> list[str]:
    wrong = []
    processes = {member.name: member.pid for member in living}
    homes = {row["child"]: node for node, rows in listings.items() for row in rows if node in row["nodes"]}
    for name in stage.logs.paths:
        if name not in answers:
            wrong.append(f"{name} does not answer")
        elif answers[name].process != processes.get(homes.get(name, "")):
            wrong.append(f"{name} answers from process {answers[name].process}, and not from that of {homes.get(name)}")
    return wrong
