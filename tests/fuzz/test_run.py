"""What is kept of a failure under the fuzzer: always its input, and all that was raised."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz import run
from tests.fuzz.one import left_in, watched


def test_the_input_of_a_failure_stays_and_what_is_in_a_group_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def enter(data: bytes) -> None:
        if data in (b"bad", b""):
            msg = "several"
            raise ExceptionGroup(msg, [ValueError("the true one")])

    at = tmp_path / "at"
    assert left_in(at) is None
    go = watched(enter, at)
    go(b"a longer one that is fine")
    assert left_in(at) is None
    for data in (b"", b"bad"):
        with pytest.raises(ExceptionGroup):
            go(data)
        assert left_in(at) == data
        assert "ValueError: the true one" in capsys.readouterr().out


def test_an_input_is_saved_once(tmp_path: Path) -> None:
    old = tmp_path / "crash-old"
    old.write_bytes(b"bad")
    before = {old}
    run.save(None, tmp_path, before)
    assert set(tmp_path.iterdir()) == before
    run.save(b"bad", tmp_path, before)  # found again
    assert len(set(tmp_path.iterdir()) - before) == 1
    run.save(b"bad", tmp_path, before)
    assert len(set(tmp_path.iterdir()) - before) == 1


def test_what_hangs_is_killed_and_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run._python("http.server", "0", "--bind", "127.0.0.1", within=0.5)
    assert code != 0
    assert "it hangs" in said


def test_a_fuzzer_that_ends_without_a_word_leaves_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(module: str, *arguments: object, within: float) -> tuple[int, str]:
        if module.endswith("one"):
            Path(str(arguments[1])).write_bytes(b"@\x01")
            return 1, "Uncaught Python exception: ExceptionGroup"
        return 0, "held"

    monkeypatch.setattr(run, "WORK", tmp_path)
    monkeypatch.setattr(run, "_python", dies)
    result = run._fuzz("wires", 1.0)
    (path,) = result.broken
    assert path.read_bytes() == b"\x01"
    assert path.parent.name == "wires"
    assert "ExceptionGroup" in result.told
    assert "run alone it held" in result.told
