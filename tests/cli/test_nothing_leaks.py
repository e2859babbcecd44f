"""No secret is ever told: not in logs, reprs, errors, command lines or what is printed, whatever goes wrong."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.cli.shell import SHOP, hubkit, running
from tests.net.test_certificates import CERTS

import hubkit as library
from hubkit.cli.ask import question
from hubkit.cli.run import RunOptions
from hubkit.errors import ConfigurationError
from hubkit.net.handshake import Handshake, Identity
from hubkit.net.seal import Keys

NODES, OLD, OPERATOR, WRONG = "opensesame-nodes", "opensesame-old", "opensesame-look", "opensesame-wrong"


def traces(secret: str) -> Iterator[str]:
    """How a secret would look in a text."""
    data = secret.encode()
    yield from (secret, data.hex(), base64.b64encode(data).decode().rstrip("=")[:-1])


def check_silent(*texts: str) -> None:
    for text in texts:
        for secret in (NODES, OLD, OPERATOR, WRONG):
            for trace in traces(secret):
                assert trace not in text, f"{trace!r} in {text[:2000]!r}"


def test_the_check_can_fail() -> None:
    for trace in traces(NODES):
        with pytest.raises(AssertionError):
            check_silent(f"... {trace} ...")


def test_reprs() -> None:
    node = library.Node(secret=[NODES, OLD], operator_secret=OPERATOR)
    handshake = Handshake(
        Identity("a#1"), dialing=True, nonce=bytes(32), secrets=(NODES.encode(),), operators=(OPERATOR.encode(),)
    )
    handshake.start()
    keys = Keys(NODES.encode(), OLD.encode())
    options = RunOptions("shop:main", secrets=(NODES, OLD), operators=(OPERATOR,))
    hub = library.Hub("shop", secret=NODES)
    check_silent(*(f"{thing!r} {thing}" for thing in (node, handshake, keys, options, hub)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"secret": [NODES, None]},
        {"secret": {NODES: 1}},
        {"secret": [NODES, OLD], "operator_secret": [OPERATOR, OLD]},
        {"operator_secret": OPERATOR},
        {"secret": NODES, "operator_secret": [OPERATOR, 5]},
        {"secret": NODES, "listen": "ws://0.0.0.0:1"},
    ],
)
def test_errors(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        library.Node(**arguments)
    check_silent("".join(traceback.format_exception(caught.value)))


async def test_logs_of_links_that_come_about_and_that_do_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    free = "ws://127.0.0.1:0"
    said: list[str] = []
    async with (
        library.Node(listen=free, secret=[NODES, OLD], operator_secret=OPERATOR) as node,
        library.Hub("shop", node=node) as hub,
    ):
        assert node.url is not None
        async with library.Hub("shop", listen=free, secret=[OLD, NODES], join=[node.url]) as other:
            assert other.nodes() == (node.name,)
            said += [
                str(hub.statistics()),
                str(node._links()),
                str(await question(node.url, ["status"], secrets=(OPERATOR,))),
            ]
        for secret in (WRONG, OPERATOR):
            with pytest.raises(library.errors.HandshakeRefused) as caught:
                async with library.Hub("shop", listen=free, secret=secret, join=[node.url]):
                    pass
            said.append("".join(traceback.format_exception(caught.value)))
    assert caplog.records
    check_silent(*said, *(record.getMessage() + str(record.exc_text) for record in caplog.records))


async def test_processes(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "nodes").write_text(f"{NODES}\n{OLD}\n")
    (tmp_path / "look").write_text(OPERATOR)
    arguments = ["run", "shop:main", "--listen", "ws://127.0.0.1:0", "--log-level", "debug", "--secret-file", "nodes"]
    async with running(*arguments, "--operator-secret-file", "look", cwd=tmp_path) as process:
        await process.says("ready")
        url = await process.url()
        check_silent(await trio.Path(f"/proc/{process.process.pid}/cmdline").read_text())

        def ask(env: dict[str, str], *more: str) -> Any:
            return hubkit("status", url, *more, cwd=tmp_path, env=env)

        for env in ({"HUBKIT_SECRET": OLD}, {"HUBKIT_SECRET_FILE": "look"}, {"HUBKIT_SECRET": OPERATOR}):
            result = await trio.to_thread.run_sync(ask, env)
            assert result.returncode == 0, result.stderr
            check_silent(result.stdout, result.stderr)
        result = await trio.to_thread.run_sync(ask, {"HUBKIT_SECRET": WRONG})
        assert result.returncode == 1
        check_silent(result.stdout, result.stderr)
    check_silent(process.out, process.err)


async def test_the_command_speaks_mutual_tls(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    ours = ["--tls-cert", str(CERTS / "one.pem"), "--tls-ca", str(CERTS / "ca.pem")]
    arguments = ["run", "shop:main", "--listen", "wss://localhost:0", "--name", "one", *ours]
    async with running(*arguments, cwd=tmp_path) as process:
        await process.says("ready")
        url = await process.url()
        result = await trio.to_thread.run_sync(lambda: hubkit("status", url, *ours))
        assert result.returncode == 0, result.stderr
        for wrong in ([], ["--tls-ca", str(CERTS / "ca.pem")], ["--tls-cert", str(CERTS / "ca.pem")]):
            result = await trio.to_thread.run_sync(lambda wrong=wrong: hubkit("status", url, *wrong))  # type: ignore[misc]  # bound now
            assert result.returncode == (2 if "--tls-cert" in wrong else 1)
            assert "Traceback" not in result.stderr
