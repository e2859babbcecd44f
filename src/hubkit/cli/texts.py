"""What ``hubkit COMMAND --help`` says before the arguments."""

from __future__ import annotations

__all__ = ["CHILDREN", "DEMO", "DRAIN", "EXPLAIN", "LINKS", "MAIN", "PLAN", "RUN", "SIM", "STATUS", "TOP", "TREE"]

MAIN = """\
Actors, supervisors, and a hub that keeps named children alive over many processes.
"""

RUN = """\
Run the async function `function` of `module` on a hub. It is given the open hub:

    async def main(hub: hubkit.Hub) -> None:
        await hub.start_children([hubkit.child("counter", Counter)], check_existing=False)
        await trio.sleep_forever()

When it returns, the hub hands its children over to the other nodes, and the command exits 0. When it raises, they are
stopped here, and it exits 1. The log is on stderr, and says at which URL the node is open.

signals:
  SIGTERM, SIGINT   cancel the function and hand the children over, then exit 0
  a second one      stop the children here, within their bounds, then exit 128 + its number
  a third one       end the process on the spot

example:
  hubkit run shop:main --listen ws://127.0.0.1:4040
  hubkit run shop:main --listen ws://127.0.0.1:4041 --join ws://127.0.0.1:4040
  hubkit run shop:main --listen ws://10.0.0.1:4040 --join dns://shop.internal:4040 --secret-file secret
"""

STATUS = """\
Ask a running node how it is, which hubs it has, and which other nodes it sees.

example:
  hubkit status ws://127.0.0.1:4040
"""

TREE = """\
Ask a running node what runs on it: its children of each hub, what supervisors among them look after, how often each was
restarted, how many messages it has handled, how many wait, and for how many seconds the oldest of them has waited.

example:
  hubkit tree ws://127.0.0.1:4040 --hub shop
"""

CHILDREN = """\
Ask a running node which children there are, and where they run.

example:
  hubkit children ws://127.0.0.1:4040 --hub shop
"""

EXPLAIN = """\
Ask a running node why a child is where it is: by which rule, as that node sees it, and what is waited for.

example:
  hubkit explain ws://127.0.0.1:4040 cart-7 --hub shop
"""

PLAN = """\
Ask a running node which children would move if nodes came or went. Nothing is done.

example:
  hubkit plan ws://127.0.0.1:4040 --remove 127.0.0.1:4041
  hubkit plan ws://127.0.0.1:4040 --add d --add e
"""

DRAIN = """\
Let a running node leave: its children are handed over to the other nodes, as at the end of its program. A program that is run
by `hubkit run` then ends, with exit code 0; in another one the hub is told (event HubStopping), and the program goes on.

example:
  hubkit drain ws://127.0.0.1:4040
"""

TOP = """\
Show what a running node is busy with, once a second: its hubs, and its children, those first that handle the most messages.
Ctrl-C ends it.

example:
  hubkit top ws://127.0.0.1:4040
  hubkit top ws://127.0.0.1:4040 --count 1 --json
"""

LINKS = """\
Ask a running node how its links to other nodes are: for how long they are up, how long the way there and back takes
(measured every four beats), what has gone each way, how many messages share a frame, how much waits to be sent, how many
requests are held back because a mailbox there is full, and how often the link came up again. "over c": there is no link, but
a detour over that node. Below: why the last link to a node ended, and why there is none to those that are dialled in vain.

example:
  hubkit links ws://127.0.0.1:4040
"""

SIM = """\
Run the async function `function` of `module` as a simulation: whole hubs, virtual time, one seed for all that is left to
chance. A seed is clean if the function returns, and no invariant was violated:

    async def main(sim: hubkit.testing.Simulation) -> None:
        a, b, c = [await sim.start_hub("shop", node=name) for name in "abc"]
        sim.crash("a")
        await sim.settled(within=60)
        sim.check()

With --seeds or --seconds it is run with many, on all cores, until one fails: then the first failing seed is told, and the
exit code is 1. --trace writes a page for a browser: who owned what, what was sent, and what went wrong, on one time axis.

`module` may be a file. The function may be a test made by hubkit.testing.simulated, also with @given above it: then the
network, the checkers and the limit are those of the test, unless they are given here. A second parameter is the plan.

example:
  hubkit sim shop:main --seed 7 --trace seven.html
  hubkit sim shop:main --seeds 1..1000 --trace failure.html
  hubkit sim shop:main --seconds 3600 --keep-going
  hubkit sim tests/test_shop.py:test_any_disaster --seed 7 --plan "FaultPlan(...)"
"""

DEMO = """\
Start three node processes on this machine, spread sixty children over them, kill one process with SIGKILL, and watch the
children come back; then add a node, stop another one, and count. It takes about ten seconds, needs no network but
loopback, and leaves nothing behind. Exits 0 if every child ran exactly once in the end, else 1.

example:
  hubkit demo
  NO_COLOR=1 hubkit demo
"""
