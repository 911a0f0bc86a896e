"""Tables and pictures of scores: what a reader sees, from numbers that are known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from builder import scoring, tables, viz
from builder.types import CATEGORIES


def result(title: str, skill: float, sources: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    some = []
    for v in range(12):
        for i in range(14):
            k, answer = (2, 3, 4)[i % 3], int(rng.integers(2))
            choice = answer if rng.random() < skill else (None if i == 5 else int(rng.integers(k)))
            some.append(scoring.Graded(f"{v}/{i}", f"s{v % sources}", f"v{v}", CATEGORIES[i % 7], k, choice, answer))
    known = {
        "title": title,
        "about": "a test",
        "mode": "video",
        "expected": 200,
        "unanswered": {"v12": 32},
        "finish": {"stop": 160, "refused": 8},
    }
    data = {"name": "d", "config": "all", "split": "test", "fingerprint": "f"}
    return {**scoring.report(some), **known, "data": data, "read_differently": 0, "run": "r"}


def test_a_row_says_what_it_is_and_published_rows_have_the_same_columns():
    found = result("mine", 0.5)
    lines = tables.table([found, *tables.PUBLISHED])
    cells = [line.strip("|").split("|") for line in lines]
    assert len({len(c) for c in cells}) == 1
    assert cells[2][0].strip() == "mine"
    assert cells[2][2].strip() == tables.points(found["score_macro"], found["interval"])
    assert all("published" in c[1] for c in cells[3:])
    assert [c[2].strip() for c in cells[3:]] == ["14.3", "43.0", "12.8", "37.9", "-9.5", "78.7"]


def test_the_page_says_what_was_left_out_and_what_could_not_be_read():
    found = result("mine", 0.5)
    page = tables.page([found])
    assert "**32 of 200 questions have no answer** and are not in the score: v12 (32)" in page
    assert f"{found['invalid_rate']:.1f} % of the replies name no option and count as wrong" in page
    assert f"over the others alone the score is {found['score_valid_only']:.1f}" in page
    assert "8 refused" in page
    assert "| s0 |" in page
    assert "mean of sources" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows[0].count("|") == rows[1].count("|")


def test_a_comparison_reads_as_second_minus_first():
    rng = np.random.default_rng(0)
    a = [scoring.Graded(str(i), "s", f"v{i % 9}", "existence", 2, int(rng.integers(2)), 0) for i in range(90)]
    page = tables.compared("old", "new", scoring.compare(a, [scoring.Graded(**{**vars(x), "choice": 0}) for x in a]))
    assert page.startswith("# new minus old")
    assert re.search(r"\| score \| [\d.-]+ \| 100.0 \| \+[\d.]+ \[\+", page)


@pytest.mark.parametrize("draw", [viz.category_bars, viz.source_heatmap])
def test_pictures_name_every_run_and_are_the_same_bytes(draw: Any):
    found = [result("first model", 0.6), result("second model", 0.0)]
    picture = draw(found)
    assert picture == draw(found)
    assert picture.startswith("<svg")
    assert "0 is guessing" in picture
    assert draw([result("first model", 0.6), result("second model", 0.1)]) != picture


def test_a_bar_is_as_long_as_its_score():
    lengths = []
    for skill in (1.0, 0.4):
        picture = viz.category_bars([result("m", skill)])
        colour = r"fill: #0b62a4"
        paths = re.findall(rf'd="M ([\d.]+) [\d.]+\s+L ([\d.]+)[^"]*"[^>]*style="{colour}', picture)
        lengths.append([abs(float(b) - float(a)) for a, b in paths if abs(float(b) - float(a)) > 12])
    assert len(lengths[0]) == 8  # the score and seven categories
    assert max(lengths[0]) - min(lengths[0]) < 1.0  # all right, everywhere


def test_there_is_no_picture_of_nothing():
    assert viz.category_bars([]) == viz.category_bars([scoring.report([]) | {"title": "x"}]) == ""
    assert viz.source_heatmap([result("x", 0.5, sources=1)]) == ""
    assert viz.probe_bars([]) == ""
    assert "<svg" in viz.probe_bars([{"title": "m", "mode": "blind", "difference": -3.0, "interval": None}])
