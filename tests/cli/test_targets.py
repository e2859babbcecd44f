"""What targets name: modules and files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.shell import SHOP, complaint, hubkit

from hubkit.cli.failure import WrongUsage
from hubkit.cli.targets import locate, name_of

CONTRACT = "async def main(it) -> None"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shop in a package in a directory, and what is wrong beside it."""
    inner = tmp_path / "lib" / "market" / "inner"
    inner.mkdir(parents=True)
    for package in (inner, inner.parent):
        (package / "__init__.py").write_text("")
    (inner / "stall.py").write_text("from market.inner import goods\nasync def main(it): pass\n")
    (inner / "goods.py").write_text("")
    (tmp_path / "lib" / "needs.py").write_text("import shoop_that_is_not_there\n")
    (tmp_path / "lib" / "broken.py").write_text("1 / 0\n")
    (tmp_path / "lib" / "two.dots.py").write_text("")
    (tmp_path / "lib" / "text.txt").write_text("")
    (tmp_path / "lib" / "json.py").write_text("async def main(it): pass\n")
    (tmp_path / "lib" / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_the_module_that_pytest_would_make_of_it(shop: Path) -> None:
    main = locate("lib/market/inner/stall.py:main", CONTRACT)
    assert main.__module__ == "market.inner.stall"
    assert sys.path[0] == str(shop / "lib")
    assert locate(f"{shop}/lib/market/inner/stall.py:main", CONTRACT) is main
    assert sys.path.count(str(shop / "lib")) == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            "lib/shop.py",
            "'lib/shop.py' is not module:function, like shop.web:main, or file:function, like shop/web.py:main",
        ),
        ("lib/shop.py:", "is not module:function"),
        (":main", "is not module:function"),
        ("lib/shoop.py:main", "the file lib/shoop.py is not there (in "),
        ("shoop.py:main", "the file shoop.py is not there (in "),
        ("lib/market:main", "the file lib/market is a directory, and no file"),
        ("lib/text.txt:main", "the file lib/text.txt is no Python file: its name must end with .py, not '.txt'"),
        ("lib/two.dots.py:main", "cannot be imported: there is a dot in its name 'two.dots'"),
        ("lib/json.py:main", "cannot be imported: there is another module 'json' already, "),
        ("lib/needs.py:main", "module 'needs' cannot be imported: it needs 'shoop_that_is_not_there'"),
        ("lib/broken.py:main", "module 'broken' cannot be imported: ZeroDivisionError"),
        ("lib/shop.py:maain", "module 'shop' has no function 'maain'; did you mean main?"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_names_nothing_is_told(target: str, expected: str) -> None:
    with pytest.raises(WrongUsage) as error:
        locate(target, CONTRACT)
    assert expected in str(error.value)


def test_a_name_for_the_hub() -> None:
    assert [name_of(target) for target in ("shop:main", "a.shop:main", "a/shop.py:main", "shop.py:A.main")] == [
        "shop"
    ] * 4


def test_a_program_in_a_file_is_run(shop: Path) -> None:
    result = hubkit("run", "lib/shop.py:once", "--log-level", "error", cwd=shop)
    assert (result.returncode, result.stdout, result.stderr) == (0, "once on shop None\n", "")
    assert "is no async function" in complaint(hubkit("run", "lib/shop.py:plain", cwd=shop))
