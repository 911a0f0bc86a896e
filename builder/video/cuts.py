"""Where one shot ends and another begins.

Two frames differ by the product of a colour-histogram distance (0-1; a pan changes little of it) and of how unlike their grey
thumbnails are (0-2; a change of light changes little of it).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.types import Floats
from builder.video.container import LIMITS, Limits
from builder.video.frames import ROUNDING_S, Frame, read_frames

# Set on real footage: frames of one shot stay below 0.07 even seconds apart, cuts between two views of one place start at 0.14.
CUT = 0.1
ABOVE_OTHERS = 2.5
REACH_S = 0.2
SIDE_PX = 64
CELLS = 9
FLAT_GREY = 4.0


class _Look(NamedTuple):
    time_s: float
    colours: Floats  # (512,) shares of the pixels
    thumbnail: Floats  # (CELLS * CELLS,) grey levels about their mean


def shot_cuts(video: str | Path | Iterable[Frame], limits: Limits = LIMITS) -> list[float]:
    """Times (s) of the first frame of each new shot, from a path or from frames in order, all of one size.

    At a cut the difference stands out from its neighbours (unlike within a fast pan), and everything up to 0.2 s before
    differs from everything up to 0.2 s after (unlike around a flash).  Dissolves and shots shorter than that are not found.
    """
    frames = read_frames(video, longest_side=SIDE_PX, limits=limits) if isinstance(video, str | Path) else video
    cuts: list[float] = []
    window: list[_Look] = []
    place = 1  # of the first frame in the window that is not judged yet
    for frame in frames:
        window.append(_look(frame))
        while place < len(window) - 1 and window[place].time_s + REACH_S < frame.time_s:
            cuts += _judged(window, place)
            place += 1
            while place > 1 and window[1].time_s < window[place].time_s - REACH_S:
                del window[0]
                place -= 1
    return cuts + [t for rest in range(place, len(window)) for t in _judged(window, rest)]


def _judged(window: list[_Look], place: int) -> list[float]:
    """The time of the frame at `place` if a shot begins there."""
    here = window[place].time_s
    before = [look for look in window[:place] if look.time_s >= here - REACH_S - ROUNDING_S] or window[place - 1 : place]
    after = [look for look in window[place:] if look.time_s <= here + REACH_S + ROUNDING_S]
    step = _difference(before[-1], after[0])
    if step < CUT:
        return []
    others = sorted(_difference(a, b) for side in (before, after) for a, b in pairwise(side))
    if step < ABOVE_OTHERS * max(others[:-1], default=0.0):  # one flash may rival
        return []
    return [here] if min(_difference(a, b) for a in before for b in after) >= CUT else []


def _look(frame: Frame) -> _Look:
    step = max(1, max(frame.image.shape[:2]) // SIDE_PX)
    small: NDArray[Any] = frame.image[::step, ::step].astype(np.int64)
    colours = np.bincount((small // 32 @ np.array([64, 8, 1])).ravel(), minlength=512) / (small.size / 3)
    rows, columns = (np.arange(n) * CELLS // n for n in small.shape[:2])
    cell = (rows[:, None] * CELLS + columns).ravel()
    grey = np.bincount(cell, small.mean(axis=2).ravel(), CELLS**2) / np.maximum(np.bincount(cell, minlength=CELLS**2), 1)
    return _Look(frame.time_s, colours, grey - grey.mean())


def _difference(a: _Look, b: _Look) -> float:
    colour = float(np.abs(a.colours - b.colours).sum()) / 2
    spread_a, spread_b = float(a.thumbnail.std()), float(b.thumbnail.std())
    if max(spread_a, spread_b) < FLAT_GREY:
        return 0.0
    correlation = float((a.thumbnail * b.thumbnail).mean()) / (max(spread_a, FLAT_GREY) * max(spread_b, FLAT_GREY))
    return colour * (1 - correlation)
