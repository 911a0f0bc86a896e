"""A few pictures of one person out of a clip: well spread over it, large, and with nobody else in front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.fits import box_about
from builder.types import Bools, Floats, Track

COUNT = 5
MARGIN = 0.08  # of the box, added around it
LEAST_SHARE = 0.12  # of the picture's height; a smaller person's clothes cannot be told
LEAST_INSIDE = 0.6  # of the box within the picture
MOST_HIDDEN = 0.15  # of the box that anybody else's covers


def boxes_of(track: Track) -> Floats | None:
    """Where in the picture a person is (T, 4): left, top, right, bottom, 0 to 1 of its width and height; NaN where unknown.

    From `extra`'s `box` or `landmarks_px`, else from the pelvis as `camera_to_world` and `extra`'s `camera_matrix` show it.  None when
    the track has none of these.
    """
    if "box" in track.extra:
        return np.asarray(track.extra["box"], float)
    matrix = track.extra.get("camera_matrix")
    if matrix is None:
        return None
    width, height = 2 * float(matrix[0, 2]), 2 * float(matrix[1, 2])
    if "landmarks_px" in track.extra:
        points = np.asarray(track.extra["landmarks_px"], float)[..., :2] / [width, height]
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    if track.camera_to_world is None:
        return None
    turn, centre = track.camera_to_world[:, :3, :3], track.camera_to_world[:, :3, 3]
    before = np.einsum("tji,tj->ti", turn, track.position_m - centre)
    return box_about(before, float(matrix[0, 0]), width, height)


def rows_of(track: Track, boxes: Floats, others: Sequence[Floats], count: int = COUNT) -> list[int]:
    """Rows of the track, at most `count`, from which to cut: of each of as many equal parts of it the clearest view."""
    fit = track.valid & clear(boxes, others)
    size = np.where(fit, np.nan_to_num((boxes[:, 3] - boxes[:, 1]) * _inside(boxes)), -1.0)
    out = []
    for part in np.array_split(np.arange(track.num_frames), count):
        if len(part) and size[part].max() > 0:
            near = size[part] >= 0.9 * size[part].max()  # of the views about as large, the one in the middle of the part
            middle = np.abs(part - part.mean())
            out.append(int(part[np.argmin(np.where(near, middle, np.inf))]))
    return out


def clear(boxes: Floats, others: Sequence[Floats]) -> Bools:
    """Frames (T,) in which the person is large enough, mostly in the picture, and hardly covered by anybody else."""
    with np.errstate(invalid="ignore"):
        good: Bools = (boxes[:, 3] - boxes[:, 1] >= LEAST_SHARE) & (_inside(boxes) >= LEAST_INSIDE)
        for other in others:
            good = good & ~(_overlap(boxes, other) > MOST_HIDDEN * _area(boxes))
    return good


def _area(boxes: Floats) -> Floats:
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def _overlap(a: Floats, b: Floats) -> Floats:
    return _area(np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], axis=1))


def _inside(boxes: Floats) -> Floats:
    """The part of each box that is in the picture."""
    whole = np.tile([0.0, 0.0, 1.0, 1.0], (len(boxes), 1))
    return _overlap(boxes, whole) / np.maximum(_area(boxes), 1e-9)


def aligned(track: Track, other: Track, boxes: Floats) -> Floats:
    """Another person's boxes over this track's frames (T, 4), NaN where the other is not there."""
    out = np.full((track.num_frames, 4), np.nan)
    _, mine, theirs = np.intersect1d(track.frame_ids, other.frame_ids, return_indices=True)
    out[mine] = np.where(other.valid[theirs, None], boxes[theirs], np.nan)
    return out


def cut(image: NDArray[Any], box: Floats) -> NDArray[Any]:
    """The part of a picture (H, W, 3) in a box, with a margin."""
    height, width = image.shape[:2]
    around = (box[2] - box[0]) * MARGIN, (box[3] - box[1]) * MARGIN
    left, right = (box[0] - around[0]) * width, (box[2] + around[0]) * width
    top, bottom = (box[1] - around[1]) * height, (box[3] + around[1]) * height
    rows = slice(max(0, int(top)), max(int(np.ceil(bottom)), int(top) + 1, 1))
    columns = slice(max(0, int(left)), max(int(np.ceil(right)), int(left) + 1, 1))
    return np.ascontiguousarray(image[rows, columns])


def portraits(video: Path, tracks: Sequence[Track], first_frame: int, count: int = COUNT) -> list[list[NDArray[Any]]]:
    """Pictures of each person, at most `count`; none of who is nowhere large and clear enough.

    `first_frame` is the source frame number that the video begins with.  Raises VideoError.
    """
    from builder.video import probe, sample_frames

    fps = probe(video).fps
    boxes = [boxes_of(track) for track in tracks]
    rows: list[list[int]] = []
    for k, (track, own) in enumerate(zip(tracks, boxes, strict=True)):
        others = [aligned(track, tracks[j], b) for j, b in enumerate(boxes) if j != k and b is not None]
        rows.append([] if own is None else rows_of(track, own, others, count))
    wanted = sorted({int(tracks[k].frame_ids[row]) for k, at in enumerate(rows) for row in at})
    if not wanted:
        return [[] for _ in tracks]
    images, _ = sample_frames(video, [(frame - first_frame) / fps for frame in wanted])
    shown = dict(zip(wanted, images, strict=True))
    out = []
    for track, own, at in zip(tracks, boxes, rows, strict=True):
        out.append([] if own is None else [cut(shown[int(track.frame_ids[row])], own[row]) for row in at])
    return out
