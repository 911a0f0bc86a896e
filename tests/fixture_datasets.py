"""Copies of EMDB, RICH and EgoBody as they lie on a disk, made from motions that are known: no byte of the real ones is in them.

Everything is written with the formulas of the formats' descriptions, not with the project's code.  A `Stage` is where a motion
plays: a +Y-up world with the floor at 0, the person near the origin.  Each writer carries it into its dataset's own frame.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from builder.types import Track

J0_SMPL, J0_SMPLX = np.array([0.0, -0.22, 0.03]), np.array([0.0, -0.35, 0.01])  # rest pelvis of the mean neutral bodies
UP = {"ParkingLot1": ((-0.033, -0.991, -0.133), 1.386), "Pavallion": ((0.048, -0.985, -0.166), 1.764)}
UP |= {"LectureHall": ((0.022, -0.951, -0.308), 2.060), "Gym": ((-0.054, -0.972, -0.230), 1.538), "BBQ": ((0.030, -0.991, -0.132), 1.406)}
FLOOR = {"seminar_g110": -1.660, "seminar_d78_0318": -1.03}
KINECTS = {"master": 12, "sub_1": 11, "sub_2": 13, "sub_3": 14, "sub_4": 15}
BITS = 12

Images = Callable[[int, Path], None]


def about(degrees: float) -> np.ndarray:
    """The turn about +Y that moves +Z towards +X."""
    return Rotation.from_rotvec([0, degrees, 0], degrees=True).as_matrix()


def centred(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Pelvis (T, 3) and body axes (T, 3, 3) with the middle of the path above the origin."""
    middle = (track.position_m.min(axis=0) + track.position_m.max(axis=0)) / 2
    return track.position_m - [middle[0], 0, middle[2]], track.body_to_world


def look(eye: Sequence[float], at: Sequence[float]) -> np.ndarray:
    """World to camera (4, 4), OpenCV, of a level camera at `eye` looking at `at`."""
    z = np.subtract(at, eye) / np.linalg.norm(np.subtract(at, eye))
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    out = np.eye(4)
    out[:3, :3] = np.stack([x, np.cross(z, x), z])
    out[:3, 3] = -out[:3, :3] @ eye
    return out


def rotvec(matrices: np.ndarray) -> np.ndarray:
    return np.asarray(Rotation.from_matrix(matrices).as_rotvec())


def numbered_image(size: tuple[int, int]) -> Images:
    """A writer of small pictures whose stripes spell their frame number in binary, so that a video of them can be read back."""

    def draw(frame: int, to: Path) -> None:
        stripes = np.array([(frame >> bit) & 1 for bit in range(BITS)], np.uint8) * 200 + 28
        row = np.repeat(stripes, -(-size[0] // BITS))[: size[0]]
        Image.fromarray(np.repeat(np.repeat(row[None], size[1], axis=0)[..., None], 3, axis=2)).save(to)

    return draw


def read_number(image: np.ndarray) -> int:
    """The frame number in a picture of `numbered_image`."""
    width = image.shape[1]
    step = -(-width // BITS)
    middle = [min(width - 1, k * step + step // 2) for k in range(BITS)]
    return sum(int(image[image.shape[0] // 2, x, 1] > 128) << bit for bit, x in enumerate(middle))


def dump(path: Path, data: Any, protocol: int = 4, old_numpy: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = pickle.dumps(data, protocol=2 if old_numpy else protocol)
    path.write_bytes(content.replace(b"numpy._core", b"numpy.core") if old_numpy else content)


# EMDB


def emdb(
    root: Path,
    track: Track,
    sequence: str = "P1/14_outdoor_climb",
    subsets: tuple[bool, bool] = (True, False),
    size: tuple[int, int] = (1440, 1920),
    images: Images | None = None,
    masked: Iterable[int] = (),
    old_numpy: bool = False,
    filmed: bool = False,
) -> Path:
    """One sequence of EMDB with its images; the camera follows the person from a moving shoulder, or is the track's own if `filmed`.

    Returns its folder.
    """
    pelvis, axes = centred(track)
    turn, offset = about(141.0), np.array([12.0, 3.1, -7.0])
    moved = offset + turn @ (pelvis[0] - track.position_m[0])
    pelvis, axes = pelvis @ turn.T + offset, turn @ axes
    n = len(pelvis)
    sway = np.linspace(0, 3, n)
    eyes = pelvis + np.stack([6 * np.cos(0.4 * sway), 0.6 + 0.1 * np.sin(sway), 6 * np.sin(0.4 * sway)], axis=1)
    extrinsics = np.stack([look(eye, at + np.array([0, 0.1, 0])) for eye, at in zip(eyes, pelvis, strict=True)])
    wobble = Rotation.from_rotvec(np.stack([0 * sway, 0 * sway, 4 * np.sin(2 * sway)], axis=1), degrees=True).as_matrix()
    extrinsics[:, :3] = wobble @ extrinsics[:, :3]
    k = np.array([[1.05 * size[1], 0, size[0] / 2], [0, 1.05 * size[1], size[1] / 2], [0, 0, 1]])
    if filmed:
        world = np.eye(4)
        world[:3, :3], world[:3, 3] = turn, moved
        extrinsics, k = np.linalg.inv(world @ track.camera_to_world), track.extra["camera_matrix"]  # type: ignore[operator]
    seen = np.einsum("nij,nj->ni", extrinsics[:, :3, :3], pelvis) + extrinsics[:, :3, 3]
    pixels = (seen @ k.T)[:, :2] / seen[:, 2:]
    good = np.ones(n, dtype=bool)
    good[list(masked)] = False
    subject, name = sequence.split("/")
    full = f"{subject}_{name}"
    data = {
        "gender": "female",
        "name": full,
        "emdb1": subsets[0],
        "emdb2": np.bool_(subsets[1]),
        "n_frames": n,
        "good_frames_mask": good,
        "camera": {"intrinsics": k.astype(np.float32), "extrinsics": extrinsics, "width": size[0], "height": np.int64(size[1])},
        "smpl": {
            "poses_root": rotvec(axes).astype(np.float32),
            "poses_body": np.zeros((n, 69), np.float32),
            "trans": pelvis - J0_SMPL,
            "betas": np.zeros(10, np.float32),
        },
        "kp2d": np.repeat(pixels[:, None], 24, axis=1).astype(np.float32),
        "bboxes": {
            "bboxes": np.concatenate([pixels - 200, pixels + 200], axis=1),
            "invalid_idxs": np.zeros(0, dtype=np.int64),
        },
    }
    folder = root / subject / name
    dump(folder / f"{full}_data.pkl", data, old_numpy=old_numpy)
    (folder / f"{full}_video.mp4").write_bytes(b"a side-by-side preview that nobody may read")
    (folder / "images").mkdir()
    for i in range(n if images else 0):
        images(i, folder / "images" / f"{i:05d}.jpg")  # type: ignore[misc]
    return folder


# RICH


def smplx_fields(orient: np.ndarray, transl: np.ndarray) -> dict[str, np.ndarray]:
    """One frame's fit, every field float32 (1, n), hands as 12 components."""
    sizes = {"body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
    sizes |= {"expression": 10, "pose_embedding": 32, "betas": 10}
    out = {name: np.zeros((1, n), np.float32) for name, n in sizes.items()}
    return out | {"global_orient": orient[None].astype(np.float32), "transl": transl[None].astype(np.float32)}


@dataclass(frozen=True)
class Layout:
    """Where a RICH tree keeps its bodies and images."""

    bodies: str = "bodies/{split}"
    images: str = "images/{split}"
    suffix: str = "png"


TOOLKIT, UNZIPPED = Layout(), Layout("{split}_body", "images_jpg_subset/{split}", "jpeg")


@dataclass(frozen=True)
class Scene:
    """How a RICH capture lies in the scanner's world."""

    capture: str
    scale: float = 1.0
    suffix: str = ""
    decimals: int | None = None
    with_json: bool = True
    cameras: int = 3
    portrait: tuple[int, ...] = ()
    distance_m: float = 9.0
    yaw_deg: float = 63.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """R (3, 3) and t (3,) of the file: row vectors, world = c p R + t, +Z up."""
        up, height = np.array(UP[self.capture][0]), UP[self.capture][1]
        up /= np.linalg.norm(up)
        forward = np.array([0, 0, 1.0]) - up[2] * up
        forward /= np.linalg.norm(forward)
        left = np.cross(up, forward)
        a, s = np.cos(np.radians(self.yaw_deg)), np.sin(np.radians(self.yaw_deg))
        r = np.stack([a * forward + s * left, -s * forward + a * left, up], axis=1)
        # The camera stands `height` above the floor, `distance_m` before the middle of the action.
        t = np.array([0, 0, height]) - self.distance_m * (forward @ r)
        return r, t


def rich(
    root: Path,
    people: Mapping[str, Track],
    sequence: str = "ParkingLot1_005_walk1",
    split: str = "train",
    layout: Layout = TOOLKIT,
    scene: Scene | None = None,
    first: int = 40,
    apart_m: float = 2.0,
    missing: Iterable[int] = (),
    images: Mapping[str, Images] | None = None,
) -> None:
    """One sequence of RICH: fits of each subject per frame in camera 0's frame, cameras, transform, images of the cameras named."""
    scene = scene or Scene(sequence.split("_")[0])
    r, t = scene.frames()
    folder = root / layout.bodies.format(split=split) / sequence
    n = min(track.num_frames for track in people.values())
    gone = set(missing)
    for k, (subject, track) in enumerate(people.items()):
        pelvis, axes = centred(track)
        x, y, z = pelvis.T
        side = apart_m * (k - (len(people) - 1) / 2)
        across = np.array([np.sin(np.radians(scene.yaw_deg)), np.cos(np.radians(scene.yaw_deg)), 0])
        world = np.stack([x, -z, y], axis=1) + side * across  # +Y up to +Z up
        to_z = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        in_camera = (world - t) @ r.T / scene.scale
        orient = rotvec(r @ to_z @ axes)
        for i in range(n):
            if first + i not in gone:
                dump(folder / f"{first + i:05d}" / f"{subject}.pkl", smplx_fields(orient[i], in_camera[i] - J0_SMPLX), protocol=4)
    calibration = root / "scan_calibration" / scene.capture / "calibration"
    calibration.mkdir(parents=True, exist_ok=True)
    for c in range(scene.cameras):
        width, height = (3008, 4112) if c in scene.portrait else (4112, 3008)
        pose = np.eye(4)
        if c:
            angle = 2 * np.pi * c / scene.cameras
            eye = np.array([-8.5 * np.cos(angle), 2.0, 8.5 * np.sin(angle)])  # in the +Y-up world of the stage
            pose = look(eye, (0, 0.9, 0))
            # From the camera-0 frame to the stage, then to this camera.
            stage = np.eye(4)
            y_from_z = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
            stage[:3, :3], stage[:3, 3] = y_from_z @ r.T, y_from_z @ t / scene.scale
            eye_scaled = pose.copy()
            eye_scaled[:3, 3] = pose[:3, 3] / scene.scale
            pose = eye_scaled @ stage
        k = [[3600.0, 0, width / 2 - 3], [0, 3600.0, height / 2 + 5], [0, 0, 1]]
        (calibration / f"{c:03d}.xml").write_text(_xml(pose[:3], np.array(k)))
    (root / "multicam2world").mkdir(exist_ok=True)
    if scene.with_json:
        shown = r if scene.decimals is None else r.round(scene.decimals)
        record = {"R": shown.tolist(), "t": t.tolist(), "c": scene.scale}
        (root / "multicam2world" / f"{scene.capture}{scene.suffix}_multicam2world.json").write_text(json.dumps(record))
    for name, draw in (images or {}).items():
        where = root / layout.images.format(split=split) / sequence / f"cam_{name}"
        where.mkdir(parents=True)
        for i in range(n):
            draw(first + i, where / f"{first + i:05d}_{name}.{layout.suffix}")


def _xml(pose: np.ndarray, k: np.ndarray) -> str:
    def node(name: str, matrix: np.ndarray) -> str:
        rows, cols = matrix.shape
        data = "\n    ".join(" ".join(f"{v:.17g}" for v in row) for row in matrix)
        size = f"<rows>{rows}</rows>\n  <cols>{cols}</cols>\n  <dt>d</dt>"
        return f'<{name} type_id="opencv-matrix">\n  {size}\n  <data>\n    {data}</data></{name}>\n'

    distortion = np.array([[-0.05, 0.02, 0, 0, 0, 0, 0, 0.0]])
    body = node("CameraMatrix", pose) + node("Intrinsics", k) + node("Distortion", distortion)
    return f'<?xml version="1.0"?>\n<opencv_storage>\n{body}</opencv_storage>\n'


# EgoBody


@dataclass
class EgoBody:
    """A copy of EgoBody that grows by recordings; its two tables are written anew with each."""

    root: Path
    cal_trans: bool = True
    rows: list[str] = field(default_factory=list)
    splits: dict[str, list[str]] = field(default_factory=lambda: {"train": [], "val": [], "test": []})

    def add(
        self,
        wearer: Track,
        interactee: Track,
        recording: str = "recording_20210907_S02_S01_01",
        split: str = "train",
        scene: str = "seminar_g110",
        first: int = 1207,
        interactee_body: int = 1,
        kinects: int = 3,
        apart_m: float = 2.0,
        missing: Iterable[int] = (),
        images: Mapping[str, Images] | None = None,
        model: str = "smplx",
        roles: tuple[str, ...] = ("camera_wearer", "interactee"),
    ) -> None:
        """One recording: fits of both in the master Kinect's frame, calibrations, tables, images of the Kinects named."""
        root, n = self.root, min(wearer.num_frames, interactee.num_frames)
        floor = np.array([1.7, FLOOR[scene], -0.4])  # the scene's frame: +Y up, floor not at 0
        eyes = {12: (0.3, 2.2, -8.6), 11: (-7.4, 1.9, -4.9), 13: (7.0, 2.1, -5.2), 14: (-6.0, 2.0, 6.1), 15: (5.7, 2.0, 6.4)}
        to_camera = {number: look(np.array(eye) + floor, np.array([0, 0.9, 0]) + floor) for number, eye in eyes.items()}
        master = to_camera[12]
        gone = set(missing)
        for k, (role, track) in enumerate((("camera_wearer", wearer), ("interactee", interactee))):
            if role not in roles:
                continue
            pelvis, axes = centred(track)
            pelvis = pelvis + floor + [apart_m * (k - 0.5), 0, 0]
            j0 = J0_SMPLX if model == "smplx" else J0_SMPL
            transl = pelvis @ master[:3, :3].T + master[:3, 3] - j0
            orient = rotvec(master[:3, :3] @ axes)
            body = interactee_body if role == "interactee" else 1 - interactee_body
            results = root / f"{model}_{role}_{split}" / recording / f"body_idx_{body}" / "results"
            for i in range(n):
                if first + i in gone and role == "interactee":
                    continue
                fit = smplx_fields(orient[i], transl[i])
                fit |= {"camera_rotation": np.eye(3, dtype=np.float32)[None], "camera_translation": np.zeros((1, 3), np.float32)}
                dump(results / f"frame_{first + i:05d}" / "000.pkl", {**fit, "gender": "female"}, protocol=2)
        own = root / "calibrations" / recording / ("cal_trans" if self.cal_trans else "")
        (own / "kinect12_to_world").mkdir(parents=True, exist_ok=True)
        (own / "kinect12_to_world" / f"{scene}.json").write_text(json.dumps({"trans": np.linalg.inv(master).tolist()}))
        (own / "holo_to_kinect12.json").write_text(json.dumps({"trans": np.eye(4).tolist()}))
        for view, number in list(KINECTS.items())[:kinects]:
            if view != "master":
                to_master = master @ np.linalg.inv(to_camera[number])
                (own / f"kinect_{number}to12_color.json").write_text(json.dumps({"trans": to_master.tolist()}))
            lens = root / "kinect_cam_params" / f"kinect_{view}" / "Color.json"
            lens.parent.mkdir(parents=True, exist_ok=True)
            k = [[918.2, 0, 958.5], [0, 918.0, 551.1], [0, 0, 1]]
            lens.write_text(json.dumps({"f": [918.2, 918.0], "c": [958.5, 551.1], "camera_mtx": k, "k": [0.08, -0.05, 0, 0, 0.01]}))
        for view, draw in (images or {}).items():
            folder = root / "kinect_color" / recording / view
            folder.mkdir(parents=True)
            for i in range(n):
                draw(first + i, folder / f"frame_{first + i:05d}.jpg")
        cells = [f"{k} {'female' if k == interactee_body else 'male'}" for k in (0, 1)]
        self.rows.append(f"{scene},{cells[0]},{cells[1]},{first},{first + n - 1},{interactee_body} female,{recording}")
        self.splits[split].append(recording)
        header = "scene_name,body_idx_0,body_idx_1,start_frame,end_frame,body_idx_fpv,recording_name"
        (root / "data_info_release.csv").write_text("\n".join([header, *self.rows]) + "\n", encoding="utf-8-sig")
        longest = max(map(len, self.splits.values()))
        columns = [names + [""] * (longest - len(names)) for names in self.splits.values()]
        lines = [",".join(self.splits), *(",".join(row) for row in zip(*columns, strict=True))]
        (root / "data_splits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
