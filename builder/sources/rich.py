"""RICH: people in and around a scene, seen by six to eight fixed cameras; SMPL-X fits in the frame of camera 0.

Two layouts are read, the toolkit's and that of the unzipped archives:

    bodies/{train,val,test}/SEQ/FRAME/SUBJECT.pkl     or    {train,val,test}_body/SEQ/FRAME/SUBJECT.pkl
    images/SPLIT/SEQ/cam_CC/FRAME_CC.bmp|png          or    images_jpg_subset/SPLIT/SEQ/cam_CC/FRAME_CC.jpeg
    scan_calibration/CAPTURE/calibration/CCC.xml            [R|t] from the frame of the fits to the camera, and K
    multicam2world/CAPTURE[_chair|_yoga]_multicam2world.json    row vectors: world = c p R + t, metres, +Z up

SEQ is CAPTURE_SUBJECT[_SUBJECT]_ACTION; frames begin anywhere.  Where the world's file is missing, the vertical of the capture
stands in (a table fitted to its floor), and metres stay those of the cameras.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from builder import footage, recordings
from builder.geometry import AXES_TO_Y_UP
from builder.recordings import Attempts, Person, Recording, View, World
from builder.types import Clip, Floats, SourceError, Track

ABOUT = {
    "title": "RICH: Real scenes, Interaction, Contact and Humans",
    "licence": "by registration, for non-commercial research; nothing of it may be passed on",
    "redistribution": "qa_only",
    "citation": "Huang et al., Capturing and Inferring Dense Full-Body Human-Scene Contact, CVPR 2022.",
    "url": "https://rich.is.tue.mpg.de",
    "synthetic": False,
    "paths": False,  # no path is drawn in what is published
}
SEQUENCES = 142
OPEN_POINTS = (
    "which transform file the Gym sequences with a table use; Gym_table is tried, then Gym",
    "where the moving camera's images lie; only the fixed cameras are read",
    "cameras 3 and 5 of Pavallion are portrait; the shape is read from K",
)
FPS = 30.0
SPLITS = ("train", "val", "test")
NATIVE = (4112, 3008)
WOMEN = {9, 10, 12, 13, 16, 17, 18, 19, 21}
CAPTURE_SCENES = {"LectureHall": ("chair", "yoga"), "Gym": ("table",)}  # captures with more than one scan
# Up and the height of camera 0 above the floor (metres) in camera 0's frame, fitted to the scans' floors.
GRAVITY: dict[str, tuple[tuple[float, float, float], float]] = {
    "BBQ": ((0.030, -0.991, -0.132), 1.406),
    "Gym": ((-0.054, -0.972, -0.230), 1.538),
    "LectureHall": ((0.022, -0.951, -0.308), 2.060),
    "ParkingLot1": ((-0.033, -0.991, -0.133), 1.386),
    "ParkingLot2": ((-0.037, -0.990, -0.137), 1.437),
    "Pavallion": ((0.048, -0.985, -0.166), 1.764),
}
TOGETHER = (("004", "005"), ("003", "018"), ("009", "021"))  # who share a sequence, so that a copy that lacks it is split alike


def clips(root: str | Path | None) -> Iterator[Clip]:
    """The clips of every sequence under `root`, in order.  Raises SourceError for a root that holds none."""
    folder = recordings.root_of("rich", root)
    return recordings.clips("rich", folder, found(folder))


def reference(clip: Clip) -> list[Track]:
    """The people's fits in the world.  Raises SourceError for data that cannot be used."""
    return recordings.tracks(_again(clip), clip)


def film(clip: Clip, folder: Path) -> Clip:
    """The clip with a video of its images.  Raises SourceError when some are missing, and VideoError."""
    return recordings.filmed(lambda: _again(clip), clip, folder)


def film_of(clip: Clip) -> footage.Film:
    """What that video is made of.  Raises SourceError when images are missing."""
    return recordings.film_of(_again(clip), clip)


def _again(clip: Clip) -> Recording:
    recordings.need_whole(clip)
    root = Path(clip.meta["path"])
    return _recording(root, next(p for p in _folders(root) if p.name == clip.sequence), _circles(root))


def found(root: Path) -> Attempts:
    """Every sequence under `root`, in order, each read when called.  Raises SourceError when there is none."""
    folders = sorted(_folders(root), key=lambda p: p.name)
    if not folders:
        deeper = next((p for p in sorted(root.glob("*")) if p.is_dir() and next(_folders(p), None)), None)
        hint = f"pass {deeper.name} in it" if deeper else "unzip the bodies there"
        expected = "bodies/{train,val,test}/<sequence> or {train,val,test}_body/<sequence>"
        raise SourceError(f"source rich={root}: expected {expected}, found none; {hint}")
    circle = _circles(root)
    return [partial(recordings.attempt, p.name, partial(_recording, root, p, circle)) for p in folders]


def _folders(root: Path) -> Iterator[Path]:
    """The folders of the sequences' bodies in either layout, each sequence once."""
    seen = set()
    for split in SPLITS:
        for parent in (root / "bodies" / split, root / f"{split}_body", root / f"{split}_body" / split):
            for folder in sorted(parent.glob("*_*")) if parent.is_dir() else ():
                if folder.is_dir() and folder.name not in seen:
                    seen.add(folder.name)
                    yield folder


def _split(root: Path, folder: Path) -> str:
    return next(part.removesuffix("_body") for part in reversed(folder.relative_to(root).parts) if part.removesuffix("_body") in SPLITS)


def _recording(root: Path, folder: Path, circle: Mapping[str, str]) -> Recording:
    capture, subjects = folder.name.split("_")[0], _subjects(folder)
    if not subjects:
        raise SourceError(f"{folder}: expected a name such as ParkingLot1_005_pushup2 or, for two people, ParkingLot1_004_005_talking")
    fits = {subject: _fits(folder, subject) for subject in subjects}
    numbers = sorted({n for files in fits.values() for n in files})
    if not numbers:
        raise SourceError(f"{folder}: expected <frame>/{subjects[0]}.pkl in it, found none; unzip the bodies again")
    ids = np.arange(numbers[0], numbers[-1] + 1, dtype=np.int64)
    split = _split(root, folder)
    scene, world, floor, used = _world(root, capture, _scenes(root, split, folder.name))
    people = []
    for subject, files in fits.items():
        valid = np.array([int(n) in files for n in ids])
        gender = "female" if int(subject) in WOMEN else "male"
        people.append(Person(subject, gender, valid, partial(recordings.read_fits, files, ids)))
    return Recording(
        source="rich",
        sequence=folder.name,
        fps=FPS,
        frame_ids=ids,
        group=f"rich/{circle[subjects[0]]}",
        split=split,
        model="smplx",
        camera="static",
        world=world,
        people=tuple(people),
        views=_views(root, capture, split, folder.name),
        state=recordings.stamp([f for files in fits.values() for f in files.values()]),
        floor=floor,
        notes={f"transform of {capture}{scene}": used},
    )


def _fits(folder: Path, subject: str) -> dict[int, Path]:
    """Frame number to the fit of one person."""
    frames = [p for p in folder.iterdir() if p.name.isdecimal()]
    return {int(p.name): p / f"{subject}.pkl" for p in sorted(frames) if (p / f"{subject}.pkl").is_file()}


def _subjects(folder: Path) -> list[str]:
    """The people whom a sequence's name names."""
    return [part for part in folder.name.split("_")[1:] if re.fullmatch(r"\d{3}", part, re.ASCII)]


def _circles(root: Path) -> dict[str, str]:
    """Person to the group that the split keeps together, over all captures."""
    return recordings.circles([*TOGETHER, *map(_subjects, _folders(root))])


def _world(root: Path, capture: str, scenes: Sequence[str]) -> tuple[str, World, tuple[Floats, float] | None, str]:
    """The scene's suffix, how the fits' frame lies in our world, the floor in it, and the file that says so."""
    table = GRAVITY.get(capture)
    floor = None if table is None else (np.array(table[0]) / np.linalg.norm(table[0]), table[1])
    for scene in scenes:
        suffix = f"_{scene}" if scene else ""
        file = root / "multicam2world" / f"{capture}{suffix}_multicam2world.json"
        if file.is_file():
            return suffix, _from_json(file), floor, file.name
    if floor is None:
        raise SourceError(f"{root}/multicam2world: expected {capture}_multicam2world.json, found none; unzip multicam2world")
    return "", _from_gravity(*floor), floor, "none, so the vertical of the built-in table"


def _scenes(root: Path, split: str, sequence: str) -> list[str]:
    """Scenes of a capture that a sequence may be in ("" is the plain one), the likeliest first.

    The release's table names the scan (`scan_chair_scene_camcoord`); without it the sequence's name decides.
    """
    known = CAPTURE_SCENES.get(sequence.split("_")[0], ())
    scan = _scan(root, split, sequence) or sequence.lower()
    named = [scene for scene in known if scene in scan]
    return [*named, "", *(scene for scene in known if scene not in named)]


def _scan(root: Path, split: str, sequence: str) -> str:
    """The scan that the release's table gives a sequence, "" when it is not to be had."""
    for folder in (root / "resource" / "meta", root / "meta", root):
        file = folder / f"{split}.txt"
        if file.is_file():
            lines = [line.split("\t") for line in file.read_text("utf-8-sig", errors="replace").splitlines()]
            if lines and {"sequence_name", "scan_name"} <= set(lines[0]):
                name, scan = lines[0].index("sequence_name"), lines[0].index("scan_name")
                return next((row[scan].lower() for row in lines if len(row) > max(name, scan) and row[name] == sequence), "")
    return ""


def _from_json(file: Path) -> World:
    try:
        found = json.loads(file.read_bytes())
        turn, offset, scale = np.array(found["R"], float), np.array(found["t"], float).reshape(3), float(np.array(found["c"]).reshape(()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{file}: expected a JSON object with R, t and c ({type(error).__name__}: {error}); copy it again") from None
    to_y = AXES_TO_Y_UP["z"]
    if not (0.5 < scale < 2 and np.isfinite(offset).all()):
        raise SourceError(f"{file}: expected a scale c near 1 and a finite t, got c = {scale:g}; is it the right file?")
    return World(to_y @ recordings.rotation(turn, f"{file}: R").T, to_y @ offset, scale)


def _from_gravity(up: Floats, height_m: float) -> World:
    """A world with this vertical, its floor at 0 and camera 0 looking along +Z."""
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up
    forward /= np.linalg.norm(forward)
    return World(np.stack([np.cross(up, forward), up, forward]), np.array([0.0, height_m, 0.0]))


def _views(root: Path, capture: str, split: str, sequence: str) -> tuple[View, ...]:
    """The fixed cameras: those with a folder of images if any camera has one, else every calibrated one."""
    folder = root / "scan_calibration" / capture / "calibration"
    files = sorted(folder.glob("[0-9][0-9][0-9].xml"))
    if not files:
        raise SourceError(f"{folder}: expected 000.xml and so on, found none; unzip scan_calibration")
    parents = [root / name / split / sequence for name in ("images", "images_jpg_subset")] + [root / split / sequence]
    parent = next((p for p in parents if next(p.glob("cam_*"), None)), None)
    views = []
    for file in files:
        number = int(file.stem)
        own = None if parent is None else parent / f"cam_{number:02d}"
        if own is not None and not own.is_dir():
            continue
        pose, matrix = _camera(file)
        size = NATIVE if matrix[0, 2] > matrix[1, 2] else NATIVE[::-1]
        images = {} if own is None else footage.numbered(own, rf"(\d+)_{number:02d}")
        views.append(View(f"cam_{number:02d}", matrix, size, pose, images))
    if not views:
        raise SourceError(f"{parent}: expected images of one of the calibrated cameras {files[0].stem} to {files[-1].stem}, found none")
    return tuple(views)


def _camera(file: Path) -> tuple[Floats, Floats]:
    """Source-to-camera (4, 4) and K (3, 3) of a calibration in OpenCV's XML; parsed as text, since it is nothing but two lists."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}") from None

    def numbers(name: str, count: int) -> Any:
        match = re.search(rf"<{name}\b.*?<data>([^<]*)</data>", text, re.S)
        try:
            found = np.array(match[1].split(), dtype=float) if match else np.zeros(0)
        except ValueError:
            found = np.zeros(0)
        if found.size != count or not np.isfinite(found).all():
            raise SourceError(f"{file}: expected {count} numbers in {name}/data, got {found.size}; copy it again")
        return found

    pose = np.eye(4)
    pose[:3] = numbers("CameraMatrix", 12).reshape(3, 4)
    return recordings.rigid(pose, f"{file}: CameraMatrix"), numbers("Intrinsics", 9).reshape(3, 3)
