"""A long video as the stretches worth watching one by one: cut where the picture is cut, and else about evenly."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from builder.types import VideoError
from builder.video.container import LIMITS, Limits, probe
from builder.video.cuts import SIDE_PX, shot_cuts
from builder.video.frames import Frame, read_frames

LONGEST_S = 30.0
SHORTEST_S = 2.0  # a shot that is shorter shows no movement worth a question
FORM = 1  # of what is remembered about a video


class Stretch(NamedTuple):
    """Frames [start, end) of a video, by their numbers in the order in which they are shown; `fps` of all of it on average."""

    start: int
    end: int
    fps: float


class Shots(NamedTuple):
    """The frames at which a video's shots begin, from 0, and the number of all; its average rate."""

    edges: list[int]
    fps: float


def stretches(path: str | Path, limits: Limits = LIMITS, memory: Path | None = None) -> list[Stretch]:
    """The stretches of a video that lasts longer than LONGEST_S, in order; none of a shorter one, which is a clip as it is.

    No stretch is longer than LONGEST_S nor crosses a cut; shots under SHORTEST_S are left out.  The whole video is decoded for it,
    unless the folder `memory` knows its shots from before.  Raises VideoError, SetupError.
    """
    path = Path(path)
    if probe(path, limits).duration_s <= LONGEST_S:
        return []
    note = None if memory is None else memory / f"{_identity(path)}.json"
    shots = _recalled(note)
    if shots is None:
        shots = _watched(path, limits)
        if note is not None:
            _note(note, shots)
    within = pairwise(shots.edges)
    return [Stretch(start, end, shots.fps) for shot in within for start, end in parted(*shot, shots.fps)]


def parted(start: int, end: int, fps: float) -> Iterator[tuple[int, int]]:
    """A shot [start, end) in as few equal parts as are no longer than LONGEST_S; none of a shot under SHORTEST_S."""
    if end - start < SHORTEST_S * fps:
        return
    count = max(1, math.ceil((end - start) / (LONGEST_S * fps)))
    edges = [start + round((end - start) * k / count) for k in range(count + 1)]
    yield from pairwise(edges)


def _watched(path: Path, limits: Limits) -> Shots:
    times_s: list[float] = []

    def watched() -> Iterator[Frame]:
        for frame in read_frames(path, longest_side=SIDE_PX, limits=limits):
            times_s.append(frame.time_s)
            yield frame

    cuts = set(shot_cuts(watched()))
    edges = [0, *(k for k, t in enumerate(times_s) if t in cuts), len(times_s)]
    return Shots(edges, (len(times_s) - 1) / (times_s[-1] - times_s[0]))


def _identity(path: Path) -> str:
    try:
        known = path.stat()
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from None
    return hashlib.sha256(f"{path.resolve()}\n{known.st_size}\n{known.st_mtime_ns}".encode()).hexdigest()[:32]


def _note(note: Path, shots: Shots) -> None:
    """Remember the shots, where that can be: it saves time and nothing else."""
    temporary = note.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps([FORM, *shots]), "utf-8")
        os.replace(temporary, note)


def _recalled(note: Path | None) -> Shots | None:
    """What is remembered, if it is whole and of today's form."""
    if note is None:
        return None
    try:
        form, edges, fps = json.loads(note.read_text("utf-8"))
        rising = edges[0] == 0 and all(b > a for a, b in pairwise(edges))
        return Shots([int(e) for e in edges], float(fps)) if form == FORM and rising and fps > 0 else None
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None
