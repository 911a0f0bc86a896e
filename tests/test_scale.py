"""The page about size says what was measured, and the reckoning behind it is right; merging takes little for each question."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import scale  # noqa: E402

from builder import assemble, corpus, recipe, spool  # noqa: E402


def test_the_page_states_the_costs():
    page = scale.PAGE.read_text()
    assert page == scale.filled(page, json.loads(scale.COSTS.read_text())), "run: python tests/benchmarks/scale.py"


def test_the_reckoning():
    costs = {
        "ask": {"cpu_s_per_clip": 0.5, "bytes_per_clip": 100_000},
        "merge": [
            {"rows": 1_000, "tracks": 25, "peak_mb": 200, "cpu_s": 5, "bytes": 60_000, "pool": 5_000},
            {"rows": 101_000, "tracks": 2_525, "peak_mb": 300, "cpu_s": 25.25, "bytes": 6_060_000, "pool": 505_000},
        ],
    }
    lines = scale.table(costs)
    assert any(line.startswith("| 10,000 | ask | 1.4 h | 1.3 min | 10,000 | 1.0 GB |") for line in lines)
    merge = next(line for line in lines if line.startswith("| 10,000,000 | merge: 400,000,000 rows"))
    assert "| 27.8 h | 27.8 h | 8,006 | 24.0 GB | one core |" in merge
    assert "| 2,525 | 505,000 | 101,000 | 25.2 s | 300 MB | 6.1 MB |" in scale.merge_table(costs)


def test_choosing_from_ten_times_as_much_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From numbers alone; what is of one size for every corpus, and large beside these, is made smaller."""
    monkeypatch.setattr(assemble, "PARTS", 1 << 16)
    monkeypatch.setattr(spool, "BLOCK", 1 << 12)
    known, rng = recipe.load(), np.random.default_rng(0)
    options = ("Backward", "Forward", "Left", "Right")
    cells = assemble.cells_of(
        [assemble.Outcome("dominant", f"t{k % 20}", f"q{k % 50}", "whole", options, o) for k in range(100) for o in options]
    )

    def peak(people: int) -> tuple[int, int]:
        pool = spool.Pool(tmp_path / str(people))
        tracemalloc.start()
        for person in range(people):
            skewed = np.minimum(rng.integers(0, 400, 100), rng.integers(0, 400, 100)).tolist()
            pool.add(person, skewed, rng.integers(0, 2**64, 100, np.uint64).tolist())
        kept = assemble.chosen(pool, cells, known)
        first = assemble.ids_at(kept, corpus._one_key, np.array([sum(map(len, kept))]), np.zeros(2, int), np.arange(2))
        assert len(first) == 2
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, sum(map(len, kept))

    (small, few), (large, many) = peak(500), peak(5_000)
    assert many > 8 * few
    assert large - small < 100 * (5_000 - 500), "a byte for every further question"


@pytest.mark.slow
def test_eight_times_as_many_people_take_little_more_memory():
    """A whole merge; what grows is what the blind solvers see, up to a bound, and a kilobyte for each clip."""
    small, large = (scale.alone("merge", str(people)) for people in (1_000, 8_000))
    assert large["rows"] > 7 * small["rows"]
    assert large["peak_mb"] < 1.25 * small["peak_mb"]
