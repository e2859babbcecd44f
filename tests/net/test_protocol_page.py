"""The bytes on the page about the protocol are those that nodes send."""

from __future__ import annotations

import re

from tests.house import ROOT
from tests.net.golden import GROUPS, kept

from hubkit.net.wire import Kind
from hubkit.node import assembly, directory, ears, exchange, freight, relays
from hubkit.node import node as room

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_the_examples_are_what_nodes_send() -> None:
    found = re.findall(r"^([a-z][^:\n`|]*): ([0-9a-f]{4,})$", PAGE, flags=re.MULTILINE)
    assert len(found) > 10
    known = {(name, data.hex()) for group in GROUPS for name, data in kept(group).items()}
    assert set(found) <= known


def test_the_page_names_all_kinds_of_messages() -> None:
    for kind in Kind:
        assert re.search(rf"^\| `{kind.value}` {kind.name} \|", PAGE, flags=re.MULTILINE), kind
    named = {name: getattr(directory, name) for name in ("HUBS", "OPEN", "CLOSE", "DENY")}
    named |= {name: getattr(exchange, name) for name in ("REPLY", "MONITOR", "DEMONITOR", "DOWN")}
    named |= {name: getattr(relays, name) for name in ("CALL", "CAST", "WITHDRAW")}
    named |= {name: getattr(assembly, name) for name in ("BEGIN", "GRANT", "PIECE", "ABANDON", "REFUSE", "READ")}
    named |= {"LADEN": freight.LADEN, "UNKNOWN": ears.UNKNOWN, "SYNC": room.SYNC, "STATE": room.STATE}
    for name, number in named.items():
        assert re.search(rf"^\| `{number}` {name} \|", PAGE, flags=re.MULTILINE), name
