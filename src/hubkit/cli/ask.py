"""``hubkit status``, ``children``, ``tree`` and ``links``: questions to a running node, answered in a table or in JSON.

Law of this room: asking changes nothing. The asker proves that it knows the secret, is no member of any hub, asks one
question and goes. What it prints as JSON is for programs: keys are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from hubkit.cli.failure import Failure, WrongUsage
from hubkit.cli.secrets import VARIABLE
from hubkit.cli.table import printable, table
from hubkit.environment import Environment
from hubkit.errors import ConfigurationError, DialRefused, HandshakeRefused, HubkitError
from hubkit.net.operator import ask
from hubkit.net.websocket import TLS, WebSocketTransport

__all__ = ["children", "links", "question", "status", "tree"]

#: Seconds that a question may take, from the first packet to the last.
PATIENCE = 10.0

Secrets = tuple[str, ...] | None


def status(url: str, *, as_json: bool, secrets: Secrets, tls: TLS | None = None) -> int:
    """Print how the node at ``url`` is. Raises `Failure`."""
    answer = trio.run(_question, url, ["status"], secrets, tls)
    print(json.dumps(answer, indent=2) if as_json else "\n".join(_status_lines(answer)))
    return 0


def children(url: str, *, hub: str | None, as_json: bool, secrets: Secrets, tls: TLS | None = None) -> int:
    """Print the children that the node at ``url`` knows. Raises `Failure`."""
    rows = trio.run(_question, url, ["children", hub], secrets, tls)
    rows = [{"hub": hub, **row} for row in rows]
    print(json.dumps(rows, indent=2) if as_json else "\n".join(_children_lines(rows)))
    return 0


def tree(url: str, *, hub: str | None, as_json: bool, secrets: Secrets, tls: TLS | None = None) -> int:
    """Print what runs on the node at ``url``, and beneath what. Raises `Failure`."""
    trees = trio.run(_question, url, ["tree", hub], secrets, tls)
    print(json.dumps(trees, indent=2) if as_json else "\n".join(_tree_lines(trees)))
    return 0


def links(url: str, *, as_json: bool, secrets: Secrets, tls: TLS | None = None) -> int:
    """Print how the links of the node at ``url`` are. Raises `Failure`."""
    rows = trio.run(_question, url, ["links"], secrets, tls)
    print(json.dumps(rows, indent=2) if as_json else "\n".join(_links_lines(rows)))
    return 0


async def _question(url: str, message: list[Any], secrets: Secrets, tls: TLS | None) -> Any:
    return await question(url, message, secrets=secrets, tls=tls)


async def question(url: str, message: list[Any], *, secrets: Secrets = None, tls: TLS | None = None) -> Any:
    """Ask the node at ``url``; returns its answer in plain values. Raises `Failure` with what to do about it."""
    proofs = [secret.encode() for secret in secrets or ()]
    try:
        with trio.fail_after(PATIENCE):
            answer = await ask(WebSocketTransport(tls=tls), url, message, secrets=proofs, environment=Environment())
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from error
    except DialRefused as error:
        msg = f"nobody listens at {url}"
        raise Failure(msg) from error
    except HandshakeRefused as error:
        raise Failure(_refusal(url, error)) from error
    except trio.TooSlowError as error:
        msg = f"the node at {url} did not answer within {PATIENCE:g} s"
        raise Failure(msg) from error
    except HubkitError as error:
        raise Failure(str(error)) from error
    match answer:
        case ["ok", value]:
            return value
        case ["error", str(text)]:
            raise Failure(text)
    msg = f"the node at {url} gave an answer that makes no sense here: is it of another version?"
    raise Failure(msg)


def _refusal(url: str, error: HandshakeRefused) -> str:
    if error.code == "secret":
        return f"the node at {url} has another secret: give its own with --secret-file, or in {VARIABLE} or {VARIABLE}_FILE"
    return f"no answer from the node at {url}: {error}"


# -- for people -------------------------------------------------------------------------------------------------------------


def _status_lines(answer: Mapping[str, Any]) -> list[str]:
    hubs: Sequence[Mapping[str, Any]] = answer.get("hubs", ())
    lines = []
    for key, value in answer.items():
        if isinstance(value, str | int | float | None):
            lines.append(f"{key:<8}  {printable(value)}")
        elif key == "links":
            lines.append(f"{key:<8}  {', '.join(map(printable, value)) or 'none'}")
    for hub in hubs:
        state = "partitioned" if hub.get("partitioned") else "settled" if hub.get("settled") else "settling"
        count, running = hub.get("children", 0), hub.get("running", 0)
        lines += ["", f"hub {printable(hub.get('hub'))}: {state}, {running} of {count} children running", ""]
        rows = [[row.get(key) for key in ("node", "state", "children", "address")] for row in hub.get("nodes", ())]
        lines += [f"  {line}" for line in table(("node", "state", "children", "address"), rows)]
    return lines if hubs else [*lines, "", "no hubs"]


def _children_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = ("hub", "child", "state", "node", "term", "actor", "tag")
    cells = [[_cell(row, column) for column in columns] for row in rows]
    lines = table(columns, cells)
    problems = [f"{printable(row['child'])}: {printable(row['error'])}" for row in rows if row.get("error")]
    return [*lines, "", *problems] if problems else lines


def _tree_lines(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    rows: list[list[Any]] = []

    def add(info: Mapping[str, Any], depth: int) -> None:
        oldest = info.get("oldest")
        figures = [info.get(key) for key in ("state", "restarts", "handled", "mailbox")]
        waited = None if oldest is None else round(oldest, 1)
        rows.append([f"{'  ' * depth}{info.get('id')}", *figures, waited, info.get("pid"), info.get("actor")])
        for child in info.get("children", ()):
            add(child, depth + 1)

    for info in trees:
        add(info, 0)
    return table(("child", "state", "restarts", "handled", "mailbox", "oldest", "pid", "actor"), rows)


def _cell(row: Mapping[str, Any], column: str) -> Any:
    if column == "node":
        return ", ".join(row.get("nodes", ())) or None
    return row.get(column)


def _links_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["no links"]
    header = (
        "peer",
        "state",
        "age",
        "rtt min",
        "median",
        "99 %",
        "in",
        "out",
        "msgs/frame",
        "outbox",
        "held",
        "large",
        "again",
    )
    keys = ("peer", "state", "age", "rtt_min", "rtt_median", "rtt_p99", "bytes_in", "bytes_out", "messages_per_frame",
            "outbox_bytes", "held", "large", "reconnects")  # fmt: skip
    shown = [{**row, "state": f"over {row['over']}"} if row.get("over") else row for row in rows]
    shown = [{**row, "large": _large(row)} for row in shown]
    lines = table(header, [[_shown(key, row.get(key)) for key in keys] for row in shown])
    told = [row for row in rows if row.get("last_error")]
    why = [f"{printable(row.get('peer') or row.get('remote'))}: {printable(row['last_error'])}" for row in told]
    return [*lines, "", *why] if why else lines


def _large(row: Mapping[str, Any]) -> str | None:
    """How far large values on a link are: what has been sent, and what has come."""
    ways = (
        ("out", row.get("sent_bytes"), row.get("sending_bytes")),
        ("in", row.get("received_bytes"), row.get("receiving_bytes")),
    )
    told = [f"{way} {_bytes(done or 0)} of {_bytes(total)}" for way, done, total in ways if total]
    return ", ".join(told) or None


def _shown(key: str, value: Any) -> Any:
    """Times of a link in units that a person reads: its age in whole seconds, its round trips in milliseconds."""
    if not isinstance(value, int | float):
        return value
    if key.startswith("rtt"):
        return f"{1000 * value:.2f} ms"
    if key in ("bytes_in", "bytes_out", "outbox_bytes"):
        return _bytes(value)
    return f"{value:.0f} s" if key == "age" else f"{value:.1f}" if isinstance(value, float) else value


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
