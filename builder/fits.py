"""What other people's lifters found, as tracks: which frames are meant, when they are, who is who.

A lifter numbers the frames of the video that it was given, from 0.  So does a clip that has a video of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import referent
from builder.geometry import fill_invalid
from builder.outputs import AGAIN
from builder.types import Bools, Clip, Floats, LiftError, Track

SECONDS_MIN = 1.0  # whoever is fitted for less is nobody to ask about
HALF_M = 0.45, 1.0  # of the box about a person
STILL_M, STILL_DEG = 0.1, 3.0  # a camera within these stands still
FRAMES_OFF = 2  # decoders may disagree about a video's last frames


@dataclass(frozen=True, eq=False)
class Fit:
    """One person in N frames of the video as the lifter read it: `frames` (N,) are its numbers, from 0.

    body_to_world (N, 3, 3) and position_m (N, 3) are of the root in a +Y-up world; seen (N,) bool, all when None.  `box` (N, 4) is
    where in the picture the person is: left, top, right, bottom, 0 to 1 of its width and height.  camera_to_world (N, 4, 4) has OpenCV
    axes.  `extra` is kept as it is.
    """

    person_id: str
    frames: NDArray[np.int64]
    body_to_world: Floats
    position_m: Floats
    root_kind: str
    seen: Bools | None = None
    box: Floats | None = None
    camera_to_world: Floats | None = None
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """The clock of a video: its frames per second, how many of its frames make one of the lifter's, and what is known of its size."""

    video_fps: float
    every: int = 1
    num_frames: int | None = None
    width: int = 0
    height: int = 0

    @property
    def fps(self) -> float:
        """The lifter's frames per second."""
        return self.video_fps / self.every

    def frame_ids(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """The video's numbers of the lifter's frames: of every few it keeps the last."""
        return (frames + 1) * self.every - 1


def timing(clip: Clip, fps: float | None, most_fps: float | None = None) -> Timing:
    """The clock of a clip's video: `fps` when the user says so, else the video's own, else the clip's; never an assumed one.

    A lifter that reads at most `most_fps` keeps every round(fps / most_fps)-th frame.  Raises LiftError when nothing tells, or
    when frames come unevenly, so that their numbers say nothing about time.
    """
    count, width, height, own = None, 0, 0, clip.fps if clip.fps > 0 else None
    if clip.video is not None and Path(clip.video).is_file():
        from builder.video import probe

        info = probe(clip.video)
        if not info.constant_rate and fps is None:
            raise LiftError("its frames come unevenly and lifters only number them; re-encode the video at a constant rate and lift that")
        count, width, height, own = info.num_frames, info.width, info.height, info.fps
    rate = fps or own
    if not rate:
        raise LiftError("nothing says how many frames per second there are; pass the video, or --option fps=30 if it is 30")
    every = 1 if most_fps is None or rate <= most_fps else max(1, round(rate / most_fps))
    return Timing(rate, every, count, width, height)


def need_same_video(clock: Timing, frames: int) -> None:
    """Raise LiftError unless a result over `frames` frames can be of the clip's video."""
    if clock.num_frames is not None and abs(frames - clock.num_frames // clock.every) > FRAMES_OFF:
        raise LiftError(
            f"the results are of a video with {frames} frames, the clip's has {clock.num_frames // clock.every}: not the same video; "
            f"lift this one, {AGAIN}"
        )


def tracks(clip: Clip, fits: Sequence[Fit], clock: Timing, lifter: str, provenance: Mapping[str, Any]) -> list[Track]:
    """The people's tracks, over the clip's frames, with gaps marked; people seen for under a second are left out.

    Raises LiftError when nobody is left.
    """
    found = [(fit, track) for fit in fits if (track := _track(clip, fit, clock, lifter, provenance)) is not None]
    if not found:
        raise LiftError(f"nobody is fitted for {SECONDS_MIN:g} s or longer within the clip's frames")
    names = referent.by_place([_first_place(fit, track, clock) for fit, track in found])
    return [replace(track, referent=name) for (_, track), name in zip(found, names, strict=True)]


def _track(clip: Clip, fit: Fit, clock: Timing, lifter: str, provenance: Mapping[str, Any]) -> Track | None:
    seen = np.ones(len(fit.frames), bool) if fit.seen is None else fit.seen
    seen = seen & np.isfinite(fit.position_m).all(axis=1) & np.isfinite(fit.body_to_world).all(axis=(1, 2))
    ids = clock.frame_ids(np.asarray(fit.frames, np.int64))
    if clip.end_frame > clip.start_frame:
        seen = seen & (ids >= clip.start_frame) & (ids < clip.end_frame)
    _, first_of_each = np.unique(fit.frames, return_index=True)  # sorted; a frame that comes twice counts once
    rows = first_of_each[seen[first_of_each]]
    if len(rows) < max(2, round(SECONDS_MIN * clock.fps)):
        return None
    frames = np.arange(fit.frames[rows[0]], fit.frames[rows[-1]] + 1, dtype=np.int64)
    at = fit.frames[rows] - frames[0]

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        values = np.asarray(values)
        if values.shape[:1] != (len(fit.frames),):
            return values
        out = np.full((len(frames), *values.shape[1:]), np.nan if values.dtype.kind == "f" else 0, values.dtype)
        out[at] = values[rows]
        return out

    valid = np.zeros(len(frames), bool)
    valid[at] = True
    ids = clock.frame_ids(frames)
    span = {"start_frame": int(ids[0]), "end_frame": int(ids[-1]) + 1, "num_frames": int(ids[-1]) + 1 - int(ids[0])}
    poses = None if fit.camera_to_world is None else spread(np.asarray(fit.camera_to_world, float))
    camera = {} if poses is None else {"camera": "moving" if _moves(poses[at]) else "static"}
    extra = dict(fit.extra) if fit.box is None else {**fit.extra, "box": fit.box}
    size = {"width": clock.width, "height": clock.height} if clock.width else {}
    return fill_invalid(
        Track(
            clip_id=clip.clip_id,
            person_id=fit.person_id,
            fps=clock.fps,
            valid=valid,
            body_to_world=spread(np.asarray(fit.body_to_world, float)),
            position_m=spread(np.asarray(fit.position_m, float)),
            frame_ids=ids,
            root_kind=fit.root_kind,
            camera_to_world=poses,
            lifter=lifter,
            provenance={**provenance, "clip": {"fps": clock.video_fps, **size, **camera, **span}},
            extra={name: spread(values) for name, values in extra.items()},
        )
    )


def _moves(camera_to_world: Floats) -> bool:
    """Whether a camera (N, 4, 4) goes somewhere or turns."""
    turned = np.einsum("ij,nij->n", camera_to_world[0, :3, :3], camera_to_world[:, :3, :3])  # the trace of the turn from the first
    gone = np.abs(camera_to_world[:, :3, 3] - camera_to_world[0, :3, 3]).max()
    return bool(gone > STILL_M or turned.min() < 1 + 2 * np.cos(np.radians(STILL_DEG)))


def _first_place(fit: Fit, track: Track, clock: Timing) -> float | None:
    if fit.box is None:
        return None
    row = np.flatnonzero(clock.frame_ids(fit.frames) == track.frame_ids[0])[0]
    middle = (fit.box[row, 0] + fit.box[row, 2]) / 2
    return float(middle) if np.isfinite(middle) else None


def box_about(pelvis_m: Floats, focal_px: float, width: float, height: float) -> Floats:
    """A box (N, 4), 0 to 1 of the picture, about people whose pelvis is at `pelvis_m` (N, 3) before an OpenCV camera.

    As wide as arms and as high as an adult; for lifters that leave no box.  NaN behind the camera.
    """
    x, y, z = np.where(pelvis_m[:, 2:] > 0.1, pelvis_m, np.nan).T
    scale_x, scale_y = focal_px / width / z, focal_px / height / z
    sides = [(x - HALF_M[0]) * scale_x, (y - HALF_M[1]) * scale_y, (x + HALF_M[0]) * scale_x, (y + HALF_M[1]) * scale_y]
    return np.stack(sides, axis=1) + 0.5
