"""What a command prints and cannot write: told in one line, by the exit code, and never with a traceback."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest
import trio
from tests.cli.shell import HUBKIT, SHOP, Run, environment, running
from tests.processes.harness import free_ports

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")

QUESTIONS = ["status", "explain c1", "top --count 2 --interval 0.1"]


async def ended(command: str, *, unbuffered: bool = False) -> tuple[int, str]:
    """Run ``hubkit`` in a shell, with redirections; its exit code, and what it said on stderr."""
    line = f'exec "$@" {command}'
    done = await trio.run_process(
        ["sh", "-c", line, "sh", *HUBKIT],
        env=environment(PYTHONUNBUFFERED="1" if unbuffered else ""),
        stdin=subprocess.DEVNULL,
        capture_stderr=True,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.limit(120)  # fifteen processes, one after the other
async def test_a_full_disk_and_a_closed_stdout(tmp_path: Path) -> None:
    full = (1, "hubkit: the output could not be written: No space left on device\n")
    closed = (1, "hubkit: the output could not be written: stdout is closed\n")
    (tmp_path / "shop.py").write_text(SHOP)
    async with running("run", "shop:main", "--listen", "ws://127.0.0.1:0", cwd=tmp_path) as shop:
        await shop.says("ready")
        url = await shop.url()
        asked = [f"{first} {url} {' '.join(rest)}" for first, *rest in map(str.split, QUESTIONS)]
        for command in ("--help", "demo", *asked):
            assert await ended(f"{command} > {FULL}") == full, command
        for command in ("--version", asked[-1]):
            assert await ended(f"{command} > {FULL}", unbuffered=True) == full, command
            assert await ended(f"{command} >&-") == closed, command
        assert await ended(f"--version > {FULL} 2> {FULL}") == (1, "")
        assert await ended("--version >&- 2>&-") == (1, "")


async def test_what_fails_otherwise_says_so() -> None:
    """An exit code can be the last thing that is left."""
    code, said = await ended(f"status ws://127.0.0.1:1 > {FULL}")
    assert (code, said) == (1, "hubkit: nobody listens at ws://127.0.0.1:1\n")
    assert await ended(f"status nonsense > {FULL} 2> {FULL}") == (2, "")


@pytest.mark.parametrize("where", [f"> {FULL} 2> {FULL}", ">&- 2>&-", f"2> {FULL}"])
async def test_a_node_whose_log_cannot_be_written_goes_on(where: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        SHOP.replace('    print("ready", flush=True)\n', "    open('ready', 'w').close()\n")
    )
    (port,) = free_ports(1)
    process = await trio.lowlevel.open_process(
        ["sh", "-c", f'exec "$@" {where}', "sh", *HUBKIT, "run", "shop:main", "--listen", f"ws://127.0.0.1:{port}"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = Run(process)
    try:
        with trio.fail_after(20):
            while not (tmp_path / "ready").exists():
                assert process.poll() is None
                await trio.sleep(0.02)
            for _ in range(20):  # lines about strangers cannot be written either
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(b"nonsense\r\n\r\n")
                    await stream.receive_some()
            done = await trio.run_process(
                [*HUBKIT, "children", f"ws://127.0.0.1:{port}"], env=environment(), capture_stdout=True
            )
            assert len(re.findall(rb"running", done.stdout)) == 5
            run.signal(signal.SIGTERM)
            assert await run.ends() == 0
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
