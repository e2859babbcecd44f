"""The arguments of ``hubkit``, and how it ends.

Law of this room: whatever a user can mend is one line on stderr and an exit code: 0 done, 1 the world refused (the port is
taken, nobody answers, the secret is another one), 2 the arguments make no sense, 128 + n ended by signal n. A traceback is
for bugs, the user's or ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from hubkit._version import __version__
from hubkit.cli.failure import Failure
from hubkit.cli.secrets import VARIABLE, read_secrets

__all__ = ["main"]

LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (by default those of this process), and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(options, "command", None)
    if command is None:
        parser.print_help()
        return 2
    try:
        code = command(options)
        sys.stdout.flush()
    except Failure as failure:
        _complain(str(failure))
        return failure.exit_code
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Python flushes stdout once more at exit: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


# -- the commands: each imports what it needs when it is called, so that --help is quick ------------------------------------


def _demo(options: argparse.Namespace) -> int:
    from hubkit.cli.demo import demo

    return demo()


def _run(options: argparse.Namespace) -> int:
    from hubkit.cli.run import RunOptions, run

    _log_to_stderr(options.log_level)
    return run(
        RunOptions(
            options.target,
            listen=options.listen,
            advertise=options.advertise,
            join=tuple(options.join),
            name=options.name,
            hub=options.hub,
            secrets=read_secrets(options.secret_file),
        )
    )


def _status(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import status

    return status(options.url, as_json=options.json, secrets=read_secrets(options.secret_file))


def _children(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import children

    return children(options.url, hub=options.hub, as_json=options.json, secrets=read_secrets(options.secret_file))


def _links(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import links

    return links(options.url, as_json=options.json, secrets=read_secrets(options.secret_file))


def _sim(options: argparse.Namespace) -> int:
    from hubkit.cli.sim import SimOptions, sim

    _log_to_stderr(options.log_level)
    return sim(
        SimOptions(
            options.target,
            seed=options.seed,
            seeds=options.seeds,
            seconds=options.seconds,
            jobs=options.jobs,
            trace=options.trace,
            plan=options.plan,
            network=options.network,
            limit=options.limit,
            checkers=tuple(options.checkers),
            check=options.check,
            keep_going=options.keep_going,
            as_json=options.json,
        )
    )


# -- the arguments ----------------------------------------------------------------------------------------------------------

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

CHILDREN = """\
Ask a running node which children there are, and where they run.

example:
  hubkit children ws://127.0.0.1:4040 --hub shop
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


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message} (see {self.prog} --help)")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hubkit", description=MAIN, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"hubkit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    def add(
        name: str, summary: str, text: str, command: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(name, help=summary, description=text, formatter_class=raw, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    add("demo", "three processes, sixty children, one SIGKILL: see what happens", DEMO, _demo)
    _add_run(add("run", "run a program on a hub", RUN, _run))
    _add_sim(add("sim", "run a scenario in simulated time, with one seed or many", SIM, _sim))
    asked = add("status", "how a running node is", STATUS, _status)
    _add_question(asked)
    asked = add("children", "what runs where", CHILDREN, _children)
    _add_question(asked)
    asked.add_argument("--hub", metavar="ID", help="only the children of this hub (default: of all hubs on the node)")
    _add_question(add("links", "how a running node's links are", LINKS, _links))
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="module:function",
        help="what to run, also file.py:function; the current directory is searched first",
    )


def _add_run(run: argparse.ArgumentParser) -> None:
    _add_target(run)
    run.add_argument("--listen", metavar="URL", help="where to listen, e.g. ws://127.0.0.1:4040 (port 0: a free one)")
    run.add_argument("--advertise", metavar="URL", help="what others dial, if that is not what --listen says")
    run.add_argument(
        "--join",
        metavar="URL",
        action="append",
        default=[],
        help="a node to join, or where to find nodes: dns://name:port, srv://name, file:///path, multicast://group:port; "
        "may be given several times",
    )
    run.add_argument("--name", metavar="NAME", help="the node's name, unique in the mesh (default: its host:port)")
    run.add_argument("--hub", metavar="ID", help="the hub's id (default: the module's name, without its packages)")
    _add_secret(run)
    run.add_argument("--log-level", choices=LEVELS, default="info", help="what to log on stderr (default: info)")


def _add_sim(sim: argparse.ArgumentParser) -> None:
    _add_target(sim)
    sim.add_argument("--seed", metavar="N", type=int, help="the seed (default: 0)")
    sim.add_argument(
        "--seeds", metavar="A..B", help="all seeds from A to B; A.. has no end, and a number means so many, from 0"
    )
    sim.add_argument("--seconds", metavar="S", type=float, help="run one seed after another for so long")
    sim.add_argument("--jobs", metavar="J", type=int, help="how many processes run seeds (default: one a core)")
    sim.add_argument("--keep-going", action="store_true", help="go on after a seed that failed")
    sim.add_argument("--check", action="store_true", help="run each seed twice, and compare: where do the runs part?")
    sim.add_argument(
        "--plan", metavar="PLAN", help="what goes wrong and when: 'FaultPlan(...)', as a failure prints it"
    )
    sim.add_argument(
        "--checker",
        metavar="CHECKER",
        action="append",
        default=[],
        dest="checkers",
        help="what must hold at every step, e.g. 'single_owner(overlap=5.0)'; may be given several times",
    )
    sim.add_argument(
        "--network",
        metavar="NETWORK",
        help="simulated; some of latency=0.01,jitter=0.005,bandwidth=1e6,break_rate=0.001 (seconds, bytes a second, breaks a "
        "second); or websocket: real links, in real time",
    )
    sim.add_argument(
        "--limit", metavar="SECONDS", type=float, help="virtual seconds after which it has failed (default: 3600)"
    )
    sim.add_argument(
        "--trace", metavar="FILE", help="write the timeline of the run, or of the first failing seed: HTML"
    )
    sim.add_argument("--json", action="store_true", help="print JSON, for programs")
    sim.add_argument("--log-level", choices=LEVELS, default="error", help="what to log on stderr (default: error)")


def _add_question(asked: argparse.ArgumentParser) -> None:
    asked.add_argument("url", metavar="URL", help="the node's address, e.g. ws://127.0.0.1:4040")
    asked.add_argument("--json", action="store_true", help="print JSON, for programs")
    _add_secret(asked)


def _add_secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secret-file",
        metavar="FILE",
        help=f"a file with what the nodes prove to each other that they know, one secret a line: the first is used, "
        f"all are accepted (default: the environment variable {VARIABLE}, if it is set)",
    )


# -- what is said -----------------------------------------------------------------------------------------------------------


def _complain(message: str) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"hubkit: {line}\n")


class _Formatter(logging.Formatter):
    """A record is a line; only a traceback, indented, may follow it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, info: object) -> str:  # noqa: N802  # logging's own name
        text = super().formatException(info)  # type: ignore[arg-type]  # passed on as it came
        return "".join(f"    {line}\n" for line in text.splitlines()).removesuffix("\n")


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
