"""Where the pelvis of a body-model fit is, in the fit's own frame and in the world.

SMPL and its kin turn a body about its rest pelvis J0, not about the origin: a resting point x is posed to
`R (x - J0) + J0 + transl`.  So the pelvis is `J0 + transl`, and turning `transl` as if it were the pelvis is wrong by up to
0.7 m.  J0 depends on shape, gender and model; it comes from the user's model file, which is neither shipped nor downloaded, or a
documented constant stands in for it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from builder import unpickle
from builder.types import Floats, SetupError, SourceError

# Neutral bodies of mean shape, metres.  SMPL and SMPL-X differ by 0.13 m: they are never mixed.
APPROXIMATE_M: Mapping[str, tuple[float, float, float]] = {
    "smpl": (0.0, -0.22, 0.03),
    "smplh": (0.0, -0.22, 0.03),
    "smplx": (0.0, -0.35, 0.01),
}
GENDERS = ("neutral", "female", "male")
# File names under a folder of models: as `smplx` wants them, as they lie when all are in one folder, and as SMPL is handed out.
NAMES = (
    "{model}/{MODEL}_{GENDER}.npz",
    "{MODEL}_{GENDER}.npz",
    "{model}/{gender}/model.npz",
    "{model}/{MODEL}_{GENDER}.pkl",
    "{MODEL}_{GENDER}.pkl",
    "{model}/basicmodel_{g}_lbs_10_207_0_v1.1.0.pkl",
    "{model}/basicModel_{g}_lbs_10_207_0_v1.0.0.pkl",
    "basicmodel_{g}_lbs_10_207_0_v1.1.0.pkl",
    "basicModel_{g}_lbs_10_207_0_v1.0.0.pkl",
)
SHAPES = 300  # at most; in SMPL-X's files the face's directions follow them, or after 10 where there are 20 in all
MODEL_BYTES = 1 << 30
UNREADABLE = (ValueError, EOFError, OSError, KeyError, RuntimeError, zipfile.BadZipFile)


def pelvis(transl: Floats, rest_pelvis_m: Floats) -> Floats:
    """The pelvis (T, 3) in the frame of the fit, metres, of its `transl` (T, 3) and the body's rest pelvis (3,) or (T, 3).

    Whatever the root's rotation is: the body turns about this very point.
    """
    return np.asarray(transl, float) + np.asarray(rest_pelvis_m, float)


def to_world(
    root_rotation: Floats, transl: Floats, rest_pelvis_m: Floats, frame_to_world: Floats, scale: float = 1.0
) -> tuple[Floats, Floats]:
    """A fit carried from its own frame into the world: body-to-world rotations (T, 3, 3) and pelvis positions (T, 3), metres.

    `root_rotation` (T, 3, 3) and `transl` (T, 3) are of the fit, `frame_to_world` (4, 4) or (T, 4, 4) rigid motions of column
    vectors (a camera-to-world pose for a fit in a camera's frame), `scale` what distances of the frame are multiplied by first.
    """
    frame_to_world = np.asarray(frame_to_world, float)
    turn, offset = frame_to_world[..., :3, :3], frame_to_world[..., :3, 3]
    root = pelvis(transl, rest_pelvis_m) * scale
    return turn @ np.asarray(root_rotation, float), (turn @ root[..., None])[..., 0] + offset


def rest_pelvis(
    model: str, gender: str = "neutral", betas: Floats | None = None, models_folder: str | Path | None = None
) -> tuple[Floats, str]:
    """The rest pelvis J0 (3,) in metres of a shaped body, and its root kind: "pelvis", or "pelvis_approx" without model files.

    `model` is "smpl", "smplh" or "smplx"; `betas` (B,), or (T, B) of which the median counts, default to the mean shape.  Raises
    SetupError when the folder is given and holds no such model, SourceError when the file is not one.
    """
    if model not in APPROXIMATE_M or gender not in GENDERS:
        raise SourceError(
            f"no body model {model!r} of gender {gender!r}: expected one of {', '.join(APPROXIMATE_M)} and of {', '.join(GENDERS)}"
        )
    if not models_folder:
        return np.array(APPROXIMATE_M[model]), "pelvis_approx"
    path = model_file(model, gender, models_folder)
    mean, directions = _regressed(str(path), path.stat().st_mtime_ns)
    shape = np.zeros(0) if betas is None else np.asarray(betas, float)
    if shape.ndim == 2:
        shape = np.median(shape, axis=0)
    if shape.ndim != 1 or not np.isfinite(shape).all():
        raise SourceError(f"a body's shape: expected finite betas (B,) or (T, B), got {np.shape(shape)}")
    used = min(len(shape), directions.shape[1])
    return mean + directions[:, :used] @ shape[:used], "pelvis"


def model_file(model: str, gender: str, models_folder: str | Path) -> Path:
    """The file of a body model in the user's folder of models.  Raises SetupError naming what was looked for."""
    folder = Path(models_folder)
    words = {"model": model, "MODEL": model.upper(), "gender": gender, "GENDER": gender.upper(), "g": gender[0]}
    names = [name.format(**words) for name in NAMES if "basic" not in name or model == "smpl"]
    names += [name.replace("_n_", "_neutral_") for name in names if "_n_" in name]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = "it holds none of them" if folder.is_dir() else "there is no such folder"
    raise SetupError(
        f"body models in {folder}: expected {', '.join(names[:2])} or another name that `smplx` reads, and {there}; "
        "download the model from its owner, or leave the folder out for an approximate pelvis"
    )


@lru_cache(maxsize=16)
def _regressed(file: str, changed: int) -> tuple[Floats, Floats]:
    """The mean body's pelvis (3,) and how each shape moves it (3, B).  `changed` makes a replaced file another one."""
    names = ("J_regressor", "v_template", "shapedirs")
    found = _arrays(Path(file), names)
    regressor, template, directions = (np.asarray(found[name]) for name in names)
    fits = template.ndim == 2 and template.shape[1] == 3 and directions.ndim == 3 and directions.shape[:2] == template.shape
    if not (fits and regressor.ndim == 2 and regressor.shape[1] == len(template) and len(regressor) >= 1):
        sizes = ", ".join(f"{name} {np.shape(found[name])}" for name in names)
        raise SourceError(f"{file}: expected a body model with J_regressor (J, V), v_template (V, 3), shapedirs (V, 3, B), got {sizes}")
    shapes = 10 if directions.shape[2] == 20 else SHAPES
    first = regressor[0].astype(float)
    return first @ template.astype(float), np.einsum("v,vkb->kb", first, directions[:, :, :shapes].astype(float))


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The named arrays of a model file; nothing else in it is looked at, and nothing in it is run."""
    if path.suffix == ".pkl":
        data = unpickle.read(path, MODEL_BYTES, body_model=True)
        missing = [name for name in names if not isinstance(data, dict) or not isinstance(data.get(name), np.ndarray)]
        if missing:
            raise SourceError(f"{path}: expected the arrays {', '.join(names)} of a body model, found no {', '.join(missing)}")
        return {name: data[name] for name in names}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            return {name: data[name] for name in names}
    except UNREADABLE as error:
        reason = "pickled Python objects" if "pickle" in str(error) else os.path.basename(" ".join(str(error).split()))[:120]
        raise SourceError(f"{path}: expected the arrays {', '.join(names)} of a body model in an .npz ({reason})") from None
