"""The arguments of ``hubkit``, and how it ends.

Law of this room: whatever a user can mend is one line on stderr and an exit code: 0 done, 1 the world refused (the port is
taken, nobody answers, the secret is another one), 2 the arguments make no sense, 128 + n ended by signal n. A traceback is
for bugs, the user's or ours.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any, NoReturn

from hubkit._version import __version__
from hubkit.cli.failure import Failure, WrongUsage
from hubkit.cli.output import Output
from hubkit.cli.secrets import OPERATOR_VARIABLE, VARIABLE, read_secrets
from hubkit.cli.texts import CHILDREN, DEMO, DRAIN, EXPLAIN, LINKS, MAIN, PLAN, RUN, SIM, STATUS, TOP, TREE

__all__ = ["main"]

LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments`` (by default those of this process), and return its exit code."""
    output = Output(sys.stdout)
    ended: SystemExit | None = None
    code = 0
    try:
        try:
            with redirect_stdout(output):
                code = _main(arguments)
        except SystemExit as end:  # of --help, or of the program that was run
            ended = end
        output.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`). Python flushes stdout once more at exit: into nothing.
        output.give_up()
        return 128 + signal.SIGPIPE
    except Exception:  # or a group of such
        if not output.failure:
            raise
    if output.failure:
        _complain(f"the output could not be written: {output.failure}")
        output.give_up()
        return code or 1
    if ended is not None:
        raise ended
    return code


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] | None = getattr(options, "command", None)
    if command is None:
        parser.print_help()
        return 2
    try:
        return command(options)
    except Failure as failure:
        _complain(str(failure))
        return failure.exit_code
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


# -- the commands: each imports what it needs when it is called, so that --help is quick ------------------------------------


def _demo(options: argparse.Namespace) -> int:
    from hubkit.cli.demo import demo

    return demo()


def _run(options: argparse.Namespace) -> int:
    from hubkit.cli.certificates import read_tls
    from hubkit.cli.run import RunOptions, run

    _log_to_stderr(options.log_level)
    asked = RunOptions(
        options.target,
        listen=options.listen,
        advertise=options.advertise,
        join=tuple(options.join),
        name=options.name,
        hub=options.hub,
        secrets=read_secrets(options.secret_file),
        operators=read_secrets(options.operator_secret_file, variable=OPERATOR_VARIABLE),
        tls=read_tls(options.tls_cert, options.tls_ca),
        weight=options.weight,
        labels=_labels(options.label),
        per_address=options.per_address,
    )
    output: object = sys.stdout
    with redirect_stdout(
        output.inner if isinstance(output, Output) else sys.stdout
    ):  # what is printed is the program's
        return run(asked)


def _status(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import status

    return status(options.url, as_json=options.json, **_credentials(options))


def _children(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import children

    return children(options.url, hub=options.hub, as_json=options.json, **_credentials(options))


def _credentials(options: argparse.Namespace) -> dict[str, Any]:
    """What every question shows."""
    from hubkit.cli.certificates import read_tls

    return {"secrets": read_secrets(options.secret_file), "tls": read_tls(options.tls_cert, options.tls_ca)}


def _tree(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import tree

    return tree(options.url, hub=options.hub, as_json=options.json, **_credentials(options))


def _explain(options: argparse.Namespace) -> int:
    from hubkit.cli.operate import explain

    return explain(options.url, options.child, hub=options.hub, as_json=options.json, **_credentials(options))


def _plan(options: argparse.Namespace) -> int:
    from hubkit.cli.operate import plan

    asked = {"hub": options.hub, "add": options.add, "remove": options.remove}
    return plan(options.url, **asked, as_json=options.json, **_credentials(options))


def _drain(options: argparse.Namespace) -> int:
    from hubkit.cli.operate import drain

    return drain(options.url, hub=options.hub, wait=not options.no_wait, as_json=options.json, **_credentials(options))


def _top(options: argparse.Namespace) -> int:
    from hubkit.cli.operate import top

    shown = {"interval": options.interval, "count": options.count}
    return top(options.url, **shown, as_json=options.json, **_credentials(options))


def _links(options: argparse.Namespace) -> int:
    from hubkit.cli.ask import links

    return links(options.url, as_json=options.json, **_credentials(options))


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
    asked = add("tree", "what a node runs, and beneath what", TREE, _tree)
    _add_question(asked)
    asked.add_argument("--hub", metavar="ID", help="only the tree of this hub (default: of all hubs on the node)")
    asked = add("explain", "why a child is where it is", EXPLAIN, _explain)
    _add_question(asked)
    asked.add_argument("child", metavar="CHILD", help="the child's id")
    asked.add_argument(
        "--hub", metavar="ID", help="the hub's id (default: every hub on the node that has such a child)"
    )
    asked = add("plan", "what would move if nodes came or went", PLAN, _plan)
    _add_question(asked)
    asked.add_argument("--hub", metavar="ID", help="only this hub (default: all hubs on the node)")
    for name, what in (("add", "a node that would come"), ("remove", "a node that would go")):
        asked.add_argument(
            f"--{name}", metavar="NAME", action="append", default=[], help=f"{what}; may be given several times"
        )
    asked = add("drain", "let a node leave: its children go to the others", DRAIN, _drain)
    _add_question(asked)
    asked.add_argument("--hub", metavar="ID", help="leave only this hub (default: all hubs on the node)")
    asked.add_argument("--no-wait", action="store_true", help="return at once, and not when the node has left")
    asked = add("top", "what a node is busy with", TOP, _top)
    _add_question(asked)
    asked.add_argument(
        "--interval", metavar="S", type=_seconds, default=1.0, help="seconds between two looks (default: 1)"
    )
    asked.add_argument("--count", metavar="N", type=_count, help="how many looks (default: until Ctrl-C)")
    _add_question(add("links", "how a running node's links are", LINKS, _links))
    return parser


def _labels(texts: Sequence[str]) -> dict[str, str]:
    """The labels that were given. Raises `WrongUsage`."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in labels:
            msg = f"--label {text}: each label is NAME=TEXT, like zone=eu, and is given once"
            raise WrongUsage(msg)
        labels[name] = value
    return labels


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


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
    run.add_argument(
        "--operator-secret-file",
        metavar="FILE",
        help=f"a file with secrets that let operators look, and no more (default: {OPERATOR_VARIABLE}, or the file that "
        f"{OPERATOR_VARIABLE}_FILE names)",
    )
    run.add_argument(
        "--weight",
        metavar="W",
        type=float,
        default=1.0,
        help="the node's share of the children, beside others (default: 1)",
    )
    run.add_argument(
        "--label",
        metavar="NAME=TEXT",
        action="append",
        default=[],
        help="what the node says about itself, for children that ask for it, like zone=eu; may be given several times",
    )
    run.add_argument(
        "--per-address",
        metavar="N",
        type=int,
        help="how many connections one remote address may have here, e.g. that of a proxy (default: 256)",
    )
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
        f"all are accepted (default: the environment variable {VARIABLE}, or the file that {VARIABLE}_FILE names)",
    )
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="for wss://: a PEM file with this end's certificate, its chain and its key"
    )
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="for wss://: a PEM file with the authorities to trust instead of the system's; a node that has a certificate "
        "then wants one of them from its peers, too",
    )


# -- what is said -----------------------------------------------------------------------------------------------------------


def _complain(message: str) -> None:
    line = " ".join(message.split())
    errors = Output(sys.stderr)
    try:
        errors.write(f"hubkit: {line}\n")
        errors.flush()
    except OSError:  # full, too, or gone: the exit code tells
        errors.give_up()


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
