"""WHAM's results (`wham_output.pkl`): every person in an upright world of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from builder import body, fits, lifting, outputs, unpickle
from builder.fits import Fit, Timing
from builder.geometry import matrices_from_rotvec
from builder.types import Clip, Floats, LiftError, SourceError, Track

ABOUT = {
    "title": "WHAM (Shin et al., CVPR 2024)",
    "licence": "as its repository says; SMPL: non-commercial. You accept them with their owners",
    "needs": "option results=DIR (its output folder, `--save_pkl`); fps=",
}
FILE, MOTION = "wham_output.pkl", "slam_results.pth"
STILL = 1e-6
DOUBT = "WHAM ran without DPVO, so its world turns and moves with the camera if that did"


def load(results: str | Path, fps: str | float | None = None) -> outputs.Lift:
    """A lifter that reads `<results>/<clip>/wham_output.pkl`; a clip's folder is found by the names in `outputs.names`.

    fps: when neither video nor clip tells.  `trans_world` is the middle of the hips, so no body model is needed.  Raises SetupError.
    """
    known = lifting.number_option("fps", fps, 1.0, 1000.0)
    folder = outputs.folder_option("results", results)

    def lift(clip: Clip) -> list[Track]:
        clock = fits.timing(clip, known)
        at = outputs.found(folder, clip, FILE)
        if at is None:
            raise outputs.missing(folder, clip, FILE)
        notes: dict[str, Any] = {"file": f"{at.name}/{FILE}"}
        poses = _camera(at / MOTION)
        if poses is not None:
            fits.need_same_video(clock, len(poses))
            if np.abs(poses - poses[:1]).max(initial=0.0) < STILL:
                notes |= {"verdict": "warn", "reasons": [DOUBT]}
        return fits.tracks(clip, _fits(at / FILE, clock), clock, "wham", notes)

    return outputs.reading(lift, folder)


def _camera(path: Path) -> Floats | None:
    """The camera's motion (T, 7) beside the results, of which only its length counts, and whether there is any at all."""
    if not path.is_file():
        return None
    poses = np.asarray(unpickle.read(path, outputs.LIMIT_BYTES))
    if poses.ndim != 2 or poses.dtype.kind != "f":
        raise SourceError(f"{path}: expected camera poses (T, 7), got {poses.dtype} of shape {poses.shape}")
    return poses.astype(np.float64)


def _fits(path: Path, clock: Timing) -> list[Fit]:
    """Everybody, sorted by WHAM's number of the person."""
    data = unpickle.read(path, outputs.LIMIT_BYTES)
    if not isinstance(data, dict):
        raise SourceError(f"{path}: expected a dictionary of people; was it written by WHAM's demo.py --save_pkl?")
    if not data:
        raise LiftError("WHAM found nobody")
    people = [_person(str(key), person, clock, str(path)) for key, person in data.items()]
    return sorted(people, key=lambda p: (len(p.person_id), p.person_id))


def _person(key: str, person: Any, clock: Timing, path: str) -> Fit:
    """One person.  WHAM takes the diagonal of the picture for the focal length, by which the place in it is found."""
    where = f"{path}: person {key}"
    position = outputs.numbers(person, "trans_world", where, None, 3)
    n = len(position)
    pose = outputs.numbers(person, "pose_world", where, n, 72)
    transl = outputs.numbers(person, "trans", where, n, 3)
    diagonal = float(np.hypot(clock.width, clock.height))
    before = body.pelvis(transl, body.rest_pelvis("smpl")[0])
    return Fit(
        person_id=key,
        frames=outputs.frame_numbers(person, "frame_ids", where, n),
        body_to_world=matrices_from_rotvec(pose[:, :3]),
        position_m=position,
        root_kind="midhip",
        box=fits.box_about(before, diagonal, clock.width, clock.height) if clock.width else None,
        extra={"pose_body": pose[:, 3:], "betas": outputs.numbers(person, "betas", where, n, None)},
    )
