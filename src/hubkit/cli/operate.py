"""``hubkit explain``, ``plan``, ``drain`` and ``top``: why a child is where it is, what would move, leave, and look on.

Law of this room: but for ``drain`` nothing is changed, and what ``drain`` has begun goes on without it: it only looks on until
the node has left. What is printed as JSON is for programs: keys are only ever added.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import trio

from hubkit.cli.ask import question
from hubkit.cli.failure import Failure
from hubkit.cli.table import fit, printable, table

__all__ = ["drain", "explain", "plan", "top"]

#: Seconds between two looks at a node that drains.
LOOK = 0.3


def explain(url: str, child: str, *, hub: str | None, as_json: bool, **credentials: Any) -> int:
    """Print why a child is where it is, as the node at ``url`` sees it. Raises `Failure`."""
    found: list[dict[str, Any]] = trio.run(partial(question, url, ["explain", hub, child], **credentials))
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    for each in found:
        where, view = ", ".join(each.get("where", ())) or "no node", ", ".join(each.get("view", ())) or "none"
        print(f"hub {printable(each.get('hub'))}, child {printable(each.get('child'))}: on {printable(where)}")
        print(f"  rule    {printable(each.get('rule'))}: {printable(each.get('text'))}")
        for name, key in (("because", "because"), ("waits", "in_flight")):
            for phrase in each.get(key, ()):
                print(f"  {name:<7} {printable(phrase)}")
        print(f"  ready   {printable(view)}")
    return 0


def plan(
    url: str, *, hub: str | None, add: Sequence[str], remove: Sequence[str], as_json: bool, **credentials: Any
) -> int:
    """Print what would move if these nodes came and those went. Raises `Failure`."""
    asked = ["plan", hub, list(add), list(remove)]
    moves: list[dict[str, Any]] = trio.run(partial(question, url, asked, **credentials))
    if as_json:
        print(json.dumps(moves, indent=2))
        return 0
    if moves:
        print("\n".join(table(("hub", "child", "source", "target"), [_columns(move) for move in moves])))
        print()
    print(f"{len(moves)} {'child' if len(moves) == 1 else 'children'} would move")
    return 0


def _columns(move: Mapping[str, Any]) -> list[Any]:
    return [move.get(key) for key in ("hub", "child", "source", "target")]


# -- leaving ----------------------------------------------------------------------------------------------------------------


def drain(url: str, *, hub: str | None, wait: bool, as_json: bool, **credentials: Any) -> int:
    """Let the node at ``url`` leave its hubs, or one of them, and look on until it has. Raises `Failure`."""
    return trio.run(partial(_drain, url, hub, wait, as_json, credentials))


async def _drain(url: str, hub: str | None, wait: bool, as_json: bool, credentials: Mapping[str, Any]) -> int:
    began = trio.current_time()
    hubs: list[str] = await question(url, ["drain", hub], **credentials)
    if wait:
        await _gone(url, set(hubs), credentials)
    seconds = round(trio.current_time() - began, 1)
    if as_json:
        print(json.dumps({"hubs": hubs, "left": wait, "seconds": seconds}))
    else:
        names = ", ".join(map(printable, hubs)) or "no hub"
        print(f"the node has left {names} after {seconds:g} s" if wait else f"the node is leaving {names}")
    return 0


async def _gone(url: str, hubs: set[str], credentials: Mapping[str, Any]) -> None:
    """Look on until it is in none of these hubs, or is not there at all; says how many children are still there."""
    said = None
    while True:
        try:
            answer = await question(url, ["status"], **credentials)
        except Failure:
            return  # it has ended: nobody listens there any more
        still = {each.get("hub"): each.get("here", 0) for each in answer.get("hubs", ()) if each.get("hub") in hubs}
        if not still:
            return
        text = ", ".join(
            f"hub {printable(name)}: {count} children still there" for name, count in sorted(still.items())
        )
        if text != said:
            print(text, file=sys.stderr, flush=True)
            said = text
        await trio.sleep(LOOK)


# -- looking on -------------------------------------------------------------------------------------------------------------


def top(url: str, *, interval: float, count: int | None, as_json: bool, **credentials: Any) -> int:
    """Show what a node is busy with, again and again: the busiest children first. Raises `Failure`."""
    return trio.run(partial(_top, url, interval, count, as_json, credentials))


async def _top(url: str, interval: float, count: int | None, as_json: bool, credentials: Mapping[str, Any]) -> int:
    before: dict[tuple[str, str], float] = {}
    asked, shown = trio.current_time(), 0
    is_live = sys.stdout.isatty() and not as_json
    while True:
        status = await question(url, ["status"], **credentials)
        trees = await question(url, ["tree", None], **credentials)
        now = trio.current_time()
        children = [
            _busy(hub.get("id"), child, before, now - asked) for hub in trees for child in hub.get("children", ())
        ]
        before, asked = {(one["hub"], one["child"]): one["handled"] for one in children}, now
        children.sort(key=lambda one: (-one["rate"], -one["mailbox"], one["hub"], one["child"]))
        if as_json:
            print(
                json.dumps({"node": status.get("node"), "hubs": status.get("hubs"), "children": children}), flush=True
            )
        else:
            size = shutil.get_terminal_size()
            lines = _frame(status, children, size.lines - 2 if is_live else None)
            if is_live:
                lines = [fit(line, size.columns) for line in lines]
            print(("\x1b[H\x1b[J" if is_live else "\n" if shown else "") + "\n".join(lines), flush=True)
        shown += 1
        if shown == count:
            return 0
        await trio.sleep(interval)


def _busy(
    hub: Any, child: Mapping[str, Any], before: Mapping[tuple[str, str], float], seconds: float
) -> dict[str, Any]:
    """One child, and how many messages it handles in a second."""
    name, handled = str(child.get("id")), child.get("handled") or 0
    last = before.get((str(hub), name), handled)
    rate = max(0.0, handled - last) / seconds if seconds > 0 else 0.0
    figures = {key: child.get(key) or 0 for key in ("mailbox", "restarts")}
    oldest = child.get("oldest")
    return {
        "hub": str(hub),
        "child": name,
        "state": child.get("state"),
        "rate": round(rate, 1),
        "handled": handled,
        **figures,
        "oldest": None if oldest is None else round(oldest, 1),
        "actor": child.get("actor"),
    }


def _frame(status: Mapping[str, Any], children: Sequence[Mapping[str, Any]], height: int | None) -> list[str]:
    lines = [f"node {printable(status.get('node'))}  links {len(status.get('links', ()))}"]
    for hub in status.get("hubs", ()):
        state = "partitioned" if hub.get("partitioned") else "settled" if hub.get("settled") else "settling"
        nodes = len(hub.get("nodes", ()))
        lines.append(
            f"hub {printable(hub.get('hub'))}: {state}, {nodes} nodes, {hub.get('running', 0)} of {hub.get('children', 0)} "
            f"children running, {hub.get('here', 0)} here"
        )
    columns = ("hub", "child", "state", "rate", "handled", "mailbox", "oldest", "restarts", "actor")
    rows = [[one[column] for column in columns] for one in children]
    found = table(columns, rows)
    room = len(found) if height is None else max(2, height - len(lines) - 1)
    return [*lines, "", *found[:room]]
