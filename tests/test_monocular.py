"""The person side of the default lifter: geometry on exact landmarks, the networks' arithmetic, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from builder import geometry
from builder.lifters import monocular
from builder.lifters.monocular import blazepose, clothes, heading, people, root, verdict, weights
from builder.lifters.monocular.records import LANDMARKS, Person
from builder.types import Clip, Floats, LiftError, SetupError

FPS = 30.0
FOCAL, WIDTH, HEIGHT = 820.0, 960, 540
CAMERA_M = np.tile([0.0, 0.5, -5.0], (90, 1))
TO_CAMERA = np.diag([-1.0, -1.0, 1.0])  # a level camera that looks along +Z of a +Y-up world, or back

# Landmarks that matter, of somebody standing: left (+X), up, forward of the middle of the hips.
STANDING = {
    0: (0.0, 0.68, 0.12),
    7: (0.08, 0.66, 0.02),
    8: (-0.08, 0.66, 0.02),
    11: (0.18, 0.5, 0.0),
    12: (-0.18, 0.5, 0.0),
    13: (0.22, 0.22, 0.0),
    14: (-0.22, 0.22, 0.0),
    15: (0.24, -0.02, 0.05),
    16: (-0.24, -0.02, 0.05),
    23: (0.11, 0.0, 0.0),
    24: (-0.11, 0.0, 0.0),
    25: (0.11, -0.42, 0.02),
    26: (-0.11, -0.42, 0.02),
    27: (0.11, -0.83, -0.02),
    28: (-0.11, -0.83, -0.02),
    29: (0.11, -0.88, -0.06),
    30: (-0.11, -0.88, -0.06),
    31: (0.13, -0.89, 0.12),
    32: (-0.13, -0.89, 0.12),
}


def body() -> Floats:
    out = np.zeros((LANDMARKS, 3))
    for landmark, place in STANDING.items():
        out[landmark] = place
    return out


def joints_of(body_to_world: Floats, root_m: Floats) -> Floats:
    return np.einsum("nij,kj->nki", body_to_world, body()) + root_m[:, None]


def filmed(joints_cam_m: Floats) -> Person:
    """What an exact network would see of joints (n, 33, 3) in camera axes: the pose is given as seen along the ray to the hips."""
    n = len(joints_cam_m)
    hips = joints_cam_m[:, [23, 24]].mean(axis=1)
    turn = root.toward(hips / np.linalg.norm(hips, axis=1, keepdims=True))
    pixels = joints_cam_m[..., :2] / joints_cam_m[..., 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
    return Person(
        landmarks_px=pixels,
        visibility=np.full((n, LANDMARKS), 0.99),
        landmarks_m=np.einsum("nji,nkj->nki", turn, joints_cam_m - hips[:, None]),
        score=np.ones(n),
        box_px=np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1),
        seen=np.ones(n, dtype=bool),
    )


def before_camera(headings_deg: Floats, root_m: Floats) -> Floats:
    """Joints (n, 33, 3), camera axes, of people with these headings whose hips are at root_m (n, 3) or (3,)."""
    turned = joints_of(geometry.yaw_matrix(headings_deg), np.zeros((len(headings_deg), 3)))
    return np.einsum("ij,nkj->nki", TO_CAMERA, turned) + np.broadcast_to(root_m, (len(headings_deg), 3))[:, None]


def walk(direction_deg: float, faces_deg: float, n: int = 90, speed: float = 1.2) -> tuple[Floats, Floats]:
    """body_to_world (n, 3, 3) and root (n, 3) of somebody who faces one way and goes another, degrees of heading."""
    ahead = geometry.yaw_matrix(direction_deg)[:, 2]
    return np.tile(geometry.yaw_matrix(faces_deg), (n, 1, 1)), ahead * speed * np.arange(n)[:, None] / FPS


def swapped(joints: Floats) -> Floats:
    """Landmarks as the network gives them when it takes a back for a front: turned about the vertical through the hips."""
    hips = joints[:, [23, 24]].mean(axis=1, keepdims=True)
    return (joints - hips) * [-1, 1, -1] + hips


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch):
    """Without what makes up for the network's own errors, which exact landmarks do not have."""
    monkeypatch.setattr(root, "PROFILE_SIZE", 0.0)
    monkeypatch.setattr(heading, "PROFILE_DEG", 0.0)
    monkeypatch.setattr(heading, "DEPTH_GAIN", 1.0)
    monkeypatch.setattr(heading, "DEPTH_GAIN_FRONT", 0.0)


@pytest.mark.usefixtures("exact")
def test_the_root_is_exact_for_exact_landmarks():
    rng = np.random.default_rng(1)
    n = 50
    root_m = np.stack([rng.uniform(-1.5, 1.5, n), rng.uniform(-0.3, 0.5, n), rng.uniform(3, 9, n)], axis=1)
    joints = before_camera(rng.uniform(0, 360, n), root_m)
    found, placed, miss = root.placed(filmed(joints), FOCAL, WIDTH, HEIGHT)
    # The middle of the hips' pixels is not quite the pixel of their middle.
    np.testing.assert_allclose(found, root_m, atol=3e-4)
    np.testing.assert_allclose(placed[:, list(root.USED)], joints[:, list(root.USED)], atol=3e-4)
    assert miss.max() < 0.02


def test_a_wild_landmark_hardly_moves_the_root():
    joints = before_camera(np.zeros(3), np.array([0.3, 0.0, 5.0]))
    person = filmed(joints)
    person.landmarks_px[:, 16] += 60.0
    found, _, _ = root.placed(person, FOCAL, WIDTH, HEIGHT)
    assert np.abs(found - [0.3, 0.0, 5.0]).max() < 0.05


def test_the_root_scales_with_height_and_focal_length():
    joints = before_camera(np.zeros(2), np.array([0.0, 0.0, 5.0]))
    person = filmed(joints)
    child, _, _ = root.placed(person, FOCAL, WIDTH, HEIGHT, subject_height_m=0.86)
    wide, _, _ = root.placed(person, 2 * FOCAL, WIDTH, HEIGHT)
    np.testing.assert_allclose(child[:, 2], 2.5, atol=0.02)
    np.testing.assert_allclose(wide[:, 2], 10.0, rtol=0.01)


def test_frames_without_a_person_have_no_root():
    joints = before_camera(np.zeros(4), np.array([0.0, 0.0, 5.0]))
    person = filmed(joints)
    person.landmarks_px[2] = person.landmarks_m[2] = person.visibility[2] = np.nan
    found, _, _ = root.placed(person, FOCAL, WIDTH, HEIGHT)
    assert np.isnan(found[2]).all()
    assert np.isfinite(found[[0, 1, 3]]).all()


def test_people_in_profile_are_made_larger_and_so_farther():
    """What the network shrinks: nothing from the front and from behind, all of it from either side."""
    joints = before_camera(np.array([180.0, 90.0, 0.0, -90.0]), np.array([0.0, 0.0, 5.0]))
    found, placed, miss = root.placed(filmed(joints), FOCAL, WIDTH, HEIGHT)
    wanted = np.exp([0.0, root.PROFILE_SIZE, 0.0, root.PROFILE_SIZE])
    np.testing.assert_allclose(found[:, 2] / 5.0, wanted, atol=2e-3)
    np.testing.assert_allclose(np.ptp(placed[..., 1], axis=1), np.ptp(joints[..., 1], axis=1) * wanted, rtol=2e-3)
    assert miss.max() < 0.02, "larger and farther looks the same"


@pytest.mark.parametrize("degree", [1, 2])
def test_smoothing_keeps_what_a_polynomial_can_follow(degree: int):
    t = np.linspace(-1, 1, 60)[:, None]
    values = 3 + 2 * t + (t**2 if degree == 2 else 0)
    there = np.ones(60)
    there[20:28] = 0
    noisy = np.where(there[:, None] > 0, values, 1e6)
    np.testing.assert_allclose(root.smoothed(noisy, there, 5.0, degree), values, atol=2e-3)


def test_far_from_everything_known_the_nearest_is_held():
    """Somebody who comes late: the frames long before are not used, but must be numbers."""
    weight = np.zeros(400)
    weight[300:330] = 1.0
    values = np.linspace(0.0, 1.0, 400)[:, None]
    found = root.smoothed(values, weight, 3.0)
    assert np.isfinite(found).all()
    assert found[0, 0] == pytest.approx(values[300, 0])
    np.testing.assert_allclose(found[300:330], values[300:330], atol=1e-6)


def test_a_jump_keeps_its_height_while_depth_noise_goes():
    rng = np.random.default_rng(2)
    t = np.arange(60) / FPS
    rise = np.where(np.abs(t - 1) < 0.25, 0.3 * (1 - ((t - 1) / 0.25) ** 2), 0.0)
    true = np.stack([0 * t, -rise, 5 + 0 * t], axis=1)
    noisy = true * (1 + rng.normal(0, 0.02, 60))[:, None]
    steady = root.steadied(noisy, np.tile(np.eye(3), (60, 1, 1)), np.ones(60), FPS)
    assert abs(-steady[:, 1].min() - 0.3) < 0.03
    assert np.std(steady[:, 2] - 5) < 0.5 * np.std(noisy[:, 2] - 5)


def test_the_floor_corrects_a_distance_by_size_but_not_a_jump():
    n = 120
    camera = np.tile(np.eye(4), (n, 1, 1))
    camera[:, :3, :3], camera[:, 1, 3] = TO_CAMERA.T, 1.6
    standing = np.array([0.0, 1.6 - 0.92, 5.0])  # the hips of somebody whose soles are on the floor
    wrong = np.where(np.abs(np.arange(n) - 30) < 15, 1.1, 1.0)[:, None]  # leans, and comes out a tenth too far
    jump = np.where(np.abs(np.arange(n) - 90) < 8, -0.35, 0.0)[:, None] * [0.0, 1.0, 0.0]
    truth = standing + jump
    joints = before_camera(np.zeros(n), truth)
    found = root.on_floor(truth * wrong, joints * wrong[:, None], joints / joints[..., 2:], camera, np.ones(n), FPS)
    assert np.abs(found[22:38, 2] - 5.0).max() < 0.6 * 0.5
    assert np.abs(found[85:95] - truth[85:95]).max() < 0.15
    assert np.abs(found[60:75] - truth[60:75]).max() < 0.15


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("faces", [0.0, 75.0, 180.0])
@pytest.mark.parametrize("direction", [0.0, 90.0, 180.0, -90.0])
def test_the_facing_survives_walking_any_way(faces: float, direction: float):
    body_to_world, root_m = walk(faces + direction, faces)
    found = heading.facing(joints_of(body_to_world, root_m), root_m, CAMERA_M, np.ones(90), FPS)
    assert not found.flipped.any()
    np.testing.assert_allclose(found.body_to_world, body_to_world, atol=1e-6)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("direction", [0.0, 90.0, 180.0])
@pytest.mark.parametrize("wrong", [range(0, 12), range(40, 44), range(30, 55), range(75, 90)])
def test_backs_taken_for_fronts_are_turned_about(direction: float, wrong: range):
    body_to_world, root_m = walk(direction, 0.0)
    joints = joints_of(body_to_world, root_m)
    joints[list(wrong)] = swapped(joints[list(wrong)])
    found = heading.facing(joints, root_m, CAMERA_M, np.ones(90), FPS)
    assert np.flatnonzero(found.flipped).tolist() == list(wrong)
    assert np.abs(geometry.heading_deg(found.body_to_world)).max() < 1.0


@pytest.mark.usefixtures("exact")
def test_a_real_turn_is_followed():
    turn = np.clip(np.arange(90) - 30, 0, 30) * 6.0  # half a turn in a second
    found = heading.facing(joints_of(geometry.yaw_matrix(turn), np.zeros((90, 3))), np.zeros((90, 3)), CAMERA_M, np.ones(90), FPS)
    got = geometry.heading_deg(found.body_to_world)
    assert not found.flipped.any()
    assert abs(got[-1] - got[0] - 180.0) < 2.0


def test_what_makes_up_for_the_networks_errors_is_small_and_the_same_on_both_sides():
    yaw = np.linspace(-179, 179, 359)
    turned = heading.from_profile(yaw, np.tile([0.0, 0.0, 5.0], (359, 1))) - yaw
    np.testing.assert_allclose(turned, -turned[::-1], atol=1e-9)
    assert (turned * yaw >= 0).all()  # away from the camera
    assert np.abs(turned).max() < 10.0
    assert np.abs(turned[np.abs(yaw) < 30]).max() < 0.1


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("pitch", "roll"), [(30.0, 0.0), (-25.0, 0.0), (0.0, 30.0), (20.0, -20.0)])
def test_leans_are_measured(pitch: float, roll: float):
    from scipy.spatial.transform import Rotation

    lean = Rotation.from_rotvec([pitch, 0.0, -roll], degrees=True).as_matrix()
    body_to_world = np.tile(geometry.yaw_matrix(40.0) @ lean, (30, 1, 1))
    found = heading.facing(joints_of(body_to_world, np.zeros((30, 3))), np.zeros((30, 3)), CAMERA_M[:30], np.ones(30), FPS)
    np.testing.assert_allclose(found.body_to_world, body_to_world, atol=1e-6)


def test_anchors_are_the_detectors():
    found = blazepose.anchors()
    assert found.shape == (2254, 2)
    np.testing.assert_allclose(found[0], [1 / 56, 1 / 56])
    np.testing.assert_allclose(found[-1], [13 / 14, 13 / 14])
    assert (found[1568 + 392 :] * 7 % 1 == 0.5).all()


@pytest.mark.parametrize("angle", [0.0, 30.0, -120.0, 179.0])
def test_a_region_maps_to_the_picture_and_back(angle: float):
    turned = np.radians(angle)
    centre, half = np.array([400.0, 300.0]), 80.0
    rim = centre + half * np.array([np.sin(turned), -np.cos(turned)])
    roi = blazepose.roi_from_points(centre, rim)
    np.testing.assert_allclose(roi, [400.0, 300.0, 2 * half * blazepose.ROI_MARGIN, turned], atol=1e-9)
    to_pixels = blazepose.roi_matrix(roi)
    np.testing.assert_allclose(to_pixels @ [0.5, 0.5, 1], centre)
    np.testing.assert_allclose(to_pixels @ [0.5, 0.5 - 0.5 / blazepose.ROI_MARGIN, 1], rim, atol=1e-9)


def test_overlap_of_boxes():
    a = np.array([[0.0, 0.0, 2.0, 2.0]])
    b = np.array([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    np.testing.assert_allclose(blazepose.overlap(a, b), [[1 / 3, 1.0, 0.0]])


class Stage:
    """Stands in for the networks: people who stand in the picture from one frame to another, and move; 100 pixels tall."""

    def __init__(self, *people: tuple[int, int, float, float], score: float = 0.99) -> None:
        self.people, self.score, self.frame = people, score, 0

    def there(self) -> list[Floats]:
        here = [(x + speed * (self.frame - start)) for start, end, x, speed in self.people if start <= self.frame < end]
        return [np.array([x, 300.0, 140.0, 0.0]) for x in here]

    def detect(self, image: np.ndarray, window: object = None) -> tuple[Floats, Floats]:
        rois = np.array(self.there()).reshape(-1, 4)
        return rois, np.full(len(rois), 0.9)

    def landmarks(self, image: np.ndarray, roi: Floats) -> blazepose.Pose:
        near = sorted(self.there(), key=lambda r: abs(r[0] - roi[0]))
        found = bool(near) and abs(near[0][0] - roi[0]) < 60
        at = near[0] if found else roi
        pixels = at[:2] + 60.0 * body()[:, :2] * [-1, -1]
        score = self.score if found else 0.01
        return blazepose.Pose(pixels, np.full(LANDMARKS, 0.99), body() * [-1, -1, -1], score, at)


def followed(stage: Stage, frames: int) -> list[people.Followed]:
    follower = people.Follower(stage, FPS)  # type: ignore[arg-type]
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for stage.frame in range(frames):
        follower.step(picture)
    return follower.people()


@pytest.mark.parametrize(
    ("stage", "spans"),
    [
        (Stage((0, 90, 200.0, 1.0)), [(0, 90)]),
        (Stage((0, 90, 200.0, 0.0), (33, 90, 700.0, 0.0)), [(0, 90), (33, 90)]),  # somebody else comes a second later
        (Stage((0, 90, 200.0, 0.0), (60, 80, 700.0, 0.0)), [(0, 90)]),  # and stays for too short
        (Stage((0, 40, 200.0, 0.0), (50, 90, 210.0, 0.0)), [(0, 90)]),  # lost for a third of a second
        (Stage((0, 40, 200.0, 0.0), (75, 120, 210.0, 0.0)), [(0, 120)]),  # comes back where they were
        (Stage((0, 40, 200.0, 0.0), (75, 120, 700.0, 0.0)), [(0, 40), (75, 120)]),  # or rather somebody else does
        (Stage((0, 90, 200.0, 4.0), (0, 90, 560.0, -4.0)), None),  # two who meet
        (Stage((0, 90, 200.0, 0.0), score=0.6), []),  # not sure enough
        (Stage(), []),
    ],
)
def test_people_are_followed_while_they_are_there(stage: Stage, spans: list[tuple[int, int]] | None):
    found = followed(stage, 120)
    if spans is None:
        assert 1 <= len(found) <= 4
        assert all(np.abs(np.diff(f.person.landmarks_px[f.person.seen, 23, 0])).max() < 60 for f in found)  # and nobody jumps
        return
    seen = [np.flatnonzero(f.person.seen) for f in found]
    assert sorted((int(s[0]), int(s[-1]) + 1) for s in seen) == sorted(spans)
    for f in found:
        there = {k for start, end, *_ in stage.people for k in range(start, end)}
        assert set(np.flatnonzero(f.person.seen)) <= there  # nothing is made up in between
        assert np.isnan(f.person.landmarks_px[~f.person.seen]).all()
        assert np.isfinite(f.person.landmarks_px[f.person.seen]).all()


def test_people_are_named_by_what_only_they_wear_or_by_where_they_appear():
    left, right = (filmed(before_camera(np.zeros(2), np.array([x, 0.0, 5.0]))) for x in (-1.5, 1.5))
    red, blue, dark = (185.0, 35.0, 40.0), (45.0, 90.0, 175.0), (30.0, 30.0, 32.0)
    assert clothes.referents([np.array([red, dark])], [left], WIDTH) == [None]
    assert clothes.referents([np.array([red, dark]), np.array([blue, dark])], [left, right], WIDTH) == [
        "the person in the red top",
        "the person in the blue top",
    ]
    same = np.array([dark, dark])
    assert clothes.referents([same, same], [left, right], WIDTH) == [
        "the person who first appears on the left of the picture",
        "the person who first appears on the right of the picture",
    ]
    assert clothes.referents([same, same], [left, left], WIDTH) == [None, None]


def test_verdicts_follow_the_table():
    fine = {name: gate.warn for name, gate in verdict.GATES.items()}
    assert verdict.verdict(fine) == ("ok", ())
    assert verdict.verdict(fine, doubts=("the camera shook",)) == ("warn", ("the camera shook",))
    assert verdict.verdict({**fine, "speed_m_s": 9.0}) == ("warn", ("moves at 9.0 m/s",))
    word, reasons = verdict.verdict({**fine, "ankles_share": 0.1, "speed_m_s": 9.0})
    assert word == "refuse"
    assert reasons == ("ankles seen in 10% of the frames", "moves at 9.0 m/s")
    assert verdict.verdict({**fine, "miss_share": float("nan")})[0] == "refuse"


def test_named_weights_that_are_missing_or_wrong_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SetupError, match=r"pose_detection\.tflite cannot be read .* --option weights=FOLDER"):
        weights.find(tmp_path)
    (tmp_path / "pose_detection.tflite").write_bytes(b"something else")
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path))
    with pytest.raises(SetupError, match=r"\$HUMANMOVEVQA_WEIGHTS: .* is another file"):
        weights.find()


class Pip:
    """Stands in for pip: leaves a wheel in the folder, or fails."""

    def __init__(self, members: dict[str, bytes] | None, says: str = "") -> None:
        self.members, self.says = members, says

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:4] == ["-m", "pip", "download"]
        if self.members is not None:
            with zipfile.ZipFile(Path(command[command.index("-d") + 1]) / "mediapipe.whl", "w") as wheel:
                for name, content in self.members.items():
                    wheel.writestr(name, content)
        return subprocess.CompletedProcess(command, int(self.members is None), "", self.says)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setattr(weights, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("pip", "message"),
    [
        (Pip(None, "ERROR: No matching distribution found for mediapipe==0.10.21"), "No matching distribution"),
        (Pip(None, "/usr/bin/python: No module named pip"), "No module named pip"),
        (Pip({"else.txt": b""}), "holds no mediapipe/modules"),
        (Pip(dict.fromkeys(weights.MEMBERS.values(), b"not it")), "is not the expected file"),
    ],
)
def test_weights_that_cannot_be_fetched_say_what_to_do(pip: Pip, message: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subprocess, "run", pip.run)
    with pytest.raises(SetupError, match=f"{message}.*--option weights=FOLDER") as caught:
        weights.find()
    assert "\n" not in str(caught.value)
    assert [p.name for p in empty_cache.iterdir()] == []


def test_weights_are_fetched_once_and_kept(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    content = {"pose_detection.tflite": b"one", "pose_landmark_full.tflite": b"two"}
    monkeypatch.setattr(weights, "SHA256", {k: weights.hashlib.sha256(v).hexdigest() for k, v in content.items()})
    monkeypatch.setattr(subprocess, "run", Pip({weights.MEMBERS[k]: v for k, v in content.items()}).run)
    assert weights.find() == empty_cache
    assert {p.name: p.read_bytes() for p in empty_cache.iterdir()} == content
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(subprocess, "run", None)
    assert weights.find() == empty_cache


def test_a_place_that_cannot_be_written_says_what_to_do(empty_cache: Path):
    empty_cache.write_text("a file where the folder should be")
    with pytest.raises(SetupError, match=r"cannot be kept .*--option weights=FOLDER"):
        weights.find()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focal": "wide"}, "option focal=wide: expected a number"),
        ({"subject_height_m": 172}, "option subject_height_m=172: expected a number from 0.5 to 2.5"),
        ({"camera": "drone"}, "option camera=drone: expected one of auto, static, moving"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str):
    with pytest.raises(SetupError, match=message):
        monocular.load(**options)


def clip_of(video: Path, **changes: object) -> Clip:
    fields = dict(clip_id=f"folder/{video.stem}", source="folder", sequence=video.stem, fps=0.0, start_frame=0, end_frame=0, num_frames=0)
    return Clip(**(fields | dict(group=video.stem, redistribution="qa_only", video=video) | changes))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "nearer", "to_the_right"), [("pose2sim_cam01", True, True), ("pose2sim_cam03", False, False)])
def test_a_calibrated_man_is_where_he_was(test_data: Path, networks: Path, name: str, nearer: bool, to_the_right: bool):
    """Seen from either side: 0.94 m by triangulation, coming nearer (3.34 to 2.57 m) or going away (3.02 to 3.73 m)."""
    track = monocular.load(focal=1680, weights=networks, camera="static")(clip_of(test_data / "videos" / f"{name}.mp4"))[0]
    went = track.position_m[-1] - track.position_m[0]
    assert track.provenance["verdict"] != "refuse"
    assert 0.6 < np.hypot(went[0], went[2]) < 1.3
    assert track.camera_to_world is not None
    in_camera = [track.camera_to_world[k, :3, :3].T @ (track.position_m[k] - track.camera_to_world[k, :3, 3]) for k in (0, -1)]
    assert (np.linalg.norm(in_camera[1]) < np.linalg.norm(in_camera[0])) == nearer
    assert (in_camera[1][0] > in_camera[0][0]) == to_the_right


@pytest.mark.slow
def test_a_woman_who_walks_through_is_followed_while_she_is_there(test_data: Path, networks: Path):
    tracks = monocular.load(weights=networks, camera="static")(clip_of(test_data / "videos" / "sports2d_demo.mp4"))
    walks = [t for t in tracks if 1.0 < t.frame_ids[0] / 30 < 2.0 and 6.0 < t.frame_ids[-1] / 30 < 7.5]
    assert len(walks) == 1
    track = walks[0]
    went = geometry.anchor(track).position_m[-1]
    assert 4.0 < went[2] < 8.0  # forward: she faces where she goes
    assert abs(went[0]) < 1.5
    assert abs(went[1]) < 0.4
    assert all(t.referent for t in tracks)


@pytest.mark.slow
def test_half_a_second_is_refused(test_data: Path, networks: Path):
    video = test_data / "videos" / "sports2d_demo.mp4"
    lift = monocular.load(weights=networks)
    with pytest.raises(LiftError, match="expected 1 s or more"):
        lift(clip_of(video, fps=30.0, start_frame=60, end_frame=75, num_frames=15))
