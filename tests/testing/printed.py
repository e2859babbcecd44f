"""Commands that failures print: taken out of what was printed, and run as they stand, in processes of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hubkit", "-p", "_hubkit_pytest")
HUBKIT = (sys.executable, "-P", "-m", "hubkit.cli")


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run it there, with nothing of this run of pytest around it."""
    own = ("PYTEST_", "HYPOTHESIS_", "HUBKIT_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return subprocess.run(
        command, cwd=directory, env=variables, capture_output=True, text=True, timeout=50, check=False
    )


def run_pytest(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there."""
    return run(directory, *PYTEST, "-o", "trio_mode=true", *options)


def run_printed(directory: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that was printed, there."""
    program, *arguments = shlex.split(command)
    return run(directory, *HUBKIT, *arguments) if program == "hubkit" else run_pytest(directory, *arguments)


def printed(output: str) -> list[str]:
    """The commands that replay what failed: of the notes, and of the plugin's sections."""
    return re.findall(r"(?:replay it with: |^replay: +)(.*)$", output, re.MULTILINE)


def failures(output: str) -> set[tuple[str, str]]:
    """The traces of all that failed, each with what its scenario said of it (`it broke: ...`)."""
    said = set(re.findall(r"it broke: ([\w.-]+)", output))
    return {(trace, word) for trace in re.findall(r"trace (\w{32})", output) for word in said}
