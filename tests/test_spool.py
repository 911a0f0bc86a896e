"""What is sorted on disk comes back whole and in order, however little of it is looked at together."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_schema import a_row

from builder import corpus, export, pipeline, recipe, spool
from builder.types import BuildError, StoreError


def test_a_pool_gives_back_whole_people_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool, "BLOCK", 10)
    pool = spool.Pool(tmp_path / "pool")
    assert list(pool) == []
    asked = [(person, n % 3, (7 * n * person) % 1000) for person in range(0, 40, 2) for n in range(1 + person % 7)]
    for person in range(0, 40, 2):
        own = [one for one in asked if one[0] == person]
        pool.add(person, [outcome for _, outcome, _ in own], [id_ for _, _, id_ in own])
    for _ in range(2):
        blocks = list(pool)
        assert len(blocks) > 3
        assert not any(set(a["person"]) & set(b["person"]) for a, b in pairwise(blocks))
        back = [(int(one["person"]), int(one["outcome"]), int(one["id"])) for block in blocks for one in block]
        assert sorted(back) == sorted(asked)
        assert [(p, i) for p, _, i in back] == sorted((p, i) for p, _, i in back)
    assert len(pool) == len(asked)


def test_rows_come_back_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool, "AT_ONCE", 7)
    monkeypatch.setattr(spool, "ROWS", 20)
    rng = random.Random(0)
    numbers = [rng.getrandbits(64) for _ in range(70)]
    ids = sorted(numbers)
    rows = spool.Rows(tmp_path / "rows", np.array(ids[20::20], np.uint64), 70)
    with spool.writer() as writer:
        for number in numbers:
            writer.add(rows.file(number), a_row(0, "emdb", id=f"{number:016x}"))
    assert [row["id"] for start in range(0, 70, 10) for row in rows[start : start + 10].to_pylist()] == [f"{n:016x}" for n in ids]
    assert rows[33] == a_row(0, "emdb", id=f"{ids[33]:016x}")
    assert len(list(tmp_path.iterdir())) == 4


def test_sizes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A corpus in many small spools is the corpus in one."""
    plan = pipeline.Plan((("synthetic", "8"),), "", recipe.load(), tmp_path / "work")
    clips = pipeline.clips_of(plan)
    pipeline.process(clips, plan, 1, lambda *_: None)
    people, _, _ = pipeline.gather(clips, plan)

    def made(name: str) -> tuple[Any, ...]:
        with spool.scratch(tmp_path / name) as scratch:
            built = corpus.build(people, [], plan.recipe, scratch)
            files = len(list(scratch.iterdir()))
            corpus.export_to(tmp_path / f"{name}-out", built)
        data = {p.relative_to(tmp_path / f"{name}-out"): p.read_bytes() for p in (tmp_path / f"{name}-out").rglob("*.*")}
        return files, built.info, built.prior_tables, built.examples, data

    few, *expected = made("large")
    for name, size in (("BLOCK", 300), ("AT_ONCE", 16), ("ROWS", 10)):
        monkeypatch.setattr(spool, name, size)
    monkeypatch.setattr(export, "ROWS_PER_GROUP", 10)
    many, *found = made("small")
    assert many > few + 5
    assert found[:-1] == expected[:-1]
    assert found[-1].keys() == expected[-1].keys()
    assert not (tmp_path / "small").exists()


def test_a_disk_that_gives_nothing_back_is_one_line(tmp_path: Path):
    pool = spool.Pool(tmp_path / "pool")
    pool.add(0, [0], [1])
    assert len(list(pool)) == 1
    (tmp_path / "pool").unlink()
    with pytest.raises(StoreError, match="cannot sort what was asked in"):
        list(pool)
    with pytest.raises(StoreError), spool.scratch(tmp_path):
        pytest.fail("a folder that was there before would go")
    assert tmp_path.is_dir()


def test_ids_are_numbers():
    assert spool.number_of("00000000000000ff") == 255
    for bad in ("ff", "x" * 16, ""):
        with pytest.raises(BuildError, match="16 hex digits"):
            spool.number_of(bad)
