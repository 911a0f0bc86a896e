"""Writers of the files that lifters leave, faithful in keys, kinds of numbers and quirks, holding the known walk.

Written from design/sources.md and the tools' public code, with none of the project's own formulas: joblib, torch and NumPy write them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from fixture_walk import REST_PELVIS_M, Array, Walk, yaw
from scipy.spatial.transform import Rotation

ZERO_MATRIX_AA = 1.2092  # what PromptHMR's conversion makes of the zero matrices that it keeps for hands


def first_camera_world(walk: Walk, towards: bool) -> Walk:
    """The walk in a world whose +Z points towards the first camera (else away from it), horizontally."""
    forward = walk.moving_camera[0, :3, 2]
    heading = np.degrees(np.arctan2(forward[0], forward[2]))
    return walk.placed(yaw(180.0 - heading if towards else -heading))


def prompthmr(folder: Path, people: Mapping[int, Walk], every: int = 1, guessed: Mapping[int, Sequence[int]] | None = None) -> Path:
    """`results.pkl` and the `subject-*.smpl`; `guessed` frames of a person were interpolated, and their places are nonsense."""
    folder.mkdir(parents=True, exist_ok=True)
    worlds = {key: first_camera_world(walk, towards=True) for key, walk in people.items()}
    lead = next(iter(worlds.values()))
    kept = slice(every - 1, None, every)
    camera = lead.moving_camera[kept]
    frames_there, size = len(camera), np.array([lead.width, lead.height]) // 2
    back = np.linalg.inv(camera)
    rcw, tcw = back[:, :3, :3], back[:, :3, 3]
    tracks: dict[Any, Any] = {}
    for key, walk in worlds.items():
        rotvec, transl = walk.fit("smplx")
        rotvec, transl = rotvec[kept].astype(np.float32), transl[kept].astype(np.float32)
        in_camera, trans_camera = walk.fit("smplx", walk.moving_camera)
        detected = np.ones(frames_there, bool)
        for frame in (guessed or {}).get(key, ()):
            detected[frame] = False
            transl[frame] += 3.0
        pose = np.zeros((frames_there, 165), np.float32)
        pose[:, :3], pose[:, 75:] = rotvec, ZERO_MATRIX_AA
        rotmat = np.zeros((frames_there, 55, 3, 3), np.float32)
        rotmat[:, :25] = np.eye(3)
        rotmat[:, 0] = Rotation.from_rotvec(in_camera[kept]).as_matrix()
        tracks[key] = {
            "track_id": key,
            "bbox_format": "x1y1x2y2",
            "frames": np.arange(frames_there),
            "bboxes": (walk.boxes(walk.moving_camera)[kept] / 2).astype(np.float32),
            "detected": detected,
            "descriptor": "a person wearing clothes",
            "smplx_pose": np.zeros((frames_there, 55, 3), np.float32),
            "smplx_cam": {
                "rotmat": rotmat,
                "pose": np.zeros((frames_there, 75), np.float32),
                "shape": np.zeros((frames_there, 10), np.float32),
                "trans": trans_camera[kept].astype(np.float32),
                "contact": np.zeros((frames_there, 6), np.float32),
                "static_conf_logits": np.zeros((frames_there, 6), np.float32),
            },
            "smplx_world": {"pose": pose, "shape": np.zeros((frames_there, 10), np.float32), "trans": transl},
        }
        codec = {"codecVersion": 2, "smplVersion": 2, "gender": 0, "shapeParameters": np.zeros(10), "frameCount": frames_there}
        codec |= {"frameRate": min(walk.fps, 60.0), "bodyTranslation": transl, "bodyPose": pose[:, :66].reshape(-1, 22, 3)}
        with open(folder / f"subject-{key}.smpl", "wb") as file:
            np.savez(file, **codec)
    world = {
        "pred_cam_R": np.tile(np.eye(3, dtype=np.float32), (frames_there, 1, 1)),  # as it was before the tool's last optimisation
        "pred_cam_T": np.full((frames_there, 3), 7.0, np.float32),
        "Rwc": rcw.transpose(0, 2, 1).astype(np.float32),
        "Twc": -np.einsum("tij,tj->ti", rcw, tcw).astype(np.float32),  # the tool's own mistake
        "Rcw": rcw.astype(np.float32),
        "Tcw": tcw.astype(np.float32),
        "img_focal": np.float64(lead.camera_matrix[0, 0] / 2),
        "img_center": size / 2,
        "viz_scale": 5.0,
        "viz_center": [0.0, 0, 0.0],
    }
    results = {
        "camera": {"pred_cam_R": world["pred_cam_R"], "pred_cam_T": world["pred_cam_T"], "img_focal": 450.0, "img_center": size / 2},
        "people": tracks,
        "timings": {},
        **{f"has_{step}": True for step in ("tracks", "hps_cam", "hps_world", "slam", "2d_kpts", "post_opt")},
        "has_hands": False,
        "spec_calib": {"first_frame": {"pitch": np.float32(0.1), "roll": np.float32(0.0), "f_pix": 450.0}},
        "contact_joint_ids": [7, 10, 8, 11, 20, 21],
        "camera_world": world,
    }
    joblib.dump(results, folder / "results.pkl")
    return folder / "results.pkl"


def gvhmr(folder: Path, walk: Walk) -> Path:
    """`hmr4d_results.pt`, and beside it the preprocessing that nobody should read."""
    (folder / "preprocess").mkdir(parents=True, exist_ok=True)
    world = first_camera_world(walk, towards=False)
    _, transl = world.fit("smplx")
    begin = np.eye(4)
    begin[:3, 3] = -transl[0]
    world, n = world.placed(begin), walk.num_frames

    def parameters(frame: Array | None) -> dict[str, torch.Tensor]:
        rotvec, transl = world.fit("smplx", frame)
        arrays = {"body_pose": np.zeros((n, 63)), "betas": np.zeros((n, 10)), "global_orient": rotvec, "transl": transl}
        return {name: torch.tensor(value, dtype=torch.float32) for name, value in arrays.items()}

    results = {
        "smpl_params_global": parameters(None),
        "smpl_params_incam": parameters(world.moving_camera),
        "K_fullimg": torch.tensor(walk.camera_matrix, dtype=torch.float32).repeat(n, 1, 1),
        "net_outputs": {"model_output": {"pred_context": torch.zeros(1, n, 4)}, "static_conf_logits": torch.zeros(1, n, 6)},
    }
    torch.save(results, folder / "hmr4d_results.pt")
    torch.save(np.zeros((n, 7)), folder / "preprocess" / "slam_results.pt")
    return folder / "hmr4d_results.pt"


def wham(folder: Path, people: Mapping[Any, tuple[Walk, slice]], moved: bool = True) -> Path:
    """`wham_output.pkl`, a defaultdict; everybody has an own world, and some are seen in a part of the frames."""
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[Any, dict[str, Any]] = defaultdict(dict)
    for k, (key, (walk, part)) in enumerate(people.items()):
        own = walk.placed(yaw(70.0 * k, (k, 0.0, -k)))
        rotvec, _ = own.fit("smpl")
        before, trans = walk.fit("smpl", walk.moving_camera)
        n = len(rotvec[part])
        pose_world, pose = np.zeros((n, 72), np.float32), np.zeros((n, 72), np.float32)
        pose_world[:, :3], pose[:, :3] = rotvec[part], before[part]
        out[key]["pose"], out[key]["trans"] = pose, trans[part].astype(np.float32)
        out[key]["pose_world"], out[key]["trans_world"] = pose_world, own.position_m[part].astype(np.float32)
        out[key]["betas"] = np.zeros((n, 10), np.float32)
        out[key]["verts"] = np.zeros((n, 68, 3), np.float32)
        out[key]["frame_ids"] = np.arange(walk.num_frames)[part]
    joblib.dump(out, folder / "wham_output.pkl")
    frames = next(iter(people.values()))[0].num_frames
    poses = np.tile([0.0, 0, 0, 1, 0, 0, 0], (frames, 1))
    poses[:, 0] += np.linspace(0, 1, frames) * moved
    joblib.dump(poses, folder / "slam_results.pth")
    return folder / "wham_output.pkl"


def tram(folder: Path, people: Sequence[tuple[Walk, Array]], upright: bool = True) -> Path:
    """`camera.npy` and `hps/hps_track_*.npy`; of each person only the given frames, which may have gaps."""
    (folder / "hps").mkdir(parents=True, exist_ok=True)
    lead = first_camera_world(people[0][0], towards=True)
    camera = lead.moving_camera.astype(np.float32)
    seen = {"pred_cam_R": np.tile(np.eye(3, dtype=np.float32), (len(camera), 1, 1)), "pred_cam_T": np.zeros((len(camera), 3), np.float32)}
    if upright:
        seen |= {"world_cam_R": camera[:, :3, :3], "world_cam_T": camera[:, :3, 3], "spec_focal": np.float32(910.0)}
    seen |= {"img_focal": np.float64(lead.camera_matrix[0, 0]), "img_center": lead.camera_matrix[:2, 2]}
    np.save(folder / "camera.npy", seen, allow_pickle=True)
    for k, (walk, frames) in enumerate(people):
        rotvec, transl = walk.fit("smpl", walk.moving_camera)
        rotmat = np.tile(np.eye(3), (len(frames), 24, 1, 1))
        rotmat[:, 0] = Rotation.from_rotvec(rotvec[frames]).as_matrix()
        track = {
            "pred_cam": torch.zeros(len(frames), 3),
            "pred_pose": torch.tensor(rotmat[..., :2].reshape(len(frames), 144), dtype=torch.float32),
            "pred_shape": torch.zeros(len(frames), 10),
            "pred_rotmat": torch.tensor(rotmat, dtype=torch.float32),
            "pred_trans": torch.tensor(transl[frames], dtype=torch.float32)[:, None],
            "frame": torch.from_numpy(np.asarray(frames)),
        }
        np.save(folder / "hps" / f"hps_track_{k}.npy", track, allow_pickle=True)
    return folder / "camera.npy"


def motionx(path: Path, walk: Walk) -> Path:
    """A Motion-X file: 322 numbers a frame."""
    rotvec, transl = walk.fit("smplx")
    values = np.zeros((walk.num_frames, 322), np.float32)
    values[:, :3], values[:, 309:312] = rotvec, transl
    np.save(path, values)
    return path


def amass(path: Path, walk: Walk, stageii: bool) -> Path:
    """An AMASS file of either release; the world is +Z up."""
    z_up = np.eye(4)
    z_up[:3, :3] = [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]
    raised = walk.placed(z_up)
    model = "smplx" if stageii else "smplh"
    rotvec, transl = raised.fit(model, rest_pelvis_m=REST_PELVIS_M[model])
    common: dict[str, Any] = {"trans": transl, "gender": np.array("neutral"), "betas": np.zeros(16)}
    if stageii:
        common |= {"root_orient": rotvec, "pose_body": np.zeros((len(rotvec), 63)), "mocap_frame_rate": walk.fps}
        common |= {"labels": np.array([{"marker": 1}], dtype=object), "surface_model_type": np.array("smplx")}
    else:
        common |= {"poses": np.concatenate([rotvec, np.zeros((len(rotvec), 153))], axis=1), "mocap_framerate": walk.fps}
    np.savez(path, **common)
    return path
