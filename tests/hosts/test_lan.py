"""The network of these tests does what they believe it does, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import trio
from tests.hosts.lan import Host, Lan
from tests.house import ROOT
from tests.processes.harness import until

ECHO = """
import os, socket, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # a leash
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.bind(("0.0.0.0", 5000))
print("ready", flush=True)
while True:
    data, sender = line.recvfrom(2000)
    print("heard", flush=True)
    line.sendto(data, sender)
"""

ASK = """
import socket, sys
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.settimeout(float(sys.argv[2]))
line.sendto(b"x", (sys.argv[1], 5000))
line.recvfrom(2000)
"""


class Echo:
    """A host that answers."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.process = subprocess.Popen(
            [*host.prefix, sys.executable, "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.says("ready")

    def says(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def answers(here: Host, there: Host, within: float = 5.0) -> bool:
    """Whether a datagram from one host comes back from another."""
    command = [*here.prefix, sys.executable, "-c", ASK, there.address, str(within)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode == 0


@pytest.fixture
def echo(lan: Lan) -> Iterator[Echo]:
    found = Echo(lan["b"])
    yield found
    found.close()


def test_a_cut_is_one_way_and_mended(lan: Lan, echo: Echo) -> None:
    a, b, c = lan["a"], lan["b"], lan["c"]
    assert answers(a, b)
    echo.says("heard")
    b.cut(a)
    assert not answers(a, b, within=0.5)
    echo.says("heard")  # it came, and the answer did not
    assert answers(c, b)
    echo.says("heard")
    a.cut(b)
    assert not answers(a, b, within=0.5)
    lan.mend()
    assert answers(a, b)
    echo.says("heard")  # the one before did not come


def test_a_cable_can_be_pulled_out_and_a_host_move(lan: Lan, echo: Echo) -> None:
    a, b = lan["a"], lan["b"]
    b.unplug()
    assert not answers(a, b, within=0.5)
    lan.mend()
    assert answers(a, b)
    b.move_to(77)
    assert b.address == "10.77.0.77"
    assert answers(a, b)
    lan.mend()
    assert b.address == "10.77.0.2"
    assert answers(a, b)


def test_a_slow_cable_is_slow_and_loses(lan: Lan, echo: Echo) -> None:
    a, b = lan["a"], lan["b"]
    b.slow(delay=0.3)
    assert not answers(a, b, within=0.5)
    began = time.monotonic()
    assert answers(a, b)
    assert time.monotonic() - began > 0.6
    lan.mend()
    b.slow(delay=0.0, loss=1.0)
    assert not answers(a, b, within=0.5)
    lan.mend()
    assert answers(a, b)


def ids(pid: object) -> set[str]:
    """The namespaces of a process."""
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt")}


def inhabited(namespaces: set[str]) -> bool:
    """Whether any process is left in them."""
    for pid in filter(re.compile(r"\d+").fullmatch, os.listdir("/proc")):
        try:
            if namespaces & ids(pid):
                return True
        except OSError:
            continue  # it has ended, or is not ours to look at
    return False


def test_a_world_that_ends_leaves_nothing_behind(lan: Lan) -> None:
    before = sorted(os.listdir("/sys/class/net"))
    with Lan(["x", "y"]) as world:
        made = ids(world._world.pid)
        echo = Echo(world["x"])
        assert answers(world["y"], world["x"])
        assert inhabited(made)
        assert made.isdisjoint(ids("self"))
        assert sorted(os.listdir("/sys/class/net")) == before
    echo.close()
    assert not inhabited(made)


def test_it_ends_with_whoever_made_it_however_that_ends(lan: Lan) -> None:
    program = (
        "import time; from tests.hosts.lan import Lan\n"
        "lan = Lan(['x', 'y']); lan['x'].slow(delay=0.1); print(lan._world.pid, flush=True); time.sleep(60)"
    )
    maker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    with maker.stdout:
        made = ids(int(maker.stdout.readline()))
    maker.kill()
    maker.wait(10)

    async def gone() -> None:
        await until(lambda: not inhabited(made), "the world ends")

    trio.run(gone)
