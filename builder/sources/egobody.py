"""EgoBody: two people indoors, one of them wearing a headset, seen by three or five fixed Kinects; fits in the master Kinect's frame.

    data_info_release.csv, data_splits.csv
    smplx_{camera_wearer,interactee}_{train,val,test}/REC/body_idx_{0,1}/results/frame_NNNNN/000.pkl    (or smpl_...)
    calibrations/REC/[cal_trans/]kinect12_to_world/SCENE.json, kinect_11to12_color.json, ...
    kinect_cam_params/kinect_{master,sub_1,...}/Color.json
    kinect_color/REC/{master,sub_1,...}/frame_NNNNN.jpg

The world is that of the scene's mesh, +Y up, in metres.  The wearer's own pictures are not used: questions are about people seen
from outside.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from builder import footage, recordings
from builder.recordings import Attempts, Person, Recording, View, World
from builder.types import Clip, Floats, SourceError, Track

ABOUT = {
    "title": "EgoBody: human body shape and motion of interacting people from head-mounted devices",
    "licence": "by registration, for non-commercial research; nothing of it may be passed on",
    "redistribution": "qa_only",
    "citation": "Zhang et al., EgoBody: Human Body Shape and Motion of Interacting People from Head-Mounted Devices, ECCV 2022.",
    "url": "https://sanweiliti.github.io/egobody/egobody.html",
    "synthetic": False,
    "paths": False,  # no path is drawn in what is published
}
SEQUENCES = 125
OPEN_POINTS = (
    "the order of the columns of data_info_release.csv; they are read by name",
    "the height of each scene's floor; those named by others' code are compared with where the people stand",
    "whether lens distortion, which is not undone, matters anywhere",
)
FPS = 30.0
INFO, SPLITS = "data_info_release.csv", "data_splits.csv"
COLUMNS = ("recording_name", "scene_name", "body_idx_0", "body_idx_1", "start_frame", "end_frame", "body_idx_fpv")
KINECTS = {"master": 12, "sub_1": 11, "sub_2": 13, "sub_3": 14, "sub_4": 15}
SIZE = (1920, 1080)
ROLES = {"camera_wearer": "the person wearing the headset", "interactee": "the person without a headset"}
FLOORS_M = {
    "seminar_g110": -1.660,
    "seminar_d78": -0.810,
    "seminar_j716": -0.896,
    "seminar_g110_0315": -0.73,
    "seminar_d78_0318": -1.03,
    "seminar_g110_0415": -0.77,
}
Row = Mapping[str, str]


def clips(root: str | Path | None) -> Iterator[Clip]:
    """The clips of every recording under `root`, in order.  Raises SourceError for a root that holds none."""
    folder = recordings.root_of("egobody", root)
    return recordings.clips("egobody", folder, found(folder))


def reference(clip: Clip) -> list[Track]:
    """Both people's fits in the world.  Raises SourceError for data that cannot be used."""
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
    rows = _table(root / INFO)
    return _recording(root, next(row for row in rows if row["recording_name"] == clip.sequence), _splits(root), _circles(rows))


def found(root: Path) -> Attempts:
    """Every recording that the release's table names and of which there is anything, in order.  Raises SourceError when none is."""
    if not (root / INFO).is_file():
        deeper = next(iter(sorted(root.glob(f"*/{INFO}"))), None)
        hint = f"pass {deeper.parent.name} in it" if deeper else "put the tables of the release there"
        raise SourceError(f"source egobody={root}: expected {INFO}, found none; {hint}")
    rows = sorted(_table(root / INFO), key=lambda row: row["recording_name"])
    splits, circle = _splits(root), _circles(rows)
    there = [row for row in rows if any(True for _ in root.glob(f"smpl*/{row['recording_name']}"))]
    if not there:
        expected = "smplx_interactee_train/<recording> and the like"
        raise SourceError(f"source egobody={root}: expected {expected}, found none of the {len(rows)} recordings of {INFO}; unzip the fits")
    return [partial(recordings.attempt, row["recording_name"], partial(_recording, root, row, splits, circle)) for row in there]


def _table(file: Path) -> list[Row]:
    """The rows of the release's table by column name."""
    rows = _csv(file)
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        raise SourceError(f"{file}: expected the columns {', '.join(COLUMNS)}, lacking {', '.join(lacking)}; copy it again")
    return [row for row in rows if row["recording_name"]]


def _csv(file: Path) -> list[dict[str, str]]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as f:
            found = csv.DictReader(f, skipinitialspace=True)
            return [{str(k).strip(): str(v or "").strip() for k, v in row.items() if k} for row in found]
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"{file}: expected a table of comma-separated values ({error}); copy it again") from None


def _splits(root: Path) -> dict[str, str]:
    """Recording to its split; the columns are of different lengths."""
    if not (root / SPLITS).is_file():
        return {}
    return {name: split for row in _csv(root / SPLITS) for split, name in row.items() if name and name.lower() != "nan"}


def _people(name: str) -> list[str]:
    """The two people whom a recording's name names."""
    return [part for part in name.split("_") if re.fullmatch(r"S\d+", part, re.ASCII)]


def _circles(rows: Iterable[Row]) -> dict[str, str]:
    """Person to the group that the split keeps together; over the whole table, so that part of a copy is split like all of it."""
    return recordings.circles(_people(row["recording_name"]) for row in rows)


def _recording(root: Path, row: Row, splits: Mapping[str, str], circle: Mapping[str, str]) -> Recording:
    name = row["recording_name"]
    try:
        first, last = int(float(row["start_frame"])), int(float(row["end_frame"]))
        genders = {int(cell.split()[0]): cell.split()[1].lower() for cell in (row["body_idx_0"], row["body_idx_1"])}
        other = int(row["body_idx_fpv"].split()[0])
    except (ValueError, IndexError):
        raise SourceError(
            f"{root / INFO}: recording {name}: expected frame numbers and cells such as '1 female', got {dict(row)}"
        ) from None
    if last <= first or set(genders) != {0, 1} or other not in genders:
        raise SourceError(f"{root / INFO}: recording {name}: expected start_frame < end_frame and bodies 0 and 1, got {dict(row)}")
    ids = np.arange(first, last + 1, dtype=np.int64)
    people, files, model = [], [], ""
    for role, body in (("camera_wearer", 1 - other), ("interactee", other)):
        kind, split, fits = _fits(root, name, role, body)
        if not fits:
            continue
        model, splits = kind, {name: split, **splits}
        files += list(fits.values())
        valid = np.array([int(n) in fits for n in ids])
        people.append(Person(role, genders[body], valid, partial(recordings.read_fits, fits, ids), ROLES[role]))
    if not people:
        raise SourceError(f"{root}: recording {name}: expected fits in smplx_<role>_<split>/{name}/body_idx_*/results; unzip them again")
    world, calibrations = _world(root, name, row["scene_name"])
    floor = None
    if row["scene_name"] in FLOORS_M:
        floor = (world.rotation[1], float(world.offset_m[1]) - FLOORS_M[row["scene_name"]])
    return Recording(
        source="egobody",
        sequence=name,
        fps=FPS,
        frame_ids=ids,
        group=f"egobody/{next((circle[person] for person in _people(name)), name)}",
        split=splits.get(name),
        model=model,
        camera="static",
        world=world,
        people=tuple(people),
        views=_views(root, name, calibrations),
        state=recordings.stamp(files),
        floor=floor,
        notes={"body model": model, "calibrations": calibrations.relative_to(root).as_posix().replace(name, "<recording>")},
    )


def _fits(root: Path, name: str, role: str, body: int) -> tuple[str, str, dict[int, Path]]:
    """Body model, split, and frame number to fit of one person; SMPL-X where there is one."""
    for model in ("smplx", "smpl"):
        for split in ("train", "val", "test"):
            folder = root / f"{model}_{role}_{split}" / name / f"body_idx_{body}" / "results"
            if folder.is_dir():
                frames = [p for p in folder.iterdir() if p.name.startswith("frame_") and p.name[6:].isdecimal()]
                return model, split, {int(p.name[6:]): p / "000.pkl" for p in sorted(frames) if (p / "000.pkl").is_file()}
    return "", "", {}


def _world(root: Path, name: str, scene: str) -> tuple[World, Path]:
    """How the master Kinect's frame lies in the scene's, and the folder of the recording's calibrations."""
    own = root / "calibrations" / name
    for folder in (own / "cal_trans", own):
        files = sorted((folder / "kinect12_to_world").glob("*.json"))
        named = [file for file in files if file.stem == scene] or files
        if len(named) == 1:
            pose = _trans(named[0])
            return World(pose[:3, :3], pose[:3, 3]), folder
        if named:
            raise SourceError(f"{folder / 'kinect12_to_world'}: expected {scene}.json, found {', '.join(f.name for f in named)}")
    raise SourceError(f"{own}: expected cal_trans/kinect12_to_world/{scene}.json, found none; unzip calibrations")


def _trans(file: Path) -> Floats:
    return recordings.rigid(_json(file, "trans"), f"{file}: trans")


def _json(file: Path, name: str) -> Any:
    try:
        return json.loads(file.read_bytes())[name]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{file}: expected a JSON object with {name!r} ({type(error).__name__}: {error}); copy it again") from None


def _views(root: Path, name: str, calibrations: Path) -> tuple[View, ...]:
    """The Kinects that are calibrated; those with a folder of images if any has one."""
    color = root / "kinect_color" / name
    pictured = [view for view in KINECTS if (color / view).is_dir()]
    views = []
    for view, number in KINECTS.items():
        lens, pose = root / "kinect_cam_params" / f"kinect_{view}" / "Color.json", calibrations / f"kinect_{number}to12_color.json"
        if (pictured and view not in pictured) or not lens.is_file() or not (view == "master" or pose.is_file()):
            continue
        to_camera: Floats = np.eye(4) if view == "master" else np.asarray(np.linalg.inv(_trans(pose)))
        matrix = recordings.numbers(_json(lens, "camera_mtx"), (3, 3), f"{lens}: camera_mtx")
        views.append(View(view, matrix, SIZE, to_camera, footage.numbered(color / view, r"frame_(\d+)")))
    if not views:
        raise SourceError(f"{root / 'kinect_cam_params'}: expected kinect_master/Color.json, found none; unzip kinect_cam_params")
    return tuple(views)
