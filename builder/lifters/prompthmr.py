"""PromptHMR's results (`results.pkl`), or PromptHMR itself run in its own environment: everybody in a video, in one upright world.

Read are `people[*].smplx_world`, `frames`, `detected`, `bboxes`, and of `camera_world` only `Rcw` and `Tcw`: its `Twc` is wrong after
the tool's last optimisation, and the hand joints (`pose[75:165]`) never hold anything.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from builder import body, fits, lifting, outputs, unpickle
from builder.fits import Fit, Timing
from builder.geometry import matrices_from_rotvec
from builder.types import Clip, Floats, LiftError, SourceError, Track

ABOUT = {
    "title": "PromptHMR-Vid (Wang et al., CVPR 2025)",
    "licence": "PromptHMR: Meshcapade, non-commercial, outputs too; SMPL-X: non-commercial. You accept them with their owners",
    "needs": "options results=DIR (its results folders) or root=DIR and python=PATH (run it); fps=, models=DIR, camera=static",
}
FILE = "results.pkl"
SCRIPT = "scripts/demo_video.py"
OUTPUTS = "results"
MOST_FPS = 60.0  # a faster video is read with frames left out


def load(
    results: str | Path | None = None,
    root: str | Path | None = None,
    python: str | Path | None = None,
    fps: str | float | None = None,
    models: str | Path | None = None,
    camera: str = "moving",
) -> outputs.Lift:
    """A lifter that reads `<results>/<clip>/results.pkl`, and with `root` runs PromptHMR where there is none yet.

    results: where its folders lie (default: `<root>/results`); a clip's is found by the names in `outputs.names`.  python: of PromptHMR's
    environment.  fps: of the video, when neither it nor the clip nor a `subject-*.smpl` beside the results tells.  models: a folder of
    body models, for the exact pelvis.  camera: "static" spares the search for the camera's motion.  Raises SetupError.
    """
    known = lifting.number_option("fps", fps, 1.0, 1000.0)
    still = outputs.camera_option(camera)
    bodies = outputs.models_option(models, "smplx")
    tool, folder = outputs.installed("prompthmr", "PromptHMR", SCRIPT, OUTPUTS, results, root, python)

    def lift(clip: Clip) -> list[Track]:
        if tool is not None:
            flags = ["--no-run-viser", *(["--static-camera"] if still else [])]
            outputs.made(tool, folder, clip, FILE, lambda video: ["--input-video", str(video), *flags], tool.root / OUTPUTS)
        at = outputs.found(folder, clip, FILE)
        if at is None:
            raise outputs.missing(folder, clip, FILE)
        clock = fits.timing(clip, known or _told(clip, at), MOST_FPS)
        return fits.tracks(clip, _fits(at / FILE, clock, bodies), clock, "prompthmr", {"file": f"{at.name}/{FILE}"})

    return outputs.reading(lift, folder)


def _told(clip: Clip, folder: Path) -> float | None:
    """Frames per second from a `.smpl` beside the results, when no video tells; at the tool's limit it may be of a faster video."""
    if (clip.video is not None and Path(clip.video).is_file()) or clip.fps > 0:
        return None
    for file in sorted(folder.glob("subject-*.smpl")):
        try:
            with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as data:
                rate = float(data["frameRate"])
        except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile):
            continue
        if 1.0 <= rate < MOST_FPS:
            return rate
    return None


def _fits(path: Path, clock: Timing, bodies: Path | None) -> list[Fit]:
    """Everybody, sorted by the tool's number of the person."""
    data = unpickle.read(path, outputs.LIMIT_BYTES)
    if not isinstance(data, dict) or not isinstance(data.get("people"), dict):
        raise SourceError(f"{path}: expected a dictionary with 'people'; was it written by PromptHMR's demo_video.py?")
    if not data["people"]:
        raise LiftError("PromptHMR found nobody")
    seen = data.get("camera_world")
    turn = outputs.need_rotations(outputs.numbers(seen, "Rcw", f"{path}: camera_world", None, 3, 3), f"{path}: camera_world: Rcw")
    shift = outputs.numbers(seen, "Tcw", f"{path}: camera_world", len(turn), 3)
    centre = outputs.numbers(seen, "img_center", f"{path}: camera_world", 2)
    fits.need_same_video(clock, len(turn))
    camera = np.tile(np.eye(4), (len(turn), 1, 1))
    camera[:, :3, :3] = turn.transpose(0, 2, 1)
    camera[:, :3, 3] = -(turn.transpose(0, 2, 1) @ shift[..., None])[..., 0]
    people = [_person(str(key), person, camera, centre, str(path), bodies) for key, person in data["people"].items()]
    return sorted((p for p in people if p is not None), key=lambda p: (len(p.person_id), p.person_id))


def _person(key: str, person: Any, camera: Floats, centre: Floats, path: str, bodies: Path | None) -> Fit | None:
    """One person; None for whom the tool gave up before the world."""
    where = f"{path}: person {key}"
    if not isinstance(person, dict) or "smplx_world" not in person:
        return None
    world = person["smplx_world"]
    transl = outputs.numbers(world, "trans", where, None, 3)
    n = len(transl)
    pose, shape = outputs.numbers(world, "pose", where, n, 165), outputs.numbers(world, "shape", where, n, None)
    frames = outputs.frame_numbers(person, "frames", where, n)
    if n and frames.max() >= len(camera):
        raise SourceError(f"{where}: field 'frames': expected numbers below the camera's {len(camera)}, got {frames.max()}")
    detected = np.asarray(person.get("detected", True), bool).reshape(-1)
    boxes = outputs.numbers(person, "bboxes", where, n, 4) / np.tile(2 * centre, 2) if "bboxes" in person else None
    j0, kind = body.rest_pelvis("smplx", "neutral", shape, bodies)
    return Fit(
        person_id=str(person.get("track_id", key)),
        frames=frames,
        body_to_world=matrices_from_rotvec(pose[:, :3]),
        position_m=body.pelvis(transl, j0),
        root_kind=kind,
        seen=detected if len(detected) == n else np.ones(n, bool),
        box=boxes,
        camera_to_world=camera[frames],
        extra={"pose_body": pose[:, 3:66], "betas": shape, "transl": transl},
    )
