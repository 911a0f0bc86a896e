"""The pelvis of body-model fits, against `smplx` itself, and carried through a moving, tilted camera."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_walk import FPS, HIP_M, REST_PELVIS_M, walk
from scipy import sparse
from scipy.spatial.transform import Rotation

from builder import body, geometry
from builder.sources import tracks
from builder.types import SetupError, SourceError

VERTICES, JOINTS = 10_000, 55  # `smplx` picks landmarks by their numbers, which go up to 9,929


def model_arrays(seed: int = 3, shapes: int = 20) -> dict[str, Any]:
    """A body model in the layout of SMPL-X's .npz: every key that `smplx` asks for, made up numbers."""
    rng = np.random.default_rng(seed)
    regressor = np.zeros((JOINTS, VERTICES))
    for joint in range(JOINTS):
        regressor[joint, rng.choice(VERTICES, 30, replace=False)] = 1 / 30
    parents = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15, *range(20, 50)])
    parents[25:] = np.where(np.arange(JOINTS)[25:] % 2, 20, 21)
    skin = rng.random((VERTICES, JOINTS))
    return {
        "v_template": rng.normal(size=(VERTICES, 3)) * [0.3, 0.6, 0.1],
        "shapedirs": rng.normal(size=(VERTICES, 3, shapes)) * 0.02,
        "posedirs": np.zeros((VERTICES, 3, 9 * (JOINTS - 1))),
        "J_regressor": regressor,
        "weights": skin / skin.sum(axis=1, keepdims=True),
        "kintree_table": np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(JOINTS)]).astype(np.uint32),
        "f": rng.integers(0, VERTICES, (40, 3)).astype(np.uint32),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "hands_meanl": np.zeros(45),
        "hands_meanr": np.zeros(45),
        "lmk_faces_idx": np.zeros(51, np.int64),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": np.zeros((79, 17), np.int64),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
        "joint2num": np.array({"Pelvis": 0}, dtype=object),  # the real files hold pickled objects too
        "part2num": np.array({"Hips": 0}, dtype=object),
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "smplx").mkdir()
    np.savez(folder / "smplx" / "SMPLX_FEMALE.npz", **model_arrays())
    return folder


def test_rest_pelvis_is_where_smplx_poses_the_root(models: Path) -> None:
    """However the body turns, `smplx` puts its pelvis at J0 + transl."""
    import torch
    from smplx import SMPLX

    rng = np.random.default_rng(1)
    betas, turns, transl = rng.normal(size=10), Rotation.random(6, random_state=2).as_rotvec(), rng.normal(size=(6, 3))
    j0, kind = body.rest_pelvis("smplx", "female", betas, models)
    assert kind == "pelvis"
    model = SMPLX(str(models / "smplx"), gender="female", batch_size=6, use_pca=False, flat_hand_mean=True, dtype=torch.float64)
    posed = model(
        betas=torch.tensor(betas)[None].repeat(6, 1), global_orient=torch.tensor(turns), transl=torch.tensor(transl), return_verts=False
    )
    np.testing.assert_allclose(body.pelvis(transl, j0), posed.joints[:, 0].detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(body.rest_pelvis("smplx", "female", np.stack([betas - 1, betas, betas + 9]), models)[0], j0, atol=1e-12)


def test_forms_of_model_files_agree(models: Path, tmp_path: Path) -> None:
    arrays = model_arrays()
    expected = body.rest_pelvis("smplx", "female", np.ones(4), models)[0]
    parts = {"v_template": arrays["v_template"], "shapedirs": arrays["shapedirs"][:, :, :10]}
    (tmp_path / "smpl").mkdir()
    smpl = parts | {"J_regressor": sparse.csc_matrix(arrays["J_regressor"]), "bs_type": "lrotmin"}
    (tmp_path / "smpl" / "basicmodel_f_lbs_10_207_0_v1.1.0.pkl").write_bytes(pickle.dumps(smpl, 2))
    np.testing.assert_allclose(body.rest_pelvis("smpl", "female", np.ones(4), tmp_path)[0], expected, atol=1e-12)
    wide = np.concatenate([arrays["shapedirs"][:, :, :10], np.full((VERTICES, 3, 390), 9.0)], axis=2)
    np.savez(tmp_path / "SMPLX_FEMALE.npz", **parts | {"J_regressor": arrays["J_regressor"], "shapedirs": wide})
    np.testing.assert_allclose(body.rest_pelvis("smplx", "female", np.ones(4), tmp_path)[0], expected, atol=1e-12)


def test_without_models_a_documented_constant_stands_in() -> None:
    for model, expected in REST_PELVIS_M.items():
        found, kind = body.rest_pelvis(model, "male", np.ones(10))
        assert kind == "pelvis_approx"
        np.testing.assert_array_equal(found, expected)
    for model, value in tracks.REST_PELVIS_M.items():
        np.testing.assert_array_equal(body.APPROXIMATE_M[model], value)


def test_bad_models_are_refused_in_a_line(models: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"SMPLX_MALE\.npz.*holds none"):
        body.rest_pelvis("smplx", "male", None, models)
    with pytest.raises(SetupError, match="no such folder"):
        body.rest_pelvis("smplx", "male", None, tmp_path / "x")
    with pytest.raises(SourceError, match="no body model 'flame'"):
        body.rest_pelvis("flame")
    with pytest.raises(SourceError, match="betas"):
        body.rest_pelvis("smplx", "female", np.array([np.nan]), models)
    np.savez(tmp_path / "SMPLX_MALE.npz", v_template=np.zeros((5, 3)))
    with pytest.raises(SourceError, match=r"SMPLX_MALE\.npz: expected the arrays.*J_regressor"):
        body.rest_pelvis("smplx", "male", None, tmp_path)
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", v_template=np.zeros((5, 3)), J_regressor=np.zeros((2, 4)), shapedirs=np.zeros((5, 3, 10)))
    with pytest.raises(SourceError, match=r"J_regressor \(J, V\).*\(2, 4\)"):
        body.rest_pelvis("smplx", "neutral", None, tmp_path)
    (tmp_path / "SMPL_MALE.pkl").write_bytes(pickle.dumps({"v_template": np.zeros((5, 3))}))
    with pytest.raises(SourceError, match="found no J_regressor, shapedirs"):
        body.rest_pelvis("smpl", "male", None, tmp_path)


class Touch:
    """A pickle that would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_hostile_models_run_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": Touch(mark)}, 2))
    with pytest.raises(SourceError, match=r"SMPL_NEUTRAL\.pkl: refused, nothing of it was run: it asks for posix\.system"):
        body.rest_pelvis("smpl", "neutral", None, tmp_path)
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **model_arrays() | {"v_template": np.array([Touch(mark)], dtype=object)})
    with pytest.raises(SourceError, match=r"SMPLX_NEUTRAL\.npz: expected the arrays .*pickled Python objects"):
        body.rest_pelvis("smplx", "neutral", None, tmp_path)
    assert not mark.exists()


def test_camera_frame_fit_reaches_the_world_exactly() -> None:
    """Through a moving, tilted, rolling camera; and the two ways to get it wrong are told apart from the right one."""
    truth = walk()
    camera, j0 = truth.moving_camera, REST_PELVIS_M["smplx"]
    rotvec, transl = truth.fit("smplx", camera)
    rotation = geometry.matrices_from_rotvec(rotvec)
    turned, position = body.to_world(rotation, transl, j0, camera)
    np.testing.assert_allclose(position, truth.position_m, atol=1e-6)
    np.testing.assert_allclose(turned, truth.body_to_world, atol=1e-6)
    naive = np.einsum("tij,tj->ti", camera[:, :3, :3], transl) + camera[:, :3, 3]
    for wrong in (naive, naive + j0):
        assert np.linalg.norm(wrong - truth.position_m, axis=1).min() > 0.3
    _, scaled = body.to_world(rotation, transl, j0, camera, scale=1.02)
    np.testing.assert_allclose(
        np.linalg.norm(scaled - camera[:, :3, 3], axis=1) / np.linalg.norm(position - camera[:, :3, 3], axis=1), 1.02
    )


def test_the_known_walk_is_what_it_says() -> None:
    truth = walk()
    assert truth.num_frames == 300
    start, end = truth.position_m[0], truth.position_m[-1]
    facing = truth.body_to_world[0][:, 2]
    left = np.cross([0, 1, 0], facing)
    np.testing.assert_allclose([(end - start) @ facing, (end - start) @ left, end[1] - start[1]], [3, 2, 0], atol=1e-9)
    assert geometry.heading_deg(truth.body_to_world)[-1] - geometry.heading_deg(truth.body_to_world)[0] == pytest.approx(90)
    assert truth.position_m[:, 1].min() == pytest.approx(HIP_M - 0.35, abs=1e-3)
    assert truth.fps == FPS
    for camera in (truth.moving_camera, truth.static_camera):
        assert ((truth.pixels(camera) > 40) & (truth.pixels(camera) < [truth.width - 40, truth.height - 40])).all()
        np.testing.assert_allclose(np.linalg.det(camera[:, :3, :3]), 1)
        assert (camera[:, :3, 1] @ [0, 1, 0] < -0.8).all()  # the picture's down is the world's
    tilt = np.degrees(np.arcsin(-truth.moving_camera[:, 1, 2]))
    assert np.ptp(tilt) > 5
    assert np.ptp(truth.moving_camera[:, :3, 3], axis=0).max() > 1.5
