"""Ctrl-C: a real program with a tree of supervisors ends promptly, and every child has its ``on_stop``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house import ROOT

PROGRAM = """
import signal, sys, trio, trio.testing, hubkit

# What is started in the background may have been told to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def say(*words):
    print(*words, flush=True)

class Child(hubkit.Actor):
    def __init__(self, name):
        self.name = name

    async def on_start(self):
        self.context.nursery.start_soon(trio.sleep_forever)

    async def spin(self):
        say("ready")
        while True:
            pass

    async def sleep(self):
        self.context.nursery.start_soon(self.tell)
        await trio.sleep(0.5)  # a message in progress is handled

    async def tell(self):
        await trio.testing.wait_all_tasks_blocked()
        say("ready")

    async def on_stop(self, reason):
        await trio.sleep(0.01)
        say("stop", self.name, reason)

def child(name):
    return hubkit.child(name, Child, name)

async def main():
    low = hubkit.child("low", hubkit.Supervisor, [child("x"), child("y")])
    try:
        async with hubkit.Supervisor(children=[child("a"), low, child("b")]) as supervisor:
            if sys.argv[1] == "idle":
                say("ready")
                await trio.sleep_forever()
            else:
                await supervisor.ref("a").call(sys.argv[1])
    finally:
        say("left")

try:
    trio.run(main)
except KeyboardInterrupt:
    say("interrupted")
"""


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ("idle", ["b", "y", "x", "a"]),
        ("sleep", ["b", "y", "x", "a"]),
        # It strikes the child that computes: that says its goodbye first.
        ("spin", ["a", "b", "y", "x"]),
    ],
)
def test_ctrl_c(where: str, order: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, program, where], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    lines = [line for line in told.splitlines() if line.split()[0] in ("stop", "left", "interrupted")]
    assert lines == [*(f"stop {name} shutdown" for name in order), "left", "interrupted"], told
    assert process.returncode == 0
