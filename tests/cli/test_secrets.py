"""Where secrets come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.cli.failure import WrongUsage
from hubkit.cli.secrets import read_secrets


def test_without_a_file_and_a_variable_there_is_none() -> None:
    assert read_secrets(None, {}) is None


def test_the_variable_is_read() -> None:
    assert read_secrets(None, {"HUBKIT_SECRET": "hunter2\n"}) == ("hunter2",)


def test_the_file_has_one_secret_a_line_and_wins_over_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("new\n\n  old \n")
    assert read_secrets(str(file), {"HUBKIT_SECRET": "other"}) == ("new", "old")


def test_a_variable_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("new\nold\n")
    assert read_secrets(None, {"HUBKIT_SECRET_FILE": str(file)}) == ("new", "old")
    environ = {"HUBKIT_OPERATOR_SECRET_FILE": str(file), "HUBKIT_SECRET": "other"}
    assert read_secrets(None, environ) == ("other",)
    assert read_secrets(None, environ, "HUBKIT_OPERATOR_SECRET") == ("new", "old")
    with pytest.raises(WrongUsage, match="are both set"):
        read_secrets(None, {"HUBKIT_SECRET_FILE": str(file), "HUBKIT_SECRET": "x"})
    with pytest.raises(WrongUsage, match="cannot read"):
        read_secrets(None, {"HUBKIT_SECRET_FILE": str(tmp_path / "nowhere")})


def test_an_empty_source_is_a_mistake_and_not_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(WrongUsage, match="is empty"):
        read_secrets(str(tmp_path / "empty"), {})
    with pytest.raises(WrongUsage, match="HUBKIT_SECRET is empty"):
        read_secrets(None, {"HUBKIT_SECRET": ""})


def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"nowhere: No such file"):
        read_secrets(str(tmp_path / "nowhere"), {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(WrongUsage, match="UTF-8"):
        read_secrets(str(tmp_path / "binary"), {})
