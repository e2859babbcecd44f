"""What the fuzzer has found, once more, without it: the law of each door holds for every input that is kept."""

from __future__ import annotations

import time
from random import Random

import cbor2
import pytest
from tests.fuzz import values
from tests.fuzz.doors import CORPUS, DOORS
from tests.fuzz.seeds import seeds

#: Seconds that an input may take, with much room for a busy machine; the fuzzer itself allows more.
SLOWEST = 10.0


@pytest.mark.parametrize("name", DOORS)
def test_the_law_of_a_door_holds_for_all_that_was_found(name: str) -> None:
    door = DOORS[name]
    inputs = [(path.name, path.read_bytes()) for path in sorted((CORPUS / name).iterdir())]
    assert len(inputs) > 3
    for number, data in enumerate(data for door_of, data in seeds() if door_of == name):
        inputs.append((f"seed {number}", data))
    for shown, data in inputs:
        assert len(data) <= door.longest, shown
        began = time.perf_counter()
        try:
            door.enter(data)
        except BaseException as error:
            error.add_note(f"the input: {name}/{shown}")
            raise
        assert time.perf_counter() - began < SLOWEST, shown


def test_the_corpus_is_small_and_of_doors() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(DOORS)
    assert len(files) < 500
    assert sum(path.stat().st_size for path in files) < 300_000


def test_what_is_changed_stays_a_value_and_is_the_same_each_time() -> None:
    data, kept = cbor2.dumps([[1, {"a#1": [b"\x81\x05", 2.5, None]}, "text"], 7]), 0
    for seed in range(500):
        changed = values.mutate(data, 200, seed, lambda data, most: data[:most])
        assert changed == values.mutate(data, 200, seed, lambda data, most: data[:most])
        assert len(changed) <= 200
        kept += values.read(changed) != [changed]
        crossed = values.cross(data, changed, 200, seed)
        assert len(crossed) <= 200
    assert kept == 500
    assert values.mutate(b"\xff\xff", 9, Random(0).randrange(99), lambda data, most: data[:most])


@pytest.mark.parametrize("name", sorted(DOORS))
def test_any_bytes_at_all(name: str) -> None:
    """Also what no fuzzer would keep: nothing, and what is no value."""
    for data in (b"", b"\x00", b"\xff" * 9, b"\x80", b"\x81\x80", bytes(64)):
        assert DOORS[name].enter(data) is None  # type: ignore[func-returns-value]  # that it returns
