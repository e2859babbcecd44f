"""What the pages say is so: their programs run, their targets of make exist, their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.blocks import Block, blocks, compiled
from tests.house import ROOT, python, shown

PAGE_SECONDS = 30.0

#: What may stand after a fence.
KNOWN = {"", "python", "python no-run", "console", "text", "toml", "json", "erlang", "mermaid"}

pages = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
each_page = pytest.mark.parametrize("page", pages, ids=shown)


def run_blocks(page: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    blocks_py = ROOT / "tests" / "blocks.py"
    return python("-X", "dev", "-W", "error", blocks_py, page, within=PAGE_SECONDS, cwd=cwd)


@each_page
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path) -> None:
    result = run_blocks(page, tmp_path)
    assert result.returncode == 0, result.stdout
    expected = sum(block.runs for block in blocks(page.read_text(encoding="utf-8")))
    assert result.stdout.splitlines()[-1] == f"{expected} blocks ran"


@each_page
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.info in KNOWN, f"{shown(page)}:{block.line - 1}: {block.info!r} is none of {sorted(KNOWN)}"


@each_page
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    said = set(re.findall(r"`make ([a-z]+)`", text))
    for block in blocks(text):
        said |= set(re.findall(r"^(?:\$ )?make ([a-z]+)", block.source, flags=re.MULTILINE))
    assert said <= targets


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *(```+).*?^ *\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link may name after ``#``: the headings of a page, as GitHub spells them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(page.read_text(encoding="utf-8")), flags=re.MULTILINE):
        said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{n}" if n else slug for slug, last in found.items() for n in range(last + 1)}


def broken_links(page: Path) -> list[str]:
    """The links of a page to files, and to headings, that are not there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(page.read_text(encoding="utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and (file.suffix != ".md" or anchor not in anchors(file))):
            broken.append(target)
    return broken


@each_page
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_to_what_is_not_there_is_found(tmp_path: Path) -> None:
    other, page = tmp_path / "other.md", tmp_path / "page.md"
    other.write_text("# One `word`, and more\n\n## Again\n\n## Again\n\n```text\n# No heading\n```\n")
    links = ["other.md", "other.md#one-word-and-more", "other.md#again-1", "#a-page", "https://example.org/x#y"]
    wrong = ["gone.md", "other.md#again-2", "other.md#no-heading", "#nowhere"]
    page.write_text("# A page\n\n" + "\n".join(f"[link]({target})" for target in [*links, *wrong]) + "\n")
    assert broken_links(page) == wrong


def test_the_guides_are_among_the_pages() -> None:
    assert ROOT / "docs" / "guides" / "getting-started.md" in pages


def test_blocks_share_their_names_and_may_await(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport trio\n\nn = 1\n```\n\n```python\nawait trio.sleep(0)\nassert n == 1\n```\n")
    result = run_blocks(page, tmp_path)
    assert result.returncode == 0, result.stdout
    assert "2 blocks ran" in result.stdout


def test_a_failing_block_fails_at_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nn = 1\n\nassert n == 2\n```\n")
    result = run_blocks(page, tmp_path)
    assert result.returncode != 0, result.stdout
    assert 'page.md", line 6' in result.stdout


def test_a_block_that_is_not_run_is_compiled_all_the_same(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python no-run\nraise SystemExit(3)\n```\n\n```text\nnot python\n```\n")
    assert run_blocks(page, tmp_path).returncode == 0
    with pytest.raises(SyntaxError):
        compiled(Block("python no-run", "def f(:\n", 1), "page.md")
