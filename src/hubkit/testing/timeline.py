"""A run as a page: one HTML file with the nodes as lanes, and on them who owned what, what was sent, and what went wrong.

Law of this room: the page is one file that needs nothing else, neither a network nor a server, and has a bound in bytes: what
is left out is said on it. Texts of a run (names, ids, errors) are data and never markup: they enter as JSON in which no ``<``
can stand, and reach the screen as text; the page's own policy lets no other script run than the one written here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

from hubkit.testing.lanes import Message, Run, Story, read
from hubkit.testing.trace import Report, Step

__all__ = ["render", "write"]

#: How many there may be on a page, at most.
MESSAGES, STEPS, RUNS, DOUBLES = 40_000, 50_000, 60_000, 5_000
#: How many characters of a text of the trace, and of the error, are kept.
TEXT, ERROR = 300, 20_000

#: What is left out first, if there are too many steps (after events of single children); what is not named comes last.
_LEAST = ("dial", "link", "break", "end", "ending", "begin", "event")
#: The page's script is these, one after the other.
_SCRIPTS = ("data.js", "view.js", "draw.js", "traffic.js", "head.js", "panel.js", "main.js")

#: Characters that would not be seen, or would turn the text around them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_COMMAND = re.compile(r"^\W*(?:replay[a-z ]*:\s*)?((?:hubkit sim |pytest |Simulation\.run\().*)$", re.MULTILINE)


def render(report: Report, *, title: str = "", error: str = "") -> str:
    """The page for one run, as HTML.

    ``title``: what was run, e.g. ``shop:main``. ``error``: why it failed, with its notes; empty if it did not. A line
    of it that is a command (``hubkit sim ...``) is offered as the way to run it again.
    """
    data = _data(report, title, error)
    script = "\n".join(_part(name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    heading = _seen(title) or f"seed {report.seed}"
    parts = {
        "title": html.escape(heading),
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "style": _part("page.css"),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e"),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html"))


def write(report: Report, path: str | PathLike[str], *, title: str = "", error: str = "") -> None:
    """Write the page for one run to a file; see `render`. Raises `OSError`."""
    Path(path).write_text(render(report, title=title, error=error), encoding="utf-8", newline="\n")


@cache
def _part(name: str) -> str:
    return (files("hubkit.testing") / "page" / name).read_text(encoding="utf-8")


# -- what the page is given: small arrays of numbers, times in whole microseconds ------------------------------------------


class _Table:
    """Texts, each once; they are known by their numbers."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        for text in texts:
            self(text)

    def __call__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> list[str]:
        return [_seen(text, TEXT) for text in self._numbers]


def _data(report: Report, title: str, error: str) -> dict[str, Any]:
    story = read(report.trace, report.elapsed, report.nodes)
    left_out: list[str] = []
    first = report.trace[0].number if report.trace else 0
    if first:
        left_out.append(f"The trace itself begins with step {first:,}: the earlier ones were not kept.")
    nodes, texts, children = _Table(story.nodes), _Table([""]), _Table()
    runs, places = _some_runs(story, left_out)
    doubles = _some_doubles(story, left_out)
    return {
        "about": {
            "title": _seen(title),
            "seed": str(report.seed),
            "hash": report.trace_hash,
            "elapsed": _micro(report.elapsed),
            "begins": _micro(report.trace[0].time) if first else 0,
            "steps": report.steps,
            "overlap": report.overlap,
            "network": report.network,
            "error": _seen(error, ERROR),
            "again": _again(report, error),
        },
        "runs": [
            [nodes(r.node), children(f"{r.hub}/{r.child}"), r.term, r.serial, *map(_micro, (r.begin, r.ending, r.end))]
            for r in runs
        ],
        "doubles": [
            [
                children(f"{d.hub}/{d.child}"),
                _micro(d.since),
                _micro(d.until),
                [places[n] for n in d.runs if n in places],
            ]
            for d in doubles
        ],
        "lives": [[nodes(x.node), texts(x.state), _micro(x.since), _micro(x.until)] for x in story.lives],
        "spans": [
            [
                x.kind,
                _micro(x.since),
                _micro(x.until),
                texts(x.text),
                [[nodes(n) for n in g] for g in x.groups],
                x.is_open,
            ]
            for x in story.spans
        ],
        "messages": _message_columns(_some_messages(story.messages, left_out), nodes, texts),
        "steps": _step_columns(_some_steps(story.steps, left_out), nodes, texts),
        "lanes": len(story.nodes),
        "nodes": nodes.texts,
        "children": children.texts,
        "texts": texts.texts,
        "leftOut": left_out,
    }


def _message_columns(messages: Sequence[Message], nodes: _Table, texts: _Table) -> dict[str, list[int]]:
    """Columns: numbers of steps and times as differences from the message before."""
    states = {"delivered": 0, "lost": 1, "under way": 2}
    return {
        "number": _differences([m.number for m in messages]),
        "arrival": [m.arrival - m.number if m.arrival >= 0 else -1 for m in messages],
        "sent": _differences([_micro(m.sent) for m in messages]),
        "took": [max(0, _micro(m.at) - _micro(m.sent)) for m in messages],
        "from": [nodes(m.source) for m in messages],
        "to": [nodes(m.target) for m in messages],
        "flags": [states[m.state] + 4 * m.is_routine + 8 * m.is_late for m in messages],
        "text": [texts(m.text) for m in messages],
    }


def _step_columns(steps: Sequence[Step], nodes: _Table, texts: _Table) -> dict[str, list[Any]]:
    return {
        "number": _differences([step.number for step in steps]),
        "time": _differences([_micro(step.time) for step in steps]),
        "kind": [texts(step.kind) for step in steps],
        "node": [nodes(step.node) if step.node else -1 for step in steps],
        "peer": [nodes(step.peer) if step.peer else -1 for step in steps],
        "text": [texts(step.text) for step in steps],
    }


def _differences(numbers: Sequence[int]) -> list[int]:
    return [number - before for number, before in zip(numbers, [0, *numbers], strict=False)]


def _micro(seconds: float | None) -> int:
    return -1 if seconds is None else round(seconds * 1e6)


def _seen(text: str, most: int = TEXT) -> str:
    """The text as it can be shown: of bounded length, and with what would not be seen as escapes."""
    if len(text) > most:
        text = f"{text[:most]}… ({len(text) - most:,} more characters)"
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def _again(report: Report, error: str) -> str:
    """How to run it again."""
    found = _COMMAND.search(error)
    if found:
        return _seen(found[1].strip())
    network = "" if report.network == "simulated" else f", network={report.network!r}"
    return f"Simulation.run(main, seed={report.seed}{network})"


# -- what is left out ------------------------------------------------------------------------------------------------------


def _some_runs(story: Story, left_out: list[str]) -> tuple[list[Run], dict[int, int]]:
    """The runs that are shown, and where each is among them: all that were doubled, and the latest."""
    numbers = list(range(len(story.runs)))
    if len(numbers) > RUNS:
        doubled = list(dict.fromkeys(run for double in story.doubles for run in double.runs))[:RUNS]
        known = set(doubled)
        rest = [number for number in reversed(numbers) if number not in known][: RUNS - len(doubled)]
        left_out.append(
            f"{len(numbers) - RUNS:,} of {len(numbers):,} incarnations of children, the earliest, are left out."
        )
        numbers = sorted([*doubled, *rest])
    return [story.runs[number] for number in numbers], {number: place for place, number in enumerate(numbers)}


def _some_doubles(story: Story, left_out: list[str]) -> list[Any]:
    doubles = story.doubles
    if len(doubles) > DOUBLES:
        left_out.append(
            f"{len(doubles) - DOUBLES:,} of {len(doubles):,} double ownerships, the shortest, are left out."
        )
        longest = sorted(doubles, key=lambda double: double.since - double.until)[:DOUBLES]
        doubles = sorted(longest, key=lambda double: double.since)
    return doubles


def _some_steps(steps: Sequence[Step], left_out: list[str]) -> Sequence[Step]:
    if len(steps) <= STEPS:
        return steps
    worth = {kind: place for place, kind in enumerate(_LEAST)}

    def rank(step: Step) -> tuple[int, int]:
        is_small = step.kind == "event" and step.text.startswith("Child")
        return 1 if is_small else -worth.get(step.kind, len(_LEAST)), -step.number

    best = sorted(steps, key=rank)[:STEPS]
    left_out.append(
        f"{len(steps) - STEPS:,} of {len(steps):,} steps that are no messages are left out of the list: events of single "
        f"children first, then what came and went between nodes, the earlier before the later."
    )
    return sorted(best, key=lambda step: step.number)


def _some_messages(messages: Sequence[Message], left_out: list[str]) -> Sequence[Message]:
    """Those that are shown: half of them are what was lost, late or no routine, and the latest; half an even choice."""
    if len(messages) <= MESSAGES:
        return messages
    best = sorted(messages, key=lambda m: (m.state == "delivered" and not m.is_late, m.is_routine, -m.number))
    chosen, rest = best[: MESSAGES // 2], best[MESSAGES // 2 :]
    rest.sort(key=lambda message: message.number)
    chosen += [rest[place * len(rest) // (MESSAGES // 2)] for place in range(MESSAGES // 2)]
    left_out.append(
        f"{len(messages):,} messages were sent; {len(chosen):,} are shown: what was lost or late and what was no routine "
        f"first, the later before the earlier, and of the rest an even choice."
    )
    return sorted(chosen, key=lambda message: message.number)
