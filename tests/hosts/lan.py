"""Five machines on a switch, for tests: network namespaces, each with an address of its own, on a bridge.

Law of this room: all of it lives in one private world, a mount and a network namespace that belong to a process on a leash.
When that process ends, of whatever cause, the kernel takes everything away: nothing is ever made that could be left behind on
the machine, and nothing that the machine has is touched. Root is not needed where the kernel lets users have namespaces.

How packets are lost: a `cut` gives a host a false hardware address for another one, so what it sends there goes into the void,
in one direction, without a word to the sender, as on a real network. `unplug` takes the carrier away. A `slow` cable is a
process that passes frames on late, or never (see `tests.hosts.cable`): not every kernel can delay packets itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Self

from tests.house import ROOT

__all__ = ["Host", "Lan", "ToolsMissing", "Unable"]

BRIDGE = "10.77.0.254"
VOID = "02:00:00:00:de:ad"

#: What a kernel says that lacks the parts.
LACKING = ("unknown device type", "not supported", "no such device", "operation not permitted")


class Unable(Exception):
    """This machine cannot do it. The text says why."""


class ToolsMissing(Unable):
    """It could, if more were installed."""


def _namespaces() -> list[str]:
    """The command that makes a private world."""
    if not sys.platform.startswith("linux"):
        msg = f"network namespaces are Linux's, and this is {sys.platform}"
        raise Unable(msg)
    missing = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if missing:
        msg = f"{', '.join(missing)} not found: install iproute2 and util-linux"
        raise ToolsMissing(msg)
    why = ""
    for more in ([], ["--user", "--map-root-user"]):
        command = ["unshare", "--net", "--mount", *more]
        tried = subprocess.run(
            [*command, "sh", "-c", "mount -t tmpfs none /run"], capture_output=True, text=True, timeout=20, check=False
        )
        if tried.returncode == 0:
            return command
        why = tried.stderr.strip()
    msg = f"no namespaces for this user: {why}"
    raise Unable(msg)


class Host:
    """One machine."""

    def __init__(self, lan: Lan, name: str, number: int) -> None:
        self._lan = lan
        self.name = name
        self._number = number
        self.address = f"10.77.0.{number}"

    def __repr__(self) -> str:
        return f"<host {self.name} at {self.address}>"

    @property
    def prefix(self) -> list[str]:
        """What must stand before a command, so that it runs on this host. It stays the same process."""
        return [*self._lan.inside, "nsenter", f"--net=/run/netns/{self.name}"]

    def cut(self, *others: Host) -> None:
        """What this host sends to these is lost from now on. What they send arrives."""
        lines = [f"neigh replace {other.address} lladdr {VOID} nud permanent dev eth0" for other in others]
        self._lan.ip(*(f"-n {self.name} {line}" for line in lines))

    def unplug(self) -> None:
        """Pull the cable out."""
        self._lan.ip(f"link set p{self.name} down")

    def move_to(self, number: int) -> None:
        """Give it another address; the old one is nobody's."""
        old, self.address = self.address, f"10.77.0.{number}"
        if old == self.address:
            return
        self._lan.ip(
            f"-n {self.name} addr del {old}/24 dev eth0",
            f"-n {self.name} addr add {self.address}/24 brd + dev eth0",
            f"-n {self.name} route replace default via {BRIDGE}",
        )

    def move_back(self) -> None:
        """Give it the address that it had in the beginning."""
        self.move_to(self._number)

    def slow(self, *, delay: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Put a bad cable in: seconds of delay, and up to ``jitter`` more; the share of frames that is lost."""
        port = f"q{self.name}"
        self._lan.ip(
            f"link add {port} type veth peer name r{self.name}",
            f"link set {port} up",
            f"link set p{self.name} nomaster",
            f"link set r{self.name} master br0 up",
        )
        self._lan.cable(self.name, f"p{self.name}", port, delay, jitter, loss)


class Lan:
    """A switch, and hosts of these names. Use it as a context manager. Raises `Unable`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.hosts = {name: Host(self, name, number) for number, name in enumerate(names, 1)}
        self._cables: dict[str, subprocess.Popen[bytes]] = {}
        command = _namespaces()
        self._user = "--user" in command
        setup = ["mount -t tmpfs none /run", "mkdir /run/netns", *map(_ip, self._setup())]
        self._world = subprocess.Popen(
            [*command, "sh", "-c", f"{' && '.join(setup)} && echo ready && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._world.stdout is not None
        assert self._world.stderr is not None
        if self._world.stdout.readline() != b"ready\n":
            why = self._world.stderr.read().decode().strip()
            self.close()
            if any(word in why.lower() for word in LACKING):
                msg = f"the kernel has no bridges or cables between namespaces: {why}"
                raise Unable(msg)
            raise AssertionError(why)

    def _setup(self) -> Iterator[str]:
        yield "link set lo up"
        yield "link add br0 type bridge"
        yield f"addr add {BRIDGE}/24 brd + dev br0"
        yield "link set br0 up"
        for host in self.hosts.values():
            name = host.name
            yield f"netns add {name}"
            yield f"link add p{name} type veth peer name eth0 netns {name}"
            yield f"link set p{name} master br0 up"
            yield f"-n {name} link set lo up"
            yield f"-n {name} addr add {host.address}/24 brd + dev eth0"
            yield f"-n {name} link set eth0 up"
            yield f"-n {name} route add default via {BRIDGE}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def inside(self) -> list[str]:
        """What must stand before a command, so that it runs in this world."""
        user = ["--user", "--preserve-credentials"] if self._user else []
        return ["nsenter", f"--target={self._world.pid}", *user, "--mount", "--net"]

    def ip(self, *lines: str) -> None:
        """Run ``ip`` with each of these arguments."""
        if lines:
            script = " && ".join(map(_ip, lines))
            done = subprocess.run(
                [*self.inside, "sh", "-c", script], capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode == 0, f"{script}: {done.stderr}"

    def cable(self, name: str, one: str, other: str, delay: float, jitter: float, loss: float) -> None:
        """Let a process be the cable between two ports of the world."""
        self._cables[name] = process = subprocess.Popen(
            [*self.inside, sys.executable, "-m", "tests.hosts.cable", one, other, str(delay), str(jitter), str(loss)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", "the cable broke"

    def part(self, *groups: Sequence[Host]) -> None:
        """No host of one group reaches one of another."""
        for group in groups:
            for host in group:
                host.cut(*(other for others in groups if others is not group for other in others))

    def mend(self) -> None:
        """Every host reaches every other again, at once."""
        lines = []
        for name, process in self._cables.items():
            _end(process)
            lines += [f"link del q{name}", f"link set p{name} master br0"]
        self._cables.clear()
        for host in self.hosts.values():
            lines += [f"link set p{host.name} up", f"-n {host.name} neigh flush dev eth0 nud permanent"]
        self.ip(*lines)
        for host in self.hosts.values():
            host.move_back()

    def close(self) -> None:
        """End the world. Whatever still runs on its hosts has lost its network."""
        for process in (*self._cables.values(), self._world):
            _end(process)


def _ip(line: str) -> str:
    return f"ip {shlex.join(line.split())}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
