"""The page of a run: one file, safe whatever the run says, bounded, and true to it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.testing import timeline
from hubkit.testing.trace import Report, Trace

EVIL = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \"'&lt; {{script}} \\u003c"

#: What the page has of the run, and what it does with it.
PARTS = re.compile(
    r'<script id="data" type="application/json">(.*?)</script>\n<script>(.*?)</script>\n</body>', re.DOTALL
)


def report(*steps: tuple[float, str, str, str, str], elapsed: float = 10.0, **values: Any) -> Report:
    trace = Trace()
    for step in steps:
        trace.add(*step)
    given = {"overlap": 0.0, "steps": trace.count, "trace": trace.steps, **values}
    return Report(7, trace.hash, elapsed, **given)


def parts(page: str) -> tuple[Any, str]:
    """The data and the script of a page."""
    found = PARTS.search(page)
    assert found is not None
    return json.loads(found[1]), found[2]


def data(page: str) -> Any:
    return parts(page)[0]


SHOP = report(
    (0.0, "node", "a", "", "started"),
    (0.5, "node", "a", "", "open shop"),
    (0.5, "node", "b", "", "open shop"),
    (1.0, "begin", "a", "", "shop c1 term=1 serial=1"),
    (2.0, "fault", "", "", "partition {a} | {b}"),
    (2.5, "send", "a", "b", "1 40 00ff"),
    (2.6, "deliver", "b", "a", "1 40 00ff"),
    (3.0, "begin", "b", "", "shop c1 term=2 serial=1"),
    (4.0, "fault", "", "", "heal"),
    (4.5, "ending", "a", "", "shop c1 term=1 serial=1"),
    (5.0, "end", "a", "", "shop c1 term=1 serial=1"),
    overlap=1.5,
)


def test_the_page_is_one_file_that_fetches_nothing() -> None:
    page = timeline.render(SHOP, title="shop:main")
    assert page.startswith("<!doctype html>")
    assert "<title>shop:main | hubkit timeline</title>" in page
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(|https?://|import\(|fetch\(|XMLHttp""", page)
    assert page.count("</script") == 2


def test_only_its_own_script_may_run() -> None:
    page = timeline.render(SHOP)
    digest = base64.b64encode(hashlib.sha256(parts(page)[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page


def test_the_page_has_what_happened() -> None:
    found = data(timeline.render(SHOP, title="shop:main"))
    assert found["about"]["seed"] == "7"
    assert found["about"]["hash"] == SHOP.trace_hash
    assert found["about"]["elapsed"] == 10_000_000
    assert found["nodes"] == ["a", "b"]
    assert found["children"] == ["shop/c1"]
    assert found["runs"] == [[0, 0, 1, 1, 1_000_000, 4_500_000, 5_000_000], [1, 0, 2, 1, 3_000_000, -1, -1]]
    assert found["doubles"] == [[0, 3_000_000, 4_500_000, [0, 1]]]
    assert [span[:3] for span in found["spans"]] == [["partition", 2_000_000, 4_000_000]]
    assert found["messages"]["sent"] == [2_500_000]
    assert found["messages"]["took"] == [100_000]
    assert len(found["steps"]["number"]) == 9
    assert found["leftOut"] == []


def test_a_page_of_nothing() -> None:
    found = data(timeline.render(report(elapsed=0.0)))
    assert (found["lanes"], found["runs"], found["messages"]["sent"]) == (0, [], [])


def test_the_failure_is_told_with_the_way_to_see_it_again() -> None:
    error = "InvariantViolated: two owners\nhubkit simulation: seed 7\nreplay it with: hubkit sim shop:main --seed 7"
    about = data(timeline.render(SHOP, error=error))["about"]
    assert about["error"] == error
    assert about["again"] == "hubkit sim shop:main --seed 7"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        ("it failed", "Simulation.run(main, seed=7)"),
        ("x\nreplay it with: pytest tests/a.py::b --hubkit-seed 7", "pytest tests/a.py::b --hubkit-seed 7"),
        ("x\nreplay it with: Simulation.run(main, seed=7, plan=P)", "Simulation.run(main, seed=7, plan=P)"),
    ],
)
def test_any_command_will_do(error: str, again: str) -> None:
    assert data(timeline.render(SHOP, error=error))["about"]["again"] == again


def test_the_real_network_is_named_in_the_way_to_see_it_again() -> None:
    found = data(timeline.render(report(network="websocket"), error="x"))
    assert found["about"]["again"] == "Simulation.run(main, seed=7, network='websocket')"


# -- what a run says does no harm


def evil(text: str) -> Report:
    return report(
        (1.0, "begin", text, "", f"shop {text} term=1 serial=1"),
        (2.0, "event", text, text, text),
        (2.0, "fault", "", "", f"partition {{{text}}} | {{b}}"),
        (3.0, "send", text, text, text),
        (3.5, text, text, text, text),
        (4.0, "note", "", "", text),
        nodes=(text,),
    )


def check_harmless(page: str, text: str) -> None:
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    found, script = parts(page)
    assert script == parts(timeline.render(SHOP))[1]
    page.encode("utf-8")
    if text.isascii() and text.isprintable():
        assert text in found["nodes"]
        assert f"shop/{text}" in found["children"]


def test_markup_is_text() -> None:
    page = timeline.render(evil(EVIL), title=EVIL, error=EVIL)
    check_harmless(page, EVIL)
    assert "alert(1)" in data(page)["about"]["error"]
    assert "<img" not in page


@given(st.text(st.characters(codec=None), min_size=1, max_size=30))
def test_no_text_does_harm(text: str) -> None:
    check_harmless(timeline.render(evil(text), title=text, error=text), text)


def test_what_cannot_be_seen_is_shown() -> None:
    found = data(timeline.render(evil("a\u202eb\x00\ud800"), error="one\n\ttwo\x1b[0m"))
    assert found["nodes"][0] == "a\\u202eb\\x00\\ud800"
    assert found["about"]["error"] == "one\n\ttwo\\x1b[0m"


def test_long_texts_are_cut() -> None:
    found = data(timeline.render(report((0, "note", "", "", "x" * 1000)), error="y" * 100_000))
    assert found["texts"][-1] == "x" * 300 + "… (700 more characters)"
    assert len(found["about"]["error"]) < 20_100


# -- its size is bounded, and what is missing is said


def test_messages_that_matter_are_shown_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MESSAGES", 100)
    steps = [
        step
        for n in range(500)
        for step in ((n, "send", "a", "b", f"1 41 {n}"), (n + 0.001, "deliver", "b", "a", f"1 41 {n}"))
    ]
    steps += [(600 + n, "send", "b", "a", f"1 {100 + n} z") for n in range(30)]
    steps += [(700, "break", "a", "b", "link 1: reset")]
    found = data(timeline.render(report(*steps, elapsed=800)))
    columns = found["messages"]
    assert len(columns["sent"]) == 100
    assert sum(flags & 3 == 1 for flags in columns["flags"]) == 30
    assert all(difference >= 0 for difference in columns["number"])
    assert found["leftOut"][0].startswith("530 messages were sent; 100 are shown")


def test_steps_runs_and_doubles_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("STEPS", 10), ("RUNS", 6), ("DOUBLES", 2)):
        monkeypatch.setattr(timeline, name, most)
    steps = [(n, "begin", node, "", f"shop c{n} term=1 serial={n}") for n in range(5) for node in "ab"]
    steps += [(5 + n, "end", "a", "", f"shop c{n} term=1 serial={n}") for n in range(5)]
    steps += [
        (20, "fault", "", "", "heal"),
        (21, "event", "a", "", "ChildStarted()"),
        (22, "event", "a", "", "NodeDown()"),
    ]
    found = data(timeline.render(report(*steps, elapsed=30)))
    assert len(found["runs"]) == 6
    assert len(found["doubles"]) == 2
    assert all(place < 6 for double in found["doubles"] for place in double[3])
    kinds = [found["texts"][kind] for kind in found["steps"]["kind"]]
    assert kinds == ["begin"] * 8 + ["fault", "event"]
    assert len(found["leftOut"]) == 3


def test_a_trace_that_was_cut_says_so() -> None:
    trace = Trace(kept=2)
    for n in range(5):
        trace.add(float(n), "note", "", "", f"{n}")
    found = data(timeline.render(Report(1, trace.hash, 5.0, 0.0, 5, trace=trace.steps)))
    assert found["about"]["begins"] == 3_000_000
    assert found["leftOut"] == ["The trace itself begins with step 3: the earlier ones were not kept."]


def test_a_page_of_very_many_steps_has_a_bound() -> None:
    trace = Trace()
    for n in range(60_000):
        trace.add(n / 100, "send", f"n{n % 50}", f"n{n % 49}", f"{n % 99} 41 {n:016x}")
        trace.add(n / 100 + 0.002, "deliver", f"n{n % 49}", f"n{n % 50}", f"{n % 99} 41 {n:016x}")
    page = timeline.render(Report(1, trace.hash, 600.0, 0.0, trace.count, trace=trace.steps))
    assert len(page) < 5_000_000


# -- the file, and its script


def test_the_page_is_written(tmp_path: Path) -> None:
    timeline.write(SHOP, tmp_path / "page.html", title="é")
    assert (tmp_path / "page.html").read_text("utf-8") == timeline.render(SHOP, title="é")
    with pytest.raises(OSError, match="nowhere"):
        timeline.write(SHOP, tmp_path / "nowhere" / "page.html")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the script")
def test_the_script_is_understood_and_unpacks_what_it_is_given(tmp_path: Path) -> None:
    page = timeline.render(SHOP)
    found, script = parts(page)
    (tmp_path / "all.js").write_text(script, encoding="utf-8")
    checked = subprocess.run(
        ["node", "--check", tmp_path / "all.js"], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stderr
    ask = (
        "JSON.stringify({runs: runs.map((run) => [run.begin, run.ending, run.end, run.doubles.length]), "
        "sent: [...messages.sent], entries: entries.length})"
    )
    (tmp_path / "part.js").write_text(
        f"const document = {{getElementById: () => ({{textContent: {json.dumps(json.dumps(found))}}})}};\n"
        f"{timeline._part('data.js')}\nconsole.log({ask});"
    )
    told = subprocess.run(["node", tmp_path / "part.js"], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(told.stdout) == {"runs": [[1, 4.5, 5, 1], [3, 10, 10, 1]], "sent": [2.5], "entries": 11}


@pytest.mark.parametrize("name", ["page.html", "page.css", *timeline._SCRIPTS])
def test_each_part_of_the_page_opens_with_its_law(name: str) -> None:
    assert "law" in timeline._part(name)[:600].lower()
