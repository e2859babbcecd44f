"""All doors under the fuzzer, over all cores: ``python -m tests.fuzz.run --seconds 600``.

Each door gets its share of the time. What is found goes to ``.hubkit/fuzz`` and stays there, so that the next run goes on
from it: an input for each new way through the code in ``.hubkit/fuzz/DOOR``, and those that broke the law in
``.hubkit/fuzz/broken/DOOR``. ``--replay FILE`` runs one input again, and needs no fuzzer; ``--keep`` puts the smallest inputs
that cover all that was found into ``tests/fuzz/corpus``, where files that were given names stay as they are.

The input of every failure is kept, be it that the fuzzer died of it without a word, or had to be killed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from tests.fuzz.doors import CORPUS, DOORS
from tests.fuzz.one import left_in
from tests.fuzz.seeds import write
from tests.house import ROOT

__all__ = ["main"]

WORK = ROOT / ".hubkit" / "fuzz"
#: Of each door, so many files and bytes are kept in the repository.
FILES, BYTES = 30, 24_000

#: Seconds beyond its time after which a fuzzer, or the replay of one input, is taken to hang, and killed.
PATIENCE = 90.0

_PROGRESS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_RUNS = re.compile(r"^(?:stat::number_of_executed_units: |Done )(\d+)", re.MULTILINE)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{16}")  # of libFuzzer's, and of the seeds


@dataclass(frozen=True)
class Result:
    """What became of one door."""

    door: str
    runs: int
    edges: int
    features: int
    inputs: int
    seconds: float
    broken: tuple[Path, ...]
    told: str  # the end of what the fuzzer said, if it broke

    def __str__(self) -> str:
        state = "ok" if not self.told else "BROKEN"
        return (
            f"  {self.door:<9} {state:<6} {self.runs:>9,} runs, {self.runs / max(self.seconds, 1e-9):>7,.0f} a second; "
            f"{self.edges:>5,} edges, {self.features:>6,} features, {self.inputs:>4,} inputs"
        )


def _fuzz(door: str, seconds: float) -> Result:
    found, broken = WORK / door, WORK / "broken" / door
    for directory in (found, broken, CORPUS / door):
        directory.mkdir(parents=True, exist_ok=True)
    before, at = set(broken.iterdir()), WORK / f"at-{door}"
    at.unlink(missing_ok=True)
    options = [f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={broken}/", "-print_final_stats=1"]
    began = time.monotonic()
    code, said = _python("tests.fuzz.one", door, at, *options, found, CORPUS / door, within=seconds + PATIENCE)
    save(left_in(at), broken, before)
    lines = _PROGRESS.findall(said)
    executed, edges, features, inputs = map(int, lines[-1]) if lines else (0, 0, 0, 0)
    counted = _RUNS.search(said)
    runs = int(counted[1]) if counted else executed
    new = tuple(sorted(set(broken.iterdir()) - before))
    failed = bool(code) or bool(new)
    return Result(
        door, runs, edges, features, inputs, time.monotonic() - began, new, _told(said, new) if failed else ""
    )


def save(data: bytes | None, broken: Path, before: set[Path]) -> None:
    """Keep the input at which the fuzzer ended, if it has not kept it itself."""
    if data is None or any(path.read_bytes() == data for path in set(broken.iterdir()) - before):
        return
    (broken / f"end-{sha1(data).hexdigest()}").write_bytes(data)


def _told(said: str, broken: tuple[Path, ...]) -> str:
    """What is worth showing: how the input fails without the fuzzer; if there is none, the last that the fuzzer said."""
    if not broken:
        return said[-2000:].strip()
    code, alone = _python("tests.fuzz.run", "--replay", broken[0], within=PATIENCE)
    return alone[-4000:].strip() if code else f"{said[-4000:].strip()}\n(run alone it held)"


def _python(module: str, *arguments: object, within: float) -> tuple[int, str]:
    """The exit code and the words of such a process; one that hangs is killed, and has failed."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    out, env = subprocess.PIPE, {**os.environ, "PYTHONHASHSEED": "0"}
    with subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=env) as process:
        try:
            said, why = process.communicate(timeout=within)[0], ""
        except subprocess.TimeoutExpired:
            process.kill()
            said, why = process.communicate()[0], f"\nkilled: it hangs, {within:.0f} s after its start"
    return process.returncode, said.decode("utf-8", "replace") + why


def run(doors: Sequence[str], seconds: float, jobs: int) -> int:
    """Fuzz all of these for so many seconds of real time; 1 if a law was broken."""
    write(WORK)
    share = seconds * jobs / len(doors)
    with ThreadPoolExecutor(jobs) as pool:
        results = []
        for result in pool.map(lambda door: _fuzz(door, share), doors):
            results.append(result)
            _say(result)
            if result.told:
                _say(f"\n{result.told}\n")
                for path in (path.relative_to(ROOT) for path in result.broken):
                    _say(f"  input:  {path}\n  replay: {sys.executable} -m tests.fuzz.run --replay {path}")
    failed = [result.door for result in results if result.told]
    total = sum(result.runs for result in results)
    _say(f"{total:,} runs of {len(results)} doors; " + (f"broken: {', '.join(failed)}" if failed else "all held"))
    return 1 if failed else 0


def replay(path: Path) -> int:
    """Run one input; its directory says at which door. 1 if it breaks the law."""
    if path.parent.name not in DOORS:
        _say(f"{path.parent} is no directory of a door: {', '.join(DOORS)}")
        return 2
    DOORS[path.parent.name].enter(path.read_bytes())
    _say(f"{path}: held")
    return 0


def keep(door: str) -> None:
    """Put the smallest inputs that cover all that was found into the repository, in the place of those before."""
    target = CORPUS / door
    target.mkdir(parents=True, exist_ok=True)
    found = [path for place in (target, WORK / door) for path in place.iterdir()]
    ways = {data: _covered(door, data) for data in {path.read_bytes() for path in found}}
    seen: set[object] = set()
    kept: dict[str, bytes] = {}
    while ways and len(kept) < FILES:
        data = max(ways, key=lambda data: (len(ways[data] - seen), -len(data), data))
        new = ways.pop(data) - seen
        if not new:
            break
        if sum(map(len, kept.values())) + len(data) <= BYTES:
            seen |= new
            kept[sha1(data).hexdigest()] = data  # a name
    for old in target.iterdir():
        if _HASH.fullmatch(old.name):
            old.unlink()
    for name, data in kept.items():
        (target / name).write_bytes(data)
    _say(f"{door}: {len(kept)} inputs, {sum(map(len, kept.values())):,} bytes, {len(seen):,} branches")


def _covered(door: str, data: bytes) -> set[object]:
    """The branches of hubkit that an input takes."""
    coverage: Any = importlib.import_module("coverage")
    measured = coverage.Coverage(data_file=None, branch=True, source_pkgs=["hubkit"], messages=False)
    with measured.collect():
        DOORS[door].enter(data)
    found = measured.get_data()
    return {(file, arc) for file in found.measured_files() for arc in found.arcs(file) or ()}


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201  # it is what this is for


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="real seconds, for all doors together")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; by default one for each core")
    parser.add_argument("--door", choices=DOORS, action="append", help="one door, or several; by default all")
    parser.add_argument("--replay", type=Path, help="run this input once, without the fuzzer")
    parser.add_argument(
        "--keep", action="store_true", help="write the corpus of the repository anew from what was found"
    )
    options = parser.parse_args()
    doors = options.door or list(DOORS)
    if options.replay is not None:
        return replay(options.replay)
    if options.keep:
        for door in doors:
            keep(door)
        return 0
    return run(doors, options.seconds, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
