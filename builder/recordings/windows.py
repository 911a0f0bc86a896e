"""Where a long recording is cut into clips: at frames in which everybody is seen, each clip starting with everybody upright.

A clip's first frame is the origin of all its questions, so it must be a good one; what follows may have short gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from builder.types import Bools

LEAST_S, WANTED_S, MOST_S = 8.0, 20.0, 30.0
GAP_S = 0.5  # a longer absence ends a clip
LEAST_SEEN = 0.9  # of a clip's frames, as the recipe's min_visible
STEP_S = 0.25  # between frames that are tried as a clip's first


def windows(valid: Bools, fps: float, stands: Callable[[int], bool]) -> list[tuple[int, int]]:
    """Rows [start, end) of each clip, in order and apart; `valid` (N,) says in which rows everybody is seen.

    `stands(row)` says whether everybody is upright there; it is asked about few rows.  Clips of one run are about equally long,
    `WANTED_S` seconds or as near to it as `LEAST_S` to `MOST_S` allow.
    """
    found = []
    for first, end in _runs(valid, fps):
        start = _anchor(first, end, valid, fps, stands)
        if start is None or end - start < LEAST_S * fps:
            continue
        seconds = (end - start) / fps
        parts = max(1, round(seconds / WANTED_S), int(np.ceil(seconds / MOST_S)))
        edges = [start + round(k * (end - start) / parts) for k in range(parts + 1)]
        for a, b in pairwise(edges):
            begin = _anchor(a, b, valid, fps, stands)
            last = a + int(np.flatnonzero(valid[a:b])[-1]) + 1 if valid[a:b].any() else a
            if begin is not None and last - begin >= LEAST_S * fps and valid[begin:last].mean() >= LEAST_SEEN:
                found.append((begin, last))
    return found


def _runs(valid: Bools, fps: float) -> Iterator[tuple[int, int]]:
    """Stretches [start, end) that begin and end with a valid row and have no gap of `GAP_S` or longer."""
    rows = np.flatnonzero(valid)
    if rows.size:
        cuts = np.flatnonzero(np.diff(rows) > GAP_S * fps) + 1
        for part in np.split(rows, cuts):
            yield int(part[0]), int(part[-1]) + 1


def _anchor(start: int, end: int, valid: Bools, fps: float, stands: Callable[[int], bool]) -> int | None:
    """The first row of [start, end) tried in which everybody is seen and upright, None when a clip from it would be too short."""
    row = start
    while end - row >= LEAST_S * fps:
        if valid[row] and stands(row):
            return row
        row += max(1, round(STEP_S * fps)) if valid[row] else 1
    return None
