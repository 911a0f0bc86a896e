"""Films of scripted people and the exact truth about them: body, camera and scene follow from the clip's identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builder.render.body import Body, body_of
from builder.render.cameras import Shot, closeup, plan_shot
from builder.render.figure import dressed, mannequin, matrices
from builder.render.painter import paint
from builder.render.scene import build_scene
from builder.types import Clip, Track, VideoError
from builder.video import write_clip

CRF = 23
VARIANTS = ("", "bust", "tiled", "empty")  # what is wrong on purpose: only head and shoulders seen, a repeated texture, nobody there


def staged(track: Track, clip: Clip) -> tuple[Body, Shot]:
    """The body and the shot of a clip, from its identity."""
    body = body_of(track)
    return body, plan_shot(body.joints_m, track.fps, clip.meta["camera_kind"], clip.clip_id)


def truth(track: Track, clip: Clip) -> Track:
    """The scripted track with joints_m (T, 22, 3), camera_to_world (T, 4, 4) and `camera_matrix` (3, 3) in pixels, as it is filmed."""
    body, shot = staged(track, clip)
    extra = {**track.extra, "camera_matrix": shot.camera_matrix}
    return replace(track, joints_m=body.joints_m, camera_to_world=shot.camera_to_world, extra=extra)


def film(track: Track, clip: Clip, to: Path, variant: str = "", crf: float = CRF) -> None:
    """Write the film of a scripted track as mp4 at the track's rate; `variant` is one of VARIANTS.

    Raises SetupError when there is nothing to draw with, and VideoError when the film cannot be written.
    """
    write_clip(to, images(track, clip, variant=variant), track.fps, crf)


def images(track: Track, clip: Clip, frames: range | None = None, variant: str = "") -> Iterator[NDArray[np.uint8]]:
    """The film's images (H, W, 3) RGB, one after the other."""
    if variant not in VARIANTS:
        raise VideoError(f"film of {clip.clip_id}: expected a variant of {VARIANTS}, got {variant!r}")
    body, shot = staged(track, clip)
    if variant == "bust":
        shot = closeup(shot, body.joints_m)
    model = mannequin()
    mesh = None if variant == "empty" else dressed(model, clip.clip_id)
    scene = build_scene(body.joints_m[:, 0], shot.camera_to_world[:, :3, 3], clip.clip_id, seats_m=body.seats_m, tiled=variant == "tiled")
    yield from paint(scene, mesh, matrices(model, body), shot, frames or range(track.num_frames))
