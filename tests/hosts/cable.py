"""A bad cable: passes frames from one network interface to another, late, or never.

``python -m tests.hosts.cable ONE OTHER DELAY JITTER LOSS``, with seconds and a share. Frames keep their order in each
direction, as on a cable. They travel with the kernel's notes on them (checksums and segments that are still to be made).
Standard input is a leash: when it closes, the cable ends.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections import deque

__all__ = ["main"]

PACKET_VNET_HDR, SOL_PACKET, EVERYTHING = 15, 263, 0x0003
LONGEST = 1 << 17
WAITING = 10_000  # frames in one direction; beyond, they are lost, as in every switch


def _plug(interface: str) -> socket.socket:
    plug = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    plug.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    plug.bind((interface, EVERYTHING))
    plug.setblocking(False)
    return plug


def main(one: str, other: str, delay: float, jitter: float, loss: float) -> None:
    """Pass frames on until standard input ends."""
    plugs = [_plug(one), _plug(other)]
    lines: list[deque[tuple[float, bytes]]] = [deque(), deque()]  # what is on its way to each plug
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        waits = [line[0][0] - time.monotonic() for line in lines if line]
        ready, _, _ = select.select([sys.stdin, *plugs], [], [], max(0.0, min(waits)) if waits else None)
        if sys.stdin in ready:
            return
        for end, plug in enumerate(plugs):
            line = lines[1 - end]
            while plug in ready:
                try:
                    frame, about = plug.recvfrom(LONGEST)
                except BlockingIOError:
                    break
                if about[2] == socket.PACKET_OUTGOING or random.random() < loss or len(line) >= WAITING:
                    continue
                due = time.monotonic() + delay + jitter * random.random()
                line.append((max(due, line[-1][0]) if line else due, frame))
        for plug, line in zip(plugs, lines, strict=True):
            while line and line[0][0] <= time.monotonic():
                try:
                    plug.send(line.popleft()[1])
                except OSError:  # the interface is down, or its queue is full: the frame is lost
                    continue


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6]))
