"""The six nouns of the project and its errors.  Everything else takes and returns these.

World frame: right-handed, metres, +Y up.  Anchored frame: origin at the root in the first valid frame, +Z where the person
faces then, +X to their left, +Y up.  Body axes (SMPL): +X the person's left, +Y up, +Z forward.  Spans are half-open.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CATEGORIES = (
    "numerical",
    "comparative",
    "dominant",
    "temporal",
    "ordering",
    "trajectory_affordance",
    "existence",
)
CHANNELS = ("displacement_x", "displacement_y", "displacement_z", "rotation_yaw", "rotation_pitch", "rotation_roll")
ALL_CHANNELS = (*CHANNELS, "radial")  # the six spatial codes, and the distance from the start
ROOT_KINDS = ("pelvis", "pelvis_approx", "midhip", "smpl_transl")
FRAMES = ("world", "anchored")


class HumanMoveError(Exception):
    """Base of every error that a user can cause.  Its message says what was expected, what came, where, and what to do."""


class TrackError(HumanMoveError):
    """A motion track is not what a track must be."""


class SourceError(HumanMoveError):
    """A source folder or file cannot be read as that source."""


class RecipeError(HumanMoveError):
    """A recipe has a missing, unknown or impossible value."""


class PluginError(HumanMoveError):
    """No plugin of that name, or it lacks a function of its contract."""


class StoreError(HumanMoveError):
    """The work folder cannot be used as asked."""


class BuildError(HumanMoveError):
    """A build cannot be finished or does not meet its own bar."""


class DataError(HumanMoveError):
    """A dataset folder or name cannot be resolved or loaded."""


class SetupError(HumanMoveError):
    """Something that this machine needs for the task is missing: a package, weights, a renderer."""


class VideoError(HumanMoveError):
    """A video cannot be read or written as asked."""


class LiftError(HumanMoveError):
    """A clip cannot be lifted, or its result is not to be trusted."""


class NotNowError(HumanMoveError):
    """It cannot be done at this moment, which says nothing about the clip: no memory, no space, results that are still to come.

    It is never remembered as a verdict: the next run tries again by itself.
    """


class RoomError(StoreError, NotNowError):
    """A disk is full, or cannot be written to: nothing more can be kept, so the run ends."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
PASSING = (*NO_ROOM, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE)


def passes(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is of this moment and machine rather than of the data."""
    while error is not None:
        if isinstance(error, NotNowError | MemoryError) or (isinstance(error, OSError) and error.errno in PASSING):
            return True
        error = error.__cause__ or error.__context__
    return False


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class Clip:
    """One stretch of one recording: what a question's video shows.

    `fps` is frames per second of the frame numbers; `[start_frame, end_frame)` are source frame numbers; `group` is the
    leakage key (everything that shares it stays on one side of the split); `redistribution` is "open" or "qa_only".
    """

    clip_id: str
    source: str
    sequence: str
    fps: float
    start_frame: int
    end_frame: int
    num_frames: int
    group: str
    redistribution: str
    view: str = ""
    video: Path | None = None
    width: int = 0
    height: int = 0
    camera: str = "static"
    split: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Track:
    """One person through one clip: T frames at `fps`.

    valid (T,) bool; body_to_world (T, 3, 3) rotations; position_m (T, 3) root position in metres; joints_m (T, J, 3) or
    None; camera_to_world (T, 4, 4) or None; frame_ids (T,) strictly increasing source frame numbers.  `frame` says whether
    the world is the lifter's ("world") or already the person's ("anchored").  `extra` keeps raw source parameters
    (`pose_body`, `betas`, `transl`, `bbox`, ...) as numeric arrays, untouched.  Construction raises TrackError.
    """

    clip_id: str
    person_id: str
    fps: float
    valid: Bools
    body_to_world: Floats
    position_m: Floats
    frame_ids: NDArray[np.int64]
    root_kind: str = "pelvis"
    joints_m: Floats | None = None
    camera_to_world: Floats | None = None
    frame: str = "world"
    lifter: str = "groundtruth"
    referent: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.position_m)
        where = f"track {self.clip_id}/{self.person_id}"

        def need(ok: bool, name: str, expected: str, got: object) -> None:
            if not ok:
                raise TrackError(f"{where}: field {name!r}: expected {expected}, got {got}")

        need(n >= 2, "position_m", "at least 2 frames", f"{n} frame(s)")
        need(np.isfinite(self.fps) and 1 <= self.fps <= 1000, "fps", "frames per second between 1 and 1000", self.fps)
        shapes = {
            "position_m": (self.position_m, (n, 3)),
            "body_to_world": (self.body_to_world, (n, 3, 3)),
            "valid": (self.valid, (n,)),
            "frame_ids": (self.frame_ids, (n,)),
        }
        for name, (array, shape) in shapes.items():
            need(array.shape == shape, name, f"shape {shape}", f"shape {array.shape}")
        need(self.valid.dtype == bool, "valid", "booleans", self.valid.dtype)
        need(bool(self.valid.any()), "valid", "at least one valid frame", "none")
        for name, values in (("position_m", self.position_m), ("body_to_world", self.body_to_world)):
            bad = np.flatnonzero(~np.isfinite(values.reshape(n, -1)).all(axis=1) & self.valid)
            need(bad.size == 0, name, "finite numbers in valid frames", f"NaN or infinity first in frame {bad[:1].tolist()}")
        need(bool((np.diff(self.frame_ids) > 0).all()), "frame_ids", "strictly increasing numbers", "a repeat or a step back")
        need(self.root_kind in ROOT_KINDS, "root_kind", f"one of {ROOT_KINDS}", repr(self.root_kind))
        need(self.frame in FRAMES, "frame", f"one of {FRAMES}", repr(self.frame))
        rotations = self.body_to_world[self.valid]
        off = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        need(bool(off.max() < 5e-3), "body_to_world", "rotation matrices (R R' = 1 within 0.005)", f"an error of {off.max():.3g}")
        need(bool((np.linalg.det(rotations) > 0).all()), "body_to_world", "right-handed rotations", "a reflection")

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.position_m)


@dataclass(frozen=True)
class Event:
    """One movement in one direction: a monotone excursion of one channel.

    `[start_frame, end_frame)` is where it visibly moves and `span` the whole excursion between turning points, both on the
    motion's own grid; `amount` is signed (metres or degrees) and covers `span`; `speed` is its mean rate while it moves
    (m/s or deg/s).  `code` is a channel name or a compound ("walk", "jump", ...), `direction` a key of `motion.DIRECTIONS`.
    """

    code: str
    direction: str
    start_frame: int
    end_frame: int
    amount: float
    speed: float
    size: str
    pace: str
    span: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Motion:
    """What one person did in one clip, on a regular grid of `num_frames` samples at `fps` (the recipe's grid rate).

    `signals` maps each channel to (N,) values in the anchored frame (metres, or degrees for rotations); `path_m` (N, 2) is
    the floor path (left, forward); `heading_deg` (N,) is unwrapped, positive to the left; `heading_ok` and `lean_ok` (N,)
    mark where facing and leaning are defined.
    """

    clip_id: str
    person_id: str
    fps: float
    num_frames: int
    events: tuple[Event, ...]
    signals: Mapping[str, Floats]
    path_m: Floats
    heading_deg: Floats
    heading_ok: Bools
    lean_ok: Bools
    referent: str | None = None


@dataclass(frozen=True)
class Question:
    """One multiple-choice question.  `options` carry no letters; `answer` is the index of the true one.

    `evidence` holds the deciding values (JSON-ready), `robustness` the share of perturbed copies that agree, 0-1.
    """

    id: str
    clip_id: str
    person_id: str
    category: str
    template: str
    quantity: str
    window: str
    text: str
    options: tuple[str, ...]
    answer: int
    evidence: Mapping[str, Any]
    robustness: float = 1.0

    @property
    def answer_text(self) -> str:
        """The text of the true option."""
        return self.options[self.answer]


@dataclass(frozen=True)
class Score:
    """Chance-normalised scores, 0-1 in code (x 100 when printed); `interval` is the 95 % interval of `score_macro`."""

    score_macro: float
    score_micro: float
    by_category: Mapping[str, float]
    by_source: Mapping[str, float]
    n: int
    invalid_rate: float
    interval: tuple[float, float]
