"""One sequence of a dataset as it was recorded: its frames, people, cameras, and how its frame lies in our world.

`HUMANMOVEVQA_BODY_MODELS` names the user's folder of SMPL and SMPL-X models, which give the exact pelvis; without it a documented
constant stands in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.body import pelvis, rest_pelvis
from builder.geometry import matrices_from_rotvec, upright
from builder.types import Bools, Floats, HumanMoveError, SetupError

MODELS = "HUMANMOVEVQA_BODY_MODELS"
STANDS_DEG = 45.0  # tilt under which somebody is upright enough for a clip to begin
EDGE = 0.02  # of the picture's sides in which somebody is half gone
NEAREST_M = 0.3


@dataclass(frozen=True, eq=False)
class World:
    """How a source's frame lies in ours: `p -> scale * rotation @ p + offset_m`.  Raises SourceError for what is no rotation."""

    rotation: Floats = field(default_factory=lambda: np.eye(3))
    offset_m: Floats = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def place(self, points: Floats) -> Floats:
        """Points (..., 3) of the source in our world."""
        return np.asarray(self.scale * points @ self.rotation.T + self.offset_m)

    def camera_to_world(self, from_source: Floats) -> Floats:
        """Cameras (..., 4, 4) in our world from source-to-camera transforms (..., 4, 4)."""
        out = np.zeros_like(from_source)
        turn = from_source[..., :3, :3]
        out[..., :3, :3] = self.rotation @ np.swapaxes(turn, -1, -2)
        out[..., :3, 3] = self.place(-np.einsum("...ji,...j->...i", turn, from_source[..., :3, 3]))
        out[..., 3, 3] = 1.0
        return out


@dataclass(frozen=True, eq=False)
class View:
    """One camera: K (3, 3) in pixels for pictures of `size` (width, height), source-to-camera (4, 4) or (N, 4, 4), its images."""

    name: str
    camera_matrix: Floats
    size: tuple[int, int]
    from_source: Floats
    images: Mapping[int, Path]

    def project(self, points: Floats, rows: Any) -> tuple[Floats, Floats]:
        """Pixels (n, 2) and depths (n,) of points (n, 3) of the source at these rows of the recording."""
        pose = self.from_source if self.from_source.ndim == 2 else self.from_source[rows]
        seen = np.einsum("...ij,...j->...i", pose[..., :3, :3], points) + pose[..., :3, 3]
        depth = seen[:, 2]
        return (seen @ self.camera_matrix.T)[:, :2] / np.maximum(depth, 1e-6)[:, None], depth

    def holds(self, points: Floats, rows: Any) -> Bools:
        """Whether these points are in the picture, (n,)."""
        pixels, depth = self.project(points, rows)
        size = np.array(self.size)
        return np.asarray(((pixels > EDGE * size) & (pixels < (1 - EDGE) * size)).all(axis=1) & (depth > NEAREST_M))


@dataclass(frozen=True, eq=False)
class Fit:
    """A body's root in the source's frame over n rows: turn (n, 3) axis-angle, transl (n, 3), betas (B,) or (n, B)."""

    global_orient: Floats
    transl: Floats
    betas: Floats


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a recording; `valid` (N,): fitted and, as far as the source says, visible; `read(rows)` their fit there.

    `pelvis_px` (N, 2) is where the source itself projects the pelvis, if it does.
    """

    person_id: str
    gender: str
    valid: Bools
    read: Callable[[Sequence[int]], Fit]
    referent: str | None = None
    pelvis_px: Floats | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """One sequence of a dataset, N frames `frame_ids` (N,) one apart.

    `model` is "smpl" or "smplx"; `camera` "static" or "moving"; `floor` (up (3,), offset) in the source's frame, a point's height being
    `up . p + offset`; `state` a digest of the files behind it; `notes` what was found here that other copies may have otherwise.
    """

    source: str
    sequence: str
    fps: float
    frame_ids: NDArray[np.int64]
    group: str
    split: str | None
    model: str
    camera: str
    world: World
    people: tuple[Person, ...]
    views: tuple[View, ...]
    state: str
    floor: tuple[Floats, float] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def everybody(self) -> Bools:
        """Rows (N,) in which every person is valid."""
        return np.asarray(np.all([p.valid for p in self.people], axis=0))

    def root(self, person: Person, rows: Sequence[int]) -> tuple[Floats, Floats, str]:
        """Pelvis (n, 3) and body axes (n, 3, 3) in the source's frame at valid rows, and what kind of pelvis it is."""
        fit = person.read(rows)
        rest_m, kind = rest_pelvis(self.model, person.gender, fit.betas, os.environ.get(MODELS))
        return pelvis(fit.transl, rest_m), matrices_from_rotvec(fit.global_orient), kind

    def stands(self, row: int) -> bool:
        """Whether everybody is upright in a row in which everybody is valid."""
        turns = [self.world.rotation @ self.root(p, [row])[1] for p in self.people]
        return all(upright(turn, STANDS_DEG)[0] for turn in turns)


@dataclass(frozen=True)
class Broken:
    """A sequence that is there and cannot be used, and why, in a line."""

    sequence: str
    problem: str


Found = Recording | Broken
Attempts = list[Callable[[], Found]]  # one per sequence, in order; calling it reads the sequence


def attempt(sequence: str, read: Callable[[], Recording]) -> Found:
    """A sequence's recording, or what is wrong with it."""
    try:
        return read()
    except SetupError:
        raise
    except HumanMoveError as error:
        return Broken(sequence, " ".join(str(error).split()))
