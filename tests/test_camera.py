"""The camera side of the default lifter: still, turning and travelling cameras over images of known geometry, floor and scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from builder.lifters.monocular import camera, ground, sfm
from builder.lifters.monocular.camera import Background, Paths
from builder.lifters.monocular.records import Camera
from builder.types import Floats, LiftError

cv2 = pytest.importorskip("cv2")

WIDTH, HEIGHT, FOCAL, FPS = 640, 360, 560.0, 30.0
MATRIX = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])  # a pixel's middle is a whole number here
NOBODY = np.zeros((0, 4))


def degrees_between(a: Floats, b: Floats) -> Floats:
    return np.degrees(Rotation.from_matrix(np.swapaxes(a, -1, -2) @ b).magnitude())


def turned(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Floats:
    return np.asarray(Rotation.from_euler("yxz", [y, x, z], degrees=True).as_matrix())


def noise_picture(rows: int, columns: int, seed: int, cell: int = 0) -> Floats:
    """Blurred noise with detail of several sizes; with `cell`, one square of so many pixels again and again."""
    rng = np.random.default_rng(seed)
    rough = cv2.resize(rng.random((rows // 24 + 1, columns // 24 + 1)), (columns, rows), interpolation=cv2.INTER_CUBIC)
    picture = 0.5 * rough + cv2.GaussianBlur(rng.random((rows, columns)), (0, 0), 2.0) * 3 - 1.2
    picture = np.clip(picture * 255, 0, 255).astype(np.uint8)
    return np.tile(picture[:cell, :cell], (rows // cell, columns // cell)) if cell else picture


# Planes of a place: corner, the side along the picture's columns, the side along its rows (metres; y points down, the camera starts at 0)
ROOM = (
    ((-8.0, 1.5, 1.0), (16.0, 0, 0), (0, 0, 11.0)),  # floor, 1.5 m below
    ((-8.0, -4.0, 9.0), (16.0, 0, 0), (0, 5.5, 0)),
    ((-4.0, -1.5, 5.0), (2.5, 0, 0.8), (0, 3.0, 0)),
    ((1.2, -0.6, 4.2), (2.0, 0, -0.4), (0, 2.1, 0)),
)
PIXELS_PER_M = 70


def rendered(pose: Floats, pictures: list[Floats]) -> Floats:
    """The room (far to near) from a camera at `pose` (4, 4, camera to world), RGB."""
    image = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for (corner, along, down), picture in zip(ROOM, pictures, strict=True):
        rows, columns = picture.shape
        plane = np.stack([np.array(along) / columns, np.array(down) / rows, np.array(corner)], axis=1)
        local = pose[:3, :3].T @ (plane - np.outer(pose[:3, 3], [0, 0, 1]))
        warp = cv2.warpPerspective(picture, MATRIX @ local, (WIDTH, HEIGHT), flags=cv2.INTER_AREA | cv2.INTER_LINEAR)
        there = cv2.warpPerspective(np.full_like(picture, 255), MATRIX @ local, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST)
        image = np.where(there > 0, warp, image)
    return np.repeat(image[..., None], 3, axis=2)


def pictures(cell: int = 0) -> list[Floats]:
    sizes = [(round(np.linalg.norm(down) * PIXELS_PER_M), round(np.linalg.norm(along) * PIXELS_PER_M)) for _, along, down in ROOM]
    return [noise_picture(rows, columns, seed, cell) for seed, (rows, columns) in enumerate(sizes)]


def watched(poses: Floats, textures: list[Floats], grain: float = 2.0) -> Background:
    """The background of a film of the room, with a little grain."""
    rng = np.random.default_rng(5)
    background = Background(WIDTH, HEIGHT)
    for k, pose in enumerate(poses):
        image = rendered(pose, textures).astype(float)
        image = np.clip(image + rng.normal(0, grain, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
        background.add(image, k / FPS, NOBODY)
    return background


def path(n: int, places: Floats | None = None, turns: list[Floats] | None = None) -> Floats:
    poses = np.tile(np.eye(4), (n, 1, 1))
    if places is not None:
        poses[:, :3, 3] = places
    if turns is not None:
        poses[:, :3, :3] = turns
    return poses


@pytest.fixture(scope="module")
def textures() -> list[Floats]:
    return pictures()


def test_a_still_camera_is_static(textures: list[Floats]) -> None:
    found = camera.solve(watched(path(15), textures), FOCAL, "user")
    assert found.mode == "static"
    assert np.array_equal(found.rotation, np.tile(np.eye(3), (15, 1, 1)))
    assert not found.centre.any()
    assert (found.focal_px, found.focal_source, found.reasons) == (FOCAL, "user", ())


def test_a_plain_wall_is_static_and_says_so() -> None:
    background = Background(WIDTH, HEIGHT)
    for k in range(10):
        background.add(np.full((HEIGHT, WIDTH, 3), 200, np.uint8), k / FPS, NOBODY)
    found = camera.solve(background, None, "default")
    assert found.mode == "static"
    assert "nothing to follow" in found.reasons[0]
    assert found.focal_px == pytest.approx(0.88 * WIDTH)


@pytest.fixture(scope="module")
def pan(textures: list[Floats]) -> tuple[Floats, Background]:
    """To the right by 24 degrees, a little down and back."""
    angle = np.linspace(0, 24, 40)
    poses = path(40, turns=[turned(x=-2 * np.sin(a / 8), y=a, z=0.5 * np.sin(a / 5)) for a in angle])
    return poses, watched(poses, textures)


def test_a_pan_is_rotating_in_the_right_direction(pan: tuple[Floats, Background]) -> None:
    poses, background = pan
    found = camera.solve(background, FOCAL, "user")
    assert found.mode == "rotating"
    assert degrees_between(poses[:, :3, :3], found.rotation).max() < 0.1
    assert found.rotation[-1, :, 2] @ [1, 0, 0] > 0.35  # camera to world: the axis swings to the right, to +x
    assert not found.centre.any()


def test_a_pan_tells_the_focal_length(pan: tuple[Floats, Background]) -> None:
    poses, background = pan
    found = camera.solve(background, None, "default")
    assert (found.mode, found.focal_source) == ("rotating", "sfm")
    assert found.focal_px == pytest.approx(FOCAL, rel=0.01)
    assert degrees_between(poses[:, :3, :3], found.rotation).max() < 0.3


def test_a_very_slow_pan_is_not_static(textures: list[Floats]) -> None:
    poses = path(40, turns=[turned(y=0.012 * k) for k in range(40)])  # 0.12 pixels per frame, below what a single frame shows
    found = camera.solve(watched(poses, textures), FOCAL, "user")
    assert found.mode == "rotating"
    assert degrees_between(poses[:, :3, :3], found.rotation).max() < 0.05


def test_a_camera_that_rests_and_then_turns_is_followed_from_where_it_rested(
    textures: list[Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it rests only a few points are looked at; when it moves all are followed, also from before."""
    followed = []
    follow = Background._follow
    monkeypatch.setattr(Background, "_follow", lambda self, *a: (followed.append(len(self._kept)), follow(self, *a))[1])
    angle = np.concatenate([np.zeros(20), np.linspace(0, 6, 20), np.full(10, 6.0)])
    poses = path(50, turns=[turned(y=a) for a in angle])
    background = watched(poses, textures)
    assert len([k for k in followed if k < 20]) <= 2
    assert {k for k in followed if 22 <= k < 40} == set(range(22, 40))
    assert len([k for k in followed if k >= 43]) <= 2
    paths = background.paths()
    assert len(paths.both(0, 30)[0]) > 0.5 * len(paths.at(0)[0])
    found = camera.solve(background, FOCAL, "user")
    assert found.mode == "rotating"
    assert degrees_between(poses[:, :3, :3], found.rotation).max() < 0.1


def test_what_walks_before_a_resting_camera_hides_points_only_while_it_is_there(textures: list[Floats]) -> None:
    background, still = Background(WIDTH, HEIGHT), rendered(np.eye(4), textures)
    boxes = [NOBODY, np.array([[200.0, 100, 400, 350]]), NOBODY]
    for k, box in enumerate(boxes):
        background.add(still, k / FPS, box)
    before, during, after = (set(background.paths().at(k)[0].tolist()) for k in range(3))
    assert during < before
    assert after == before


def test_a_dolly_does_not_only_turn(textures: list[Floats]) -> None:
    background = watched(path(20, places=np.outer(np.arange(20), [0.03, 0, 0.01])), textures)
    paths = background.paths()
    assert not camera.stands_still(paths)
    assert camera.turn(paths, FOCAL).share < camera.TURN_DOUBT


def test_people_are_left_out(textures: list[Floats]) -> None:
    """Somebody as large as half the picture walks through; nothing of them is followed."""
    rng = np.random.default_rng(0)
    coat = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
    background, still = Background(WIDTH, HEIGHT), rendered(np.eye(4), textures)
    for k in range(15):
        image, left = still.copy(), 20 * k
        image[40:340, left : left + 300] = coat
        background.add(image, k / FPS, np.array([[left, 40, left + 300, 340]]))
        _, places = background.paths().at(k)
        inside = np.abs(places - (left + 150 - WIDTH / 2, 190 - HEIGHT / 2)) < 150
        assert not inside.all(axis=1).any()
    assert camera.solve(background, FOCAL, "user").mode == "static"


def test_a_box_over_everything_with_somebody_in_it_is_not_believed(textures: list[Floats]) -> None:
    person, wrong = [300.0, 60, 400, 330], [10.0, 100, 630, 359]
    counts = []
    for boxes in ([person], [person, wrong], [wrong]):
        background = Background(WIDTH, HEIGHT)
        background.add(rendered(np.eye(4), textures), 0.0, np.array(boxes))
        counts.append(len(background.paths().name))
    assert counts[0] == counts[1]
    assert counts[2] < 0.5 * counts[0]


def test_large_images_are_followed_in_their_own_pixels(textures: list[Floats]) -> None:
    """Twice the size: places double, and so do the bounds."""
    small, large = Background(WIDTH, HEIGHT), Background(2 * WIDTH, 2 * HEIGHT)
    image = rendered(np.eye(4), textures)
    small.add(image, 0.0, NOBODY)
    large.add(image.repeat(2, axis=0).repeat(2, axis=1), 0.0, NOBODY)
    a, b = small.paths(), large.paths()
    assert (a.pixel, b.pixel) == (1.0, 2.0)
    assert np.allclose(2 * a.place, b.place, atol=1e-3)


@pytest.fixture(scope="module")
def travel(textures: list[Floats]) -> tuple[Floats, Background]:
    """A walk to the right by 1.6 m with a trembling hand."""
    share = np.linspace(0, 1, 60)
    rng = np.random.default_rng(1)
    hand = cv2.GaussianBlur(rng.normal(size=(60, 6)), (1, 0), sigmaX=0.1, sigmaY=2.5)
    places = np.stack([1.6 * share, 0.1 * np.sin(3 * share), 0.5 * share], axis=1) + 0.02 * hand[:, :3]
    poses = path(60, places=places, turns=[turned(x=h[0], y=-12 * s + h[1], z=h[2]) for s, h in zip(share, hand[:, 3:], strict=True)])
    return poses, watched(poses, textures)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_a_travelling_camera_is_found_again(travel: tuple[Floats, Background], known: bool) -> None:
    pytest.importorskip("pycolmap")
    poses, background = travel
    found = camera.solve(background, FOCAL if known else None, "user" if known else "default")
    assert (found.mode, found.focal_source) == ("moving", "user" if known else "sfm")
    assert found.focal_px == pytest.approx(FOCAL, rel=0.02)
    turns = poses[0, :3, :3].T @ poses[:, :3, :3]
    centres = (poses[:, :3, 3] - poses[0, :3, 3]) @ poses[0, :3, :3]
    assert degrees_between(turns, found.rotation).max() < 0.5
    scale = (centres * found.centre).sum() / (found.centre**2).sum()
    assert np.abs(scale * found.centre - centres).max() < 0.02
    floor = scale * found.points @ poses[0, :3, :3].T + poses[0, :3, 3]
    assert (np.abs(floor[:, 1] - 1.5) < 0.03).sum() > 50


@pytest.mark.slow
@pytest.mark.parametrize("cell", [40, 100])
def test_over_a_repeated_texture_it_is_refused_or_right(cell: int) -> None:
    """Every tile looks like the next; points that are followed from frame to frame are not taken for each other's copies."""
    pytest.importorskip("pycolmap")
    poses = path(45, places=np.outer(np.linspace(0, 1.2, 45), [1.0, 0, 0.3]), turns=[turned(y=-0.2 * k) for k in range(45)])
    try:
        found = camera.solve(watched(poses, pictures(cell)), None, "default")
    except LiftError:
        return
    centres = poses[:, :3, 3] - poses[0, :3, 3]
    assert found.mode == "moving", "a camera that travels is not taken only to turn"
    scale = (centres * found.centre).sum() / (found.centre**2).sum()
    assert np.abs(scale * found.centre - centres).max() < 0.04
    assert degrees_between(poses[:, :3, :3], found.rotation).max() < 1.0


@pytest.mark.slow
def test_the_same_film_gives_the_same_camera(travel: tuple[Floats, Background]) -> None:
    pytest.importorskip("pycolmap")
    _, background = travel
    first, second = (camera.solve(background, None, "default") for _ in range(2))
    for name in ("rotation", "centre", "points", "focal_px"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def model_of(poses: Floats, paths: Paths, points: Floats) -> sfm.Model:
    frame = np.arange(0, len(poses), 5)
    return sfm.Model(frame, poses[frame, :3, :3], poses[frame, :3, 3], np.arange(len(points)), points, 0.3, FOCAL, 6.0)


def seen_points(poses: Floats, points: Floats) -> Paths:
    """Paths of points (m, 3) that every frame sees."""
    local = np.einsum("nji,nmj->nmi", poses[:, :3, :3], points - poses[:, None, :3, 3])
    place = FOCAL * local[..., :2] / local[..., 2:]
    n, m = place.shape[:2]
    return Paths(np.arange(n + 1) * m, np.tile(np.arange(m), n), place.reshape(-1, 2), np.arange(n) / FPS, WIDTH, HEIGHT)


@pytest.fixture
def shaken() -> tuple[Floats, Paths, Floats]:
    rng = np.random.default_rng(2)
    points = rng.uniform([-3, -1, 4], [3, 1, 9], (80, 3))
    n = 46
    turns = [turned(x=0.6 * rng.normal(), y=0.6 * rng.normal()) for _ in range(n)]
    poses = path(n, places=np.outer(np.linspace(0, 1, n), [1.2, 0, 0.3]), turns=turns)
    return poses, seen_points(poses, points), points


def test_between_the_views_the_points_give_the_pose(shaken: tuple[Floats, Paths, Floats]) -> None:
    poses, paths, points = shaken
    rotation, centre = sfm.between_views(paths, model_of(poses, paths, points))
    assert degrees_between(poses[:, :3, :3], rotation).max() < 1e-3
    assert np.abs(centre - poses[:, :3, 3]).max() < 1e-4


def test_the_gates_refuse(shaken: tuple[Floats, Paths, Floats]) -> None:
    poses, paths, points = shaken
    model, views = model_of(poses, paths, points), np.arange(0, len(poses), 5)
    assert sfm.checked(paths, views, model, "sfm").mode == "moving"
    cases = {
        "fit together": model._replace(frame=model.frame[:4], rotation=model.rotation[:4], centre=model.centre[:4]),
        "miss their places": model._replace(miss_px=2.0),
        "focal length": model._replace(focal_px=0.4 * WIDTH),
        "parallax": model._replace(parallax_deg=0.5),
    }
    for text, wrong in cases.items():
        with pytest.raises(LiftError, match=text):
            sfm.checked(paths, views, wrong, "sfm")


def test_a_path_that_the_followed_points_deny_is_refused(shaken: tuple[Floats, Paths, Floats]) -> None:
    """What descriptors mistake on a repeated texture: part of the views jump aside by one tile, and their points with them."""
    poses, paths, points = shaken
    wrong = poses.copy()
    wrong[20:, :3, 3] += [0.0, 0.8, 0.0]
    far = replace(paths, name=paths.name + 1000)  # none of the points is known, so nothing can pull the poses back
    model = model_of(wrong, paths, points)
    with pytest.raises(LiftError, match="agree"):
        sfm.checked(far, np.arange(0, len(poses), 5), model._replace(name=model.name), "sfm")


# --- scale and gravity ---------------------------------------------------------------------------------------------------


def walker(n: int, floor: Floats, up: Floats, way: Floats, rng: np.random.Generator, noise: float) -> Floats:
    """Joints (n, 33, 3) of a stick figure that walks along `way` from `floor`, in the frame of these vectors, metres."""
    side = np.cross(way, up)
    joints = np.zeros((n, 33, 3))
    for k in range(n):
        base, swing = floor + way * 0.04 * k, 0.25 * np.sin(2 * np.pi * k / 30)
        lift = 0.12 * max(0.0, np.cos(2 * np.pi * k / 30)), 0.12 * max(0.0, -np.cos(2 * np.pi * k / 30))
        for left, s in ((0, 1.0), (1, -1.0)):
            foot = base + 0.1 * s * side + s * swing * way + lift[left] * up
            joints[k, 11 + left] = base + 1.4 * up + 0.18 * s * side
            joints[k, 23 + left] = base + 0.9 * up + 0.1 * s * side
            joints[k, 27 + left] = foot + 0.1 * up
            joints[k, 29 + left] = foot + ground.SOLE_M * up - 0.06 * way
            joints[k, 31 + left] = foot + ground.SOLE_M * up + 0.15 * way
    return joints + rng.normal(0, noise, joints.shape)


PITCH = 12.0
TILTED = turned(x=-PITCH)  # camera to upright, y down: the camera looks down
UP = TILTED.T @ [0.0, -1.0, 0.0]


def body_before(joints_world: Floats, camera_: Camera, centre_m: Floats, wrong_deg: float = 0.0) -> ground.Body:
    """A body of these joints before the camera; its pose, not its place, tilts by `wrong_deg`, as the network's does."""
    joints = np.einsum("nji,nkj->nki", camera_.rotation, joints_world - centre_m[:, None])
    root = joints[:, [23, 24]].mean(axis=1)
    joints = (joints - root[:, None]) @ turned(x=wrong_deg).T + root[:, None]
    n = len(joints)
    return ground.Body(root, joints, np.ones((n, 33)), np.ones(n, dtype=bool))


@pytest.mark.parametrize("mode", ["static", "rotating"])
def test_a_walk_through_the_depth_tells_the_vertical_better_than_bodies_do(mode: str) -> None:
    n, rng = 150, np.random.default_rng(3)
    turns = [turned(y=0.1 * k) if mode == "rotating" else np.eye(3) for k in range(n)]
    seen = Camera(mode, FOCAL, "user", np.array(turns), np.zeros((n, 3)), np.zeros((0, 3)))
    ahead = np.cross(UP, [1.0, 0, 0])
    joints = walker(n, -1.6 * UP + 2.5 * ahead, UP, ahead, rng, 0.01)
    body = body_before(joints, seen, np.zeros((n, 3)), wrong_deg=3.0)
    world = ground.grounded([body], seen, FPS)
    off = [np.degrees(np.arccos(np.clip(v @ UP, -1, 1))) for v in (ground.body_up([body], seen), world.up)]
    assert off[0] > 2.0
    assert off[1] < 1.2
    assert world.camera_to_world[0, 1, 3] == pytest.approx(1.6, abs=0.1)
    assert (world.scale, world.scale_spread) == (1.0, 0.0)
    upright = world.camera_to_world[:, :3, :3] @ np.swapaxes(seen.rotation, 1, 2) @ UP
    assert np.allclose(upright, [0, 1, 0], atol=0.03)


def travelling(seed: int, scale: float, slope: float = 0.0) -> tuple[Camera, Floats, ground.Body]:
    """A camera that passes a walker over a floor of points, in units of `scale` metres; its centre in metres, and the walker."""
    n, rng = 120, np.random.default_rng(seed)
    ahead, right = np.cross(UP, [1.0, 0, 0]), np.array([1.0, 0, 0])
    centre = np.outer(np.linspace(0, 1.5, n), right)
    floor = np.stack([rng.uniform(-4, 5, 500), rng.uniform(2, 9, 500)], axis=1) @ np.stack([right, ahead]) - 1.6 * UP
    floor += rng.normal(0, 0.01, floor.shape) + np.linspace(0, slope, 500)[:, None] * UP
    clutter = np.stack([rng.uniform(-4, 5, 200), rng.uniform(-1, 0.5, 200), rng.uniform(3, 9, 200)], axis=1)
    turns = np.array([turned(y=-0.08 * k) for k in range(n)])
    seen = Camera("moving", FOCAL, "sfm", turns, centre / scale, np.concatenate([floor, clutter]) / scale)
    joints = walker(n, -1.6 * UP + 4.0 * ahead - 0.5 * right, UP, 0.6 * right + 0.8 * ahead, rng, 0.02)
    return seen, centre, body_before(joints, seen, centre, wrong_deg=4.0)


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_feet_on_the_floor_tell_scale_and_vertical(scale: float) -> None:
    seen, centre, body = travelling(4, scale)
    world = ground.grounded([body], seen, FPS)
    assert world.scale == pytest.approx(scale, rel=0.04)
    assert world.scale_spread < ground.SPREAD[0]
    assert np.degrees(np.arccos(np.clip(world.up @ UP, -1, 1))) < 0.5
    moved = world.camera_to_world[-1, :3, 3] - world.camera_to_world[0, :3, 3]
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(centre[-1]), rel=0.04)
    assert moved[1] == pytest.approx(0.0, abs=0.03)
    assert world.camera_to_world[0, 1, 3] == pytest.approx(1.6, rel=0.04)
    turns = np.swapaxes(world.camera_to_world[:-1, :3, :3], 1, 2) @ world.camera_to_world[1:, :3, :3]
    assert np.allclose(turns, np.swapaxes(seen.rotation[:-1], 1, 2) @ seen.rotation[1:])


def test_a_travelling_camera_without_a_floor_is_refused() -> None:
    seen, _, body = travelling(4, 1.0)
    high = seen.points @ UP > -0.8
    with pytest.raises(LiftError, match="floor"):
        ground.grounded([body], replace(seen, points=seen.points[high]), FPS)


def test_a_scale_that_drifts_is_refused() -> None:
    """The second half of the camera's path is in other units, which is what a slip in the mapping looks like."""
    seen, _, body = travelling(4, 1.0)
    grown = body.joints_m * np.linspace(0.7, 1.4, len(body.joints_m))[:, None, None]
    wrong = replace(body, joints_m=grown, root_m=grown[:, [23, 24]].mean(axis=1))
    with pytest.raises(LiftError, match="scale"):
        ground.grounded([wrong], seen, FPS)


def test_nobody_standing_is_refused() -> None:
    seen, _, body = travelling(4, 1.0)
    with pytest.raises(LiftError, match="which way is up"):
        ground.grounded([replace(body, seen=np.zeros(len(body.seen), dtype=bool))], seen, FPS)
