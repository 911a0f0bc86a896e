"""TRAM's results (`camera.npy` and `hps/hps_track_*.npy`): fits before the camera, carried into the world by the camera's motion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from builder import body, fits, lifting, outputs, unpickle
from builder.fits import Fit, Timing
from builder.types import Clip, Floats, LiftError, SourceError, Track

ABOUT = {
    "title": "TRAM (Wang et al., ECCV 2024)",
    "licence": "as its repository says; SMPL: non-commercial. You accept them with their owners",
    "needs": "option results=DIR (its results folder); fps=, models=DIR",
}
CAMERA, PEOPLE = "camera.npy", "hps/hps_track_*.npy"


def load(results: str | Path, fps: str | float | None = None, models: str | Path | None = None) -> outputs.Lift:
    """A lifter that reads `<results>/<clip>/camera.npy` and `hps/`; a clip's folder is found by the names in `outputs.names`.

    fps: when neither video nor clip tells.  models: a folder of body models, for the exact pelvis.  The smoothing of
    TRAM's pictures is not in its files and not done here.  Raises SetupError.
    """
    known = lifting.number_option("fps", fps, 1.0, 1000.0)
    folder = outputs.folder_option("results", results)
    bodies = outputs.models_option(models, "smpl")

    def lift(clip: Clip) -> list[Track]:
        clock = fits.timing(clip, known)
        at = outputs.found(folder, clip, CAMERA)
        if at is None:
            raise outputs.missing(folder, clip, CAMERA)
        return fits.tracks(clip, _fits(at, clock, bodies), clock, "tram", {"file": f"{at.name}/{CAMERA}"})

    return outputs.reading(lift, folder)


def _fits(folder: Path, clock: Timing, bodies: Path | None) -> list[Fit]:
    """Everybody, the longest track first as TRAM numbers them."""
    path = folder / CAMERA
    seen = unpickle.read(path, outputs.LIMIT_BYTES)
    if isinstance(seen, dict) and "pred_cam_R" in seen and "world_cam_R" not in seen:
        raise LiftError(f"{path}: made before TRAM found the vertical (it lacks 'world_cam_R'); run its estimate_camera.py of today")
    turn = outputs.need_rotations(outputs.numbers(seen, "world_cam_R", str(path), None, 3, 3), f"{path}: world_cam_R")
    camera = np.tile(np.eye(4), (len(turn), 1, 1))
    camera[:, :3, :3], camera[:, :3, 3] = turn, outputs.numbers(seen, "world_cam_T", str(path), len(turn), 3)
    focal = outputs.number(seen, "img_focal", str(path))
    centre = outputs.numbers(seen, "img_center", str(path), 2)
    fits.need_same_video(clock, len(turn))
    files = {int(m[1]): f for f in folder.glob(PEOPLE) if (m := re.fullmatch(r"hps_track_(\d+)", f.stem, re.ASCII))}
    if not files:
        raise LiftError(f"{folder}/hps: TRAM fitted nobody; run its estimate_humans.py")
    return [_person(str(k), files[k], camera, focal, centre, bodies) for k in sorted(files)]


def _person(key: str, path: Path, camera: Floats, focal: float, centre: Floats, bodies: Path | None) -> Fit:
    data: Any = unpickle.read(path, outputs.LIMIT_BYTES)
    where = str(path)
    rotations = outputs.numbers(data, "pred_rotmat", where, None, 24, 3, 3)
    n = len(rotations)
    root = outputs.need_rotations(rotations[:, 0], f"{where}: pred_rotmat")
    transl = outputs.numbers(data, "pred_trans", where, n, 1, 3)[:, 0]
    shape = outputs.numbers(data, "pred_shape", where, n, None)
    frames = outputs.frame_numbers(data, "frame", where, n)
    if n and frames.max() >= len(camera):
        raise SourceError(f"{where}: field 'frame': expected numbers below the camera's {len(camera)}, got {frames.max()}")
    j0, kind = body.rest_pelvis("smpl", "neutral", shape.mean(axis=0) if n else None, bodies)
    rotation, position = body.to_world(root, transl, j0, camera[frames])
    return Fit(
        person_id=key,
        frames=frames,
        body_to_world=rotation,
        position_m=position,
        root_kind=kind,
        box=fits.box_about(body.pelvis(transl, j0), focal, 2 * centre[0], 2 * centre[1]),
        camera_to_world=camera[frames],
        extra={"betas": shape, "transl": transl},
    )
