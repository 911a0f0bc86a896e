"""EMDB: one person per sequence, outdoors and in, filmed by a hand-held phone; SMPL fits and cameras in one +Y-up metric world.

    ROOT/P<subject>/<NN>_<place>_<action>/images/00000.jpg ...
    ROOT/P<subject>/<NN>_<place>_<action>/P<subject>_<NN>_<place>_<action>_data.pkl

`camera.extrinsics` map the world to the camera.  The `_video.mp4` beside the data shows two pictures side by side and is never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from builder import footage, recordings, unpickle
from builder.recordings import Attempts, Fit, Person, Recording, View, World
from builder.types import Bools, Clip, Floats, SourceError, Track

ABOUT = {
    "title": "EMDB: the Electromagnetic Database of Global 3D Human Pose and Shape in the Wild",
    "licence": "by application, for research; nothing of it may be passed on",
    "redistribution": "qa_only",
    "citation": "Kaufmann et al., EMDB: The Electromagnetic Database of Global 3D Human Pose and Shape in the Wild, ICCV 2023.",
    "url": "https://eth-ait.github.io/emdb/",
    "synthetic": False,
    "paths": False,  # no path is drawn in what is published
}
SEQUENCES = 81
OPEN_POINTS = (
    "which sequences of P0 are 720 x 960; the size is read from camera.width and camera.height",
    "number types in the data files; any are read",
    "the world is +Y up and the ground not at a fixed height",
)
FPS = 30.0
LIMIT_BYTES = 64 << 20
DATA = "*_data.pkl"


def clips(root: str | Path | None) -> Iterator[Clip]:
    """The clips of every sequence under `root`, in order.  Raises SourceError for a root that holds none."""
    folder = recordings.root_of("emdb", root)
    return recordings.clips("emdb", folder, found(folder))


def reference(clip: Clip) -> list[Track]:
    """The person's fit in the world.  Raises SourceError for data that cannot be used."""
    return recordings.tracks(_again(clip), clip)


def film(clip: Clip, folder: Path) -> Clip:
    """The clip with a video of its images.  Raises SourceError when some are missing, and VideoError."""
    return recordings.filmed(lambda: _again(clip), clip, folder)


def film_of(clip: Clip) -> footage.Film:
    """What that video is made of.  Raises SourceError when images are missing."""
    return recordings.film_of(_again(clip), clip)


def _again(clip: Clip) -> Recording:
    recordings.need_whole(clip)
    return _recording(Path(clip.meta["path"]) / clip.sequence)


def found(root: Path) -> Attempts:
    """Every sequence under `root`, in order, each read when called.  Raises SourceError when there is none."""
    folders = sorted({*(p.parent for p in root.glob(f"*/*/{DATA}")), *(p.parent for p in root.glob("P[0-9]/*/images"))})
    if not folders:
        deeper = next(iter(sorted(root.glob(f"*/*/*/{DATA}"))), None)
        here = next(iter(sorted([*root.glob(DATA), *root.glob(f"*/{DATA}")])), None)
        hint = f"pass {deeper.parents[2].name} in it" if deeper else "pass the folder above" if here else "unzip the subjects there"
        raise SourceError(f"source emdb={root}: expected P0/<sequence>/{DATA} and the like, found none; {hint}")
    return [partial(recordings.attempt, f"{p.parent.name}/{p.name}", partial(_recording, p)) for p in folders]


def _recording(folder: Path) -> Recording:
    files = sorted(folder.glob(DATA))
    if len(files) != 1:
        what = "none" if not files else f"{len(files)}"
        raise SourceError(f"{folder}: expected one {DATA} beside the images, found {what}; unzip the subject again")
    data = _Data(files[0])
    n = int(data.number("n_frames"))
    if n < 2:
        raise SourceError(f"{files[0]}: field 'n_frames': expected 2 or more, got {n}; copy the file again")
    good = data.array("good_frames_mask", (n,)) > 0
    subset = "+".join(name for name in ("emdb1", "emdb2") if data.flag(name))
    orient, transl = data.array("smpl.poses_root", (n, 3), good), data.array("smpl.trans", (n, 3), good)
    betas = data.array("smpl.betas", (None,))
    poses = data.array("camera.extrinsics", (n, 4, 4), good)
    for row in np.flatnonzero(good)[[0, -1]] if good.any() else ():
        recordings.rigid(poses[row], f"{files[0]}: field 'camera.extrinsics', frame {row}")
    size = (int(data.number("camera.width")), int(data.number("camera.height")))
    person = Person(
        person_id="0",
        gender=str(data.field("gender")).lower(),
        valid=good,
        read=lambda rows: Fit(orient[rows], transl[rows], betas),
        pelvis_px=data.array("kp2d", (n, 24, 2), np.zeros(n, dtype=bool))[:, 0] if data.has("kp2d") else None,
    )
    images = footage.numbered(folder / "images", r"(\d{5,})")
    sequence = f"{folder.parent.name}/{folder.name}"
    return Recording(
        source="emdb",
        sequence=sequence,
        fps=FPS,
        frame_ids=np.arange(n, dtype=np.int64),
        group=f"emdb/{folder.parent.name}",
        split=subset or None,
        model="smpl",
        camera="moving",
        world=World(),
        people=(person,),
        views=(View("", data.array("camera.intrinsics", (3, 3)), size, poses, images),),
        state=recordings.stamp(files),
        notes={"number types": data.types(), "keys beyond those known": data.odd()},
    )


KEYS = {"gender", "name", "emdb1", "emdb2", "n_frames", "good_frames_mask", "camera", "smpl", "kp2d", "bboxes"}


class _Data:
    """The dictionary of one data file, its fields named with dots."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = unpickle.read(path, LIMIT_BYTES)
        if not isinstance(self.data, dict):
            raise SourceError(f"{path}: expected a dictionary with {sorted(KEYS)}, got {type(self.data).__name__}; copy it again")

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        found: Any = self.data
        for key in name.split("."):
            if not isinstance(found, dict) or key not in found:
                return False
            found = found[key]
        return True

    def field(self, name: str) -> Any:
        """A field as it is."""
        if not self.has(name):
            raise SourceError(f"{self.path}: expected the field {name!r}, found only {sorted(map(str, self.data))}; copy the file again")
        found: Any = self.data
        for key in name.split("."):
            found = found[key]
        return found

    def array(self, name: str, shape: tuple[int | None, ...], rows: Bools | None = None) -> Floats:
        """A field of numbers of this shape (None allows any size), finite in all rows or in these."""
        return recordings.numbers(self.field(name), shape, f"{self.path}: field {name!r}", rows)

    def number(self, name: str) -> float:
        """A field of one number."""
        return float(self.array(name, ()))

    def flag(self, name: str) -> bool:
        """A yes or no; no when it is not there."""
        return bool(np.asarray(self.field(name)).reshape(-1)[0]) if self.has(name) else False

    def types(self) -> str:
        """The number types found, in words."""
        names: Sequence[str] = ("smpl.poses_root", "smpl.trans", "camera.extrinsics", "camera.intrinsics", "good_frames_mask")
        return ", ".join(sorted({str(np.asarray(self.field(name)).dtype) for name in names}))

    def odd(self) -> str:
        """Keys that no description of the format names."""
        return ", ".join(sorted(set(map(str, self.data)) - KEYS)) or "none"
