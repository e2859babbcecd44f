"""What a failed simulation leaves for whoever looks into it: a section in pytest's report, and a timeline on disk.

Law of this room: it never makes things worse. A timeline that cannot be drawn or written is replaced by plain text, then by
the reason; the failure of the test is always the first thing that one sees.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import outcome

from hubkit.names import error_name, error_text
from hubkit.testing.replaying import from_here
from hubkit.testing.trace import Report

__all__ = ["describe_failure", "report_of", "without_machinery"]

#: how many steps are shown in the section
STEPS = 20
#: where that code lives of which nobody wants to see lines in a traceback
_MACHINERY = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, outcome.__file__))


def without_machinery(traceback: TracebackType) -> TracebackType:
    """A traceback without what carries every scenario and explains no failure; all of it, if there is nothing else."""
    kept: TracebackType | None = None
    for entry in reversed(list(_entries(traceback))):
        if not os.path.abspath(entry.tb_frame.f_code.co_filename).startswith(_MACHINERY):
            kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept or traceback


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def report_of(error: BaseException) -> tuple[BaseException, Report] | None:
    """The error that ended a simulation, with the report of it: this one, one in its group, or one of its causes."""
    for one in _family(error, set()):
        report = getattr(one, "__hubkit_report__", None)
        if isinstance(report, Report):
            return one, report
    return None


def _family(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _family(one, seen)
    yield from _family(error.__cause__, seen)
    yield from _family(error.__context__, seen)


def describe_failure(error: BaseException, report: Report, test: str, directory: Path, *, by_seed: bool) -> str:
    """The section about a failed test, ``test`` being its node id; writes the timeline into ``directory``.

    ``by_seed``: the plugin chose the seed, so it is named in the command that replays the test. So is what Hypothesis has
    drawn, if the error knows of it.
    """
    seed = f" --hubkit-seed {report.seed}" if by_seed else ""
    options = getattr(error, "__hubkit_replay__", "") or seed
    lines = [
        f"seed {report.seed}, {report.elapsed:.3f} virtual seconds, {report.steps:,} steps, trace {report.trace_hash}",
        f"replay:   pytest {shlex.quote(from_here(test))}{options}",
        f"timeline: {_write(error, report, test, directory)}",
    ]
    if report.trace:
        lines.append(f"the last of {report.steps:,} steps (number, virtual seconds, what, node, peer, details):")
        lines += [str(step) for step in report.trace[-STEPS:]]
    return "\n".join(lines)


def _write(error: BaseException, report: Report, test: str, directory: Path) -> str:
    """Write the timeline; where it is, or why it is nowhere."""
    said = f"{error_name(error)}: {error_text(error)}"
    path = directory / f"{_file_name(test)}.html"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        try:
            from hubkit.testing import timeline

            timeline.write(report, path, title=test, error=said)
        except OSError:
            raise
        except Exception as failure:
            path = path.with_suffix(".txt")
            text = "\n".join([test, said, *map(str, report.trace), ""])
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return f"{path} (as text, for the page could not be made: {error_name(failure)}: {error_text(failure)})"
    except OSError as failure:
        return f"not written: {error_text(failure)}"
    return str(path)


def _file_name(test: str) -> str:
    """A file name that says which test it is, and is that of no other."""
    name = re.sub(r"[^\w.-]+", "-", test, flags=re.ASCII).strip("-.")
    if len(name) > 120 or name.lower() != test:
        name = f"{name[-100:].strip('-.')}-{blake2b(test.encode(), digest_size=4).hexdigest()}"
    return name
