"""A flood of connections, from a process of its own.

``python -m tests.net.flood HOST PORT SOURCE AT_ONCE TOTAL``: from the address SOURCE, open connections that say nothing, so
many at a time and so many in all; whoever is hung up on comes again. Says ``opened TOTAL`` when all were, and ends when its
standard input does.
"""

from __future__ import annotations

import select
import socket
import sys

__all__ = ["main"]


def main(host: str, port: int, source: str, at_once: int, total: int) -> None:
    """Flood."""
    held: dict[int, socket.socket] = {}
    ears = select.poll()
    count = 0
    while count < total:
        while len(held) < at_once and count < total:
            line = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            line.bind((source, 0))
            count += 1
            try:
                line.connect((host, port))
            except OSError:
                line.close()
                continue
            held[line.fileno()] = line
            ears.register(line, select.POLLIN)
        for number, _ in ears.poll(100):
            ears.unregister(number)
            held.pop(number).close()
    sys.stdout.write(f"opened {count}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
