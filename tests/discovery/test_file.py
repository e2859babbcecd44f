"""A file of addresses: read when it changes, and never more of it than is good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.hub.clusters import LISTEN, until

import hubkit
from hubkit.discovery import File
from hubkit.discovery.file import LARGEST
from hubkit.errors import ConfigurationError


async def test_one_url_a_line_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_text("\ufeff# the shop\nws://10.0.0.1:4040\n\n  ws://10.0.0.2:4040  # the old one\n#ws://10.0.0.3:4040")
    assert list(await File(path).addresses()) == ["ws://10.0.0.1:4040", "ws://10.0.0.2:4040"]


async def test_it_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nodes"
    file = File(path)
    path.write_text("ws://10.0.0.1:4040\n")
    assert list(await file.addresses()) == ["ws://10.0.0.1:4040"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: pytest.fail("it was read, and had not changed"))
        assert list(await file.addresses()) == ["ws://10.0.0.1:4040"]
    new = tmp_path / "new"
    new.write_text("ws://10.0.0.2:4040\n")
    new.rename(path)
    assert list(await file.addresses()) == ["ws://10.0.0.2:4040"]


async def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await File(tmp_path / "nothing").addresses()
    with pytest.raises(OSError, match="no file of at most"):
        await File(tmp_path).addresses()
    with pytest.raises(OSError, match="no file of at most"):
        await File("/dev/zero").addresses()
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, LARGEST + 1)
    with pytest.raises(OSError, match="no file of at most"):
        await File(large).addresses()
    odd = tmp_path / "odd"
    odd.write_bytes(b"\xff\xfe\x00\nws://10.0.0.1:4040\n")
    assert "ws://10.0.0.1:4040" in await File(odd).addresses()


def test_it_is_a_value(tmp_path: Path) -> None:
    assert File("nodes") == File("nodes")
    assert repr(File("nodes")) == "File(path='nodes')"
    with pytest.raises(ConfigurationError, match="path of a file"):
        File("")
    with pytest.raises(ConfigurationError, match="path of a file"):
        File(5)  # type: ignore[arg-type]  # wrong on purpose


async def test_nodes_meet_by_a_file_that_comes_late(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    async with (
        hubkit.Hub("shop", listen=LISTEN, name="a") as a,
        hubkit.Hub("shop", listen=LISTEN, name="b", join=[f"file://{path}"]) as b,
    ):
        assert b.nodes() == ()
        assert a.node.url is not None
        path.write_text(f"{a.node.url}  # a\n")
        await until(lambda: a.nodes() == ("b",) and b.nodes() == ("a",), within=15)
