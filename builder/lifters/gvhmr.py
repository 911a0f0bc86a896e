"""GVHMR's results (`hmr4d_results.pt`), or GVHMR itself run in its own environment: one person, a world that gravity sets upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builder import body, fits, lifting, outputs, unpickle
from builder.fits import Fit, Timing
from builder.geometry import matrices_from_rotvec
from builder.types import Clip, Floats, LiftError, SourceError, Track

ABOUT = {
    "title": "GVHMR (Shen et al., SIGGRAPH Asia 2024)",
    "licence": "GVHMR: education, research, non-profit; SMPL-X: non-commercial. You accept them with their owners",
    "needs": "options results=DIR (its output folders) or root=DIR and python=PATH (run it); fps=, models=DIR, camera=static",
}
FILE = "hmr4d_results.pt"
SCRIPT = "tools/demo/demo.py"
OUTPUTS = "outputs/demo"


def load(
    results: str | Path | None = None,
    root: str | Path | None = None,
    python: str | Path | None = None,
    fps: str | float | None = None,
    models: str | Path | None = None,
    camera: str = "moving",
) -> outputs.Lift:
    """A lifter that reads `<results>/<clip>/hmr4d_results.pt`, and with `root` runs GVHMR where there is none yet.

    results: where output folders lie (default: `<root>/outputs/demo`); a clip's is found by the names in `outputs.names`.  python: of
    GVHMR's environment.  fps: when neither video nor clip tells.  models: a folder of body models, for the exact pelvis.  camera:
    "static" spares the search for the camera's motion.  Raises SetupError.
    """
    known = lifting.number_option("fps", fps, 1.0, 1000.0)
    still = outputs.camera_option(camera)
    bodies = outputs.models_option(models, "smplx")
    tool, folder = outputs.installed("gvhmr", "GVHMR", SCRIPT, OUTPUTS, results, root, python)

    def lift(clip: Clip) -> list[Track]:
        clock = fits.timing(clip, known)
        if tool is not None:
            outputs.made(tool, folder, clip, FILE, lambda video: _arguments(video, folder, still))
        at = outputs.found(folder, clip, FILE)
        if at is None:
            raise outputs.missing(folder, clip, FILE)
        return fits.tracks(clip, [_fit(at / FILE, clock, bodies)], clock, "gvhmr", {"file": f"{at.name}/{FILE}"})

    return outputs.reading(lift, folder)


def _arguments(video: Path, folder: Path, still: bool) -> list[str]:
    return ["--video", str(video), "--output_root", str(folder), *(["-s"] if still else [])]


def _fit(path: Path, clock: Timing, bodies: Path | None) -> Fit:
    """The person; the camera, which the file lacks, is what carries the fit in the world onto the fit before the camera."""
    data = unpickle.read(path, outputs.LIMIT_BYTES)
    world, seen = (_parameters(data, name, str(path)) for name in ("smpl_params_global", "smpl_params_incam"))
    n = len(world["transl"])
    fits.need_same_video(clock, n)
    if len(seen["transl"]) != n:
        raise SourceError(f"{path}: expected as many frames before the camera as in the world, {n}, got {len(seen['transl'])}")
    j0, kind = body.rest_pelvis("smplx", "neutral", world["betas"], bodies)
    rotation, position = matrices_from_rotvec(world["global_orient"]), body.pelvis(world["transl"], j0)
    before, before_at = matrices_from_rotvec(seen["global_orient"]), body.pelvis(seen["transl"], j0)
    turn = rotation @ before.transpose(0, 2, 1)
    camera = np.tile(np.eye(4), (n, 1, 1))
    camera[:, :3, :3], camera[:, :3, 3] = turn, position - (turn @ before_at[..., None])[..., 0]
    matrix = outputs.numbers(data, "K_fullimg", str(path), None, 3, 3)
    if not len(matrix) or not (matrix[0, [0, 0, 1], [0, 2, 2]] > 0).all():
        raise LiftError(f"{path}: field 'K_fullimg': expected pinhole cameras, got {matrix[:1].tolist()}")
    box = fits.box_about(before_at, matrix[0, 0, 0], 2 * matrix[0, 0, 2], 2 * matrix[0, 1, 2])
    kept = {"pose_body": world["body_pose"], "betas": world["betas"], "transl": world["transl"]}
    return Fit("0", np.arange(n), rotation, position, kind, box=box, camera_to_world=camera, extra=kept)


def _parameters(data: object, name: str, where: str) -> dict[str, Floats]:
    """One of the two sets of body parameters."""
    if not isinstance(data, dict) or not isinstance(data.get(name), dict):
        raise SourceError(f"{where}: expected the dictionary {name!r}; was it written by GVHMR's demo?")
    orient = outputs.numbers(data[name], "global_orient", f"{where}: {name}", None, 3)
    n = len(orient)
    wide = {"body_pose": 63, "transl": 3, "betas": None}
    return {"global_orient": orient} | {key: outputs.numbers(data[name], key, f"{where}: {name}", n, width) for key, width in wide.items()}
