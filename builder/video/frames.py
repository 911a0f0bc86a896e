"""Frames of a video in the order, at the times and the right way up as they are shown.

PyAV reads in one pass from the start, because only that is right for constant and varying rates, edit lists and rotation
alike; a frame is never sought by its number.  One frame is held at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.types import Floats, VideoError
from builder.video.container import LIMITS, Limits, Scan, keeps_no_times, named_errors, need, opened, packets, scan, undecodable

Image = NDArray[np.uint8]

ROUNDING_S = 1e-6


@dataclass(frozen=True, eq=False)
class Frame:
    """One shown frame: its number from 0, its time in seconds after frame 0, and its image (H, W, 3), RGB."""

    index: int
    time_s: float
    image: Image


class Shown(NamedTuple):
    """A frame before its conversion: number, time in seconds, PyAV's picture (None where only the time matters)."""

    number: int
    time_s: float
    picture: Any


def read_frames(
    path: str | Path,
    fps: float | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    longest_side: int | None = None,
    limits: Limits = LIMITS,
) -> Iterator[Frame]:
    """The frames shown in [start_s, end_s), upright; with `fps` the nearest frame to each start_s + k / fps instead.

    A resampled frame keeps its own number and time, and comes again when it is the nearest again.  `longest_side` shrinks
    (area filter), never enlarges; a picture that changes size midway is scaled to the first.  Everything before `start_s` is
    decoded too.  Raises VideoError: at once for what the header shows, else when the bad frame is reached.
    """
    path, stop_s = Path(path), math.inf if end_s is None else end_s
    need(0 <= start_s < stop_s, path, f"expected 0 <= start_s < end_s, got {start_s} and {end_s}")
    need(fps is None or 0 < fps <= 1000, path, f"expected fps between 0 and 1000, got {fps}")
    need(longest_side is None or longest_side > 0, path, f"expected a positive longest_side, got {longest_side}")
    known = scan(path, limits)
    shown = _decode(path, limits)

    def in_window() -> Iterator[Shown]:
        for s in takewhile(lambda s: s.time_s < stop_s - ROUNDING_S, shown):
            if s.time_s >= start_s - ROUNDING_S:
                yield s

    def resampled(rate: float) -> Iterator[Shown]:
        targets = takewhile(lambda t: t < stop_s - ROUNDING_S, (start_s + k / rate for k in count()))
        return _nearest(shown, targets, 0.5 / rate)

    def run() -> Iterator[Frame]:
        frame = None
        for s in in_window() if fps is None else resampled(fps):
            if frame is None or s.number != frame.index:
                frame = Frame(s.number, s.time_s, _image(path, s.picture, known, longest_side))
            yield frame
        need(frame is not None, path, f"no frame is shown from {start_s:g} s to {stop_s:g} s; it lasts {known.info.duration_s:.2f} s")

    return run()


def sample_frames(
    path: str | Path, times_s: Sequence[float], longest_side: int | None = None, limits: Limits = LIMITS
) -> tuple[Image, Floats]:
    """The frame nearest to each time (any order): images (N, H, W, 3) RGB as `read_frames` gives them, true times (N,).

    Skips to them with decord where it is installed and known to give the same pixels, else reads up to the last of them.
    """
    path, wanted = Path(path), np.asarray(times_s, float)
    need(wanted.ndim == 1 and wanted.size > 0 and bool(np.isfinite(wanted).all()), path, "expected one or more times in seconds")
    need(longest_side is None or longest_side > 0, path, f"expected a positive longest_side, got {longest_side}")
    known = scan(path, limits)
    order = np.argsort(wanted, kind="stable")
    targets = wanted[order].tolist()
    times = np.empty(len(wanted))
    if known.plain and longest_side is None:
        moments = (Shown(i, float(t), None) for i, t in enumerate(known.times_s))
        numbers = np.empty(len(wanted), int)
        for row, s in zip(order, _nearest(moments, iter(targets)), strict=True):
            numbers[row], times[row] = s.number, s.time_s
        skipped_to = _with_decord(path, known, numbers.tolist())
        if skipped_to is not None:
            return skipped_to, times
    images: Image | None = None
    row_of: dict[int, int] = {}
    for row, s in zip(order, _nearest(_decode(path, limits), iter(targets)), strict=True):
        image = images[row_of[s.number]] if images is not None and s.number in row_of else _image(path, s.picture, known, longest_side)
        if images is None:
            images = np.empty((len(wanted), *image.shape), np.uint8)
        images[row], times[row], row_of[s.number] = image, s.time_s, row
    assert images is not None
    return images, times


def _decode(path: Path, limits: Limits) -> Iterator[Shown]:
    """Every shown frame in order, with strictly increasing times from 0."""
    start, last, number, time_s = None, -math.inf, 0, 0.0
    with opened(path, limits) as (container, stream):
        stream.thread_type = "AUTO"
        for packet in packets(container, stream):
            try:
                pictures = packet.decode()
            except undecodable() as error:
                if start is None:
                    continue  # before the first key frame there is nothing to build on
                what = f"damaged, cut off, or larger than {limits.pixels} pixels"
                raise VideoError(f"{path}: after {time_s:.2f} s a frame is {what} ({getattr(error, 'strerror', error)})") from None
            for picture in pictures:
                if keeps_no_times(container):
                    tick = last + 1 if picture.dts is None else picture.dts
                elif picture.pts is None or picture.pts <= last:
                    continue  # a player shows it for no time
                else:
                    tick = picture.pts
                start, last = tick if start is None else start, tick
                time_s = float((tick - start) * stream.time_base)
                size, pixels = f"{picture.width} x {picture.height}", picture.width * picture.height
                need(pixels <= limits.pixels, path, f"after {time_s:.2f} s a frame of {size} is larger than {limits.pixels} pixels")
                need(number < limits.frames, path, f"it has more than {limits.frames} frames, which are the most that are read")
                need(time_s <= limits.seconds, path, f"it lasts longer than {limits.seconds:g} s, which are the most that are read")
                yield Shown(number, time_s, picture)
                number += 1
    need(number >= 2, path, f"expected at least 2 frames, found {number}")


def _nearest(shown: Iterator[Shown], targets: Iterator[float], reach_s: float = -math.inf) -> Iterator[Shown]:
    """For each ascending target the frame nearest in time, of two equally near the earlier.

    After the last frame, which lasts as long as the one before it, come the targets at least `reach_s` before its end.
    """
    target = next(targets, None)
    before, lasts_s = None, 0.0
    for now in shown:
        while target is not None and before is not None and target - before.time_s <= now.time_s - target:
            yield before
            target = next(targets, None)
        if target is None:
            return
        lasts_s = 0.0 if before is None else now.time_s - before.time_s
        before = now
    while before is not None and target is not None and target + reach_s <= before.time_s + lasts_s + ROUNDING_S:
        yield before
        target = next(targets, None)


def _image(path: Path, picture: Any, known: Scan, longest_side: int | None) -> Image:
    """The upright RGB image (H, W, 3) of a decoded frame, at most `longest_side` long."""
    a, b, c, d = known.matrix
    width, height = known.info.width, known.info.height
    if longest_side is not None and longest_side < max(width, height):
        scale = longest_side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    if a == 0:
        width, height = height, width
    with named_errors(path, f"a frame cannot be converted from {picture.format.name} to RGB"):
        # More threads cost more here than they save.
        rgb = picture.reformat(width, height, format="rgb24", interpolation="AREA", threads=1).to_ndarray()
    if a == 0:
        rgb = rgb.transpose(1, 0, 2)
    return np.ascontiguousarray(rgb[:: (d or b), :: (a or c)])


def _with_decord(path: Path, known: Scan, numbers: list[int]) -> Image | None:
    """Images (N, H, W, 3) of these frame numbers, or None where decord is missing or counts frames otherwise."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    try:
        reader = decord.VideoReader(str(path.absolute()), num_threads=1)
        times = reader.get_frame_timestamp(list(range(len(reader))))[:, 0]
        if len(times) != len(known.times_s) or np.abs(times - times[0] - known.times_s).max() > 1e-3:
            return None
        images: Image = reader.get_batch(numbers).asnumpy()
    except (decord.DECORDError, RuntimeError, AssertionError, IndexError):
        return None
    return images if images.shape[1:] == (known.info.height, known.info.width, 3) else None
