"""``hubkit run`` on several hosts: nodes that were told no address find each other."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.cli.shell import HUBKIT, SHOP, environment, running
from tests.hosts.lan import Host, Lan

pytestmark = pytest.mark.limit(90)


async def links(host: Host, url: str, folder: Path) -> Any:
    """What a node says of its links, asked from a host."""
    command = [*host.prefix, *HUBKIT, "status", url, "--json", "--secret-file", f"{folder}/secret"]
    done = await trio.run_process(command, env=environment(), capture_stdout=True)
    return json.loads(done.stdout)["links"]


async def test_nodes_find_each_other_and_the_others_that_come_later(lan: Lan, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "secret").write_text("a secret for tests only\n")
    multicast, broadcast = "multicast://239.255.40.40:4042/shop", "multicast://10.77.0.255:4043/shop"

    def run(name: str, *join: str) -> Any:
        where = ["--listen", f"ws://{lan[name].address}:4041", "--name", name, "--secret-file", f"{tmp_path}/secret"]
        find = [option for url in join for option in ("--join", url)]
        return running("run", f"{tmp_path}/shop.py:main", *where, *find, cwd=tmp_path, prefix=lan[name].prefix)

    async with run("a", multicast, broadcast) as a, run("b", multicast) as b:
        for node in (a, b):
            await node.says("ready", within=30)
        await a.says(r"link to b#\d+: up", on="err", within=30)
        async with run("c", broadcast) as c:
            await c.says("ready", within=30)
            await a.says(r"link to c#\d+: up", on="err", within=30)
            assert await links(lan["e"], await a.url(), tmp_path) == ["b", "c"]
            c.signal(signal.SIGTERM)
            assert await c.ends() == 0
        await a.says(r"link to c#\d+: down", on="err", within=30)
