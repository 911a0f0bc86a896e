"""The page about size says what was measured, and the reckoning behind it is right; merging takes little for each question."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import scale  # noqa: E402

from builder import corpus, pipeline, recipe  # noqa: E402


def test_the_page_states_the_costs():
    page = scale.PAGE.read_text()
    assert page == scale.filled(page, json.loads(scale.COSTS.read_text())), "run: python tests/benchmarks/scale.py"


def test_the_reckoning():
    costs = {
        "ask": {"cpu_s_per_clip": 0.5, "bytes_per_clip": 100_000},
        "merge": [
            {"rows": 1_000, "tracks": 25, "peak_mb": 200, "assemble_s": 1, "export_s": 1, "bytes": 60_000, "pool": 5_000, "kinds": 1},
            {
                "rows": 101_000,
                "tracks": 2_525,
                "peak_mb": 300,
                "assemble_s": 51.5,
                "export_s": 49.5,
                "bytes": 6_060_000,
                "pool": 505_000,
                "kinds": 1,
            },
        ],
    }
    lines = scale.table(costs)
    assert any(line.startswith("| 10,000 | ask | 1.4 h | 1.3 min | 10,000 | 1.0 GB |") for line in lines)
    merge = next(line for line in lines if line.startswith("| 10,000,000 | merge: 400,000,000 rows"))
    assert "| 4.6 d | 4.6 d | 8,006 | 24.0 GB | memory: 221 GB |" in merge


def test_assembling_more_takes_few_bytes_for_each_question(tmp_path: Path):
    """The catalogue itself, and that the same people under other names are all there."""
    plan = pipeline.Plan((("synthetic", "3"),), "", recipe.load(), tmp_path)
    clips = pipeline.clips_of(plan)
    pipeline.process(clips, plan, 1, lambda *_: None)
    people, _, _ = pipeline.gather(clips, plan)
    seen = corpus._looked_at(scale.Repeated(people, 40), plan.recipe).catalogue
    assert len(seen) == 40 * sum(len(p.questions) for p in people)
    size = sum(a.itemsize * len(a) for a in (seen._id, seen._kind, seen._answer, seen._holder))
    assert size / len(seen) <= 20
    assert len(seen.kinds) <= len(seen) / 40


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_no_more_than_a_gigabyte():
    small, large = (scale.alone("merge", str(rows)) for rows in (10_000, 100_000))
    assert large["rows"] > 8 * small["rows"]
    assert large["peak_mb"] < 1_000
