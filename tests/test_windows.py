"""Where recordings are cut: at frames in which everybody is seen and upright, in pieces of 8 to 30 seconds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from builder.recordings.windows import windows

FPS = 30.0


def cut(valid: np.ndarray, standing: np.ndarray | None = None) -> list[tuple[int, int]]:
    return windows(valid, FPS, lambda row: standing is None or bool(standing[row]))


def seen(seconds: float, *gaps: tuple[float, float]) -> np.ndarray:
    out = np.ones(round(seconds * FPS), dtype=bool)
    for start, end in gaps:
        out[round(start * FPS) : round(end * FPS)] = False
    return out


@pytest.mark.parametrize(("seconds", "parts"), [(7.9, 0), (8, 1), (20, 1), (29, 1), (31, 2), (40, 2), (60, 3), (109, 5)])
def test_a_long_recording_is_cut_into_about_equal_parts(seconds: float, parts: int):
    found = cut(seen(seconds))
    assert len(found) == parts
    lengths = [(end - start) / FPS for start, end in found]
    assert all(8 <= s <= 30 for s in lengths)
    if found:
        assert max(lengths) - min(lengths) < 0.1
        assert found[0][0] == 0
        assert found[-1][1] == round(seconds * FPS)
        assert all(a[1] == b[0] for a, b in pairwise(found))


def test_a_clip_begins_and_ends_with_a_seen_frame_and_a_long_absence_ends_it():
    valid = seen(40, (0, 1), (5, 5.3), (20, 22), (39.9, 40))
    found = cut(valid)
    assert found == [(30, 600), (660, 1197)]
    for start, end in found:
        assert valid[start]
        assert valid[end - 1]
    assert cut(seen(12, (6, 7))) == []  # neither half lasts 8 seconds


def test_too_many_short_gaps_are_too_many():
    flicker = seen(20)
    flicker[5::8] = False
    assert cut(flicker) == []
    flicker[:] = True
    flicker[5::12] = False
    assert cut(flicker) == [(0, 600)]


def test_a_clip_waits_for_somebody_who_lies_to_get_up():
    standing = seen(20, (0, 4))
    ((start, end),) = cut(seen(20), standing)
    assert standing[start]
    assert start <= 4 * FPS + 8
    assert end == 600
    assert cut(seen(20), seen(20, (0, 13))) == []
    assert cut(seen(20), np.zeros(600, dtype=bool)) == []


def test_few_frames_are_asked_whether_somebody_stands():
    asked: list[int] = []
    windows(seen(60), FPS, lambda row: not asked.append(row))  # type: ignore[func-returns-value]
    assert len(asked) <= 4
