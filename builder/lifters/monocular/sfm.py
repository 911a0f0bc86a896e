"""Structure from motion over the followed background: where a travelling camera was, up to one scale, and the points it passed.

The points come from the frame-to-frame tracking, not from matching descriptors: they cost nothing more, and a repeated texture
cannot be mistaken for itself further on.  The mapping runs in a process of its own (`python -m builder.lifters.monocular.sfm`),
because pycolmap and OpenCV in one process were seen to abort, and a crash or an endless search must not take the caller along.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from builder.lifters.monocular.records import Camera
from builder.types import Bools, Floats, LiftError, SetupError

if TYPE_CHECKING:
    from builder.lifters.monocular.camera import Paths

VIEWS_PER_S, VIEWS_MAX = 6.0, 150
NEIGHBOURS = (*range(1, 9), 10, 12, 16, 20, 24, 32)  # views that are compared with each view
COMMON = 24  # points that two views must share for it
PATH_VIEWS = 3  # views in which a point must be seen
MISS_MAX = 2.0  # pixels of the tracked images by which a point may miss its place
TIMEOUT_S = 60.0, 2.0  # of the mapping: in any case, and for each view

REGISTERED_MIN = 0.8
REPROJECTION_MAX = 1.5
FOCAL_RANGE = 0.5, 2.0
PARALLAX_MIN_DEG, PARALLAX_POINT_DEG = 1.5, 0.8  # of the median point, of each
EPIPOLAR_PX, EPIPOLAR_SHARE = 1.5, 0.75
ROUNDS = 6
FEW = 10
MISSING = 3  # the exit status that says that pycolmap is not there


class Model(NamedTuple):
    """What the mapping gave: the registered views' frames (k,), their rotation (k, 3, 3) and centre (k, 3) (camera to world), the
    points' names (m,) and places (m, 3), the mean miss in pixels, the focal length, and the points' median angle of parallax in degrees."""

    frame: Any
    rotation: Floats
    centre: Floats
    name: Any
    point: Floats
    miss_px: float
    focal_px: float
    parallax_deg: float


def travelled(paths: Paths, focal_px: float, focal_source: str, known: bool) -> Camera:
    """The camera of a clip in which it travels; an unknown focal length is found along with the rest.

    One mapping does both: a second one with the found length held was measured to change nothing (points followed from frame to
    frame hold no wrong matches, which had made it necessary with descriptors).  Raises LiftError when the motion cannot be found or
    is not to be trusted, SetupError when pycolmap is missing.
    """
    views = _views(paths)
    return checked(paths, views, mapped(paths, views, focal_px, refine=not known), focal_source if known else "sfm")


def _views(paths: Paths) -> Any:
    """Frames (k,) about evenly spaced in time, first and last among them."""
    lasts_s = paths.time_s[-1] - paths.time_s[0]
    count = int(min(VIEWS_MAX, paths.frames, max(3, np.ceil(lasts_s * VIEWS_PER_S) + 1)))
    return np.unique(np.rint(np.linspace(0, paths.frames - 1, count)).astype(np.int64))


def mapped(paths: Paths, views: Any, focal_px: float, refine: bool) -> Model:
    """Run the mapping over these frames in a process of its own.  Raises LiftError when it finds nothing."""
    names = [paths.at(v)[0] for v in views]
    often = np.bincount(np.concatenate(names)) >= PATH_VIEWS
    kept = [often[n] for n in names]
    with tempfile.TemporaryDirectory(prefix="humanmovevqa-sfm-") as folder:
        given, found = Path(folder) / "paths.npz", Path(folder) / "model.npz"
        np.savez(
            given,
            view=np.concatenate([np.full(k.sum(), i) for i, k in enumerate(kept)]),
            name=np.concatenate([n[k] for n, k in zip(names, kept, strict=True)]),
            place=np.concatenate([paths.at(v)[1][k] for v, k in zip(views, kept, strict=True)]),
            size=[paths.width, paths.height],
            views=len(views),
            focal=focal_px,
            refine=refine,
            pixel=paths.pixel,
        )
        _run(given, found, len(views))
        with np.load(found) as z:
            if not len(z["view"]):
                raise LiftError("camera motion: no structure from motion was found; the background may be too plain, blurred or hidden")
            miss, focal, parallax = (float(z[key]) for key in ("miss", "focal", "parallax"))
            return Model(views[z["view"]], z["rotation"], z["centre"], z["name"], z["point"], miss, focal, parallax)


def _run(given: Path, found: Path, views: int) -> None:
    root = str(Path(__file__).resolve().parents[3])
    known = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": root + (os.pathsep + known if known else ""), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "builder.lifters.monocular.sfm", str(given), str(found)]
    limit_s = TIMEOUT_S[0] + TIMEOUT_S[1] * views
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise LiftError(f"camera motion: structure from motion took longer than {limit_s:.0f} s") from None
    if done.returncode == MISSING:
        raise SetupError("a moving camera needs pycolmap; install it with: pip install 'humanmovevqa[lift]'")
    if done.returncode != 0 or not found.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LiftError(f"camera motion: structure from motion stopped with status {done.returncode} ({last[-200:]})")


def checked(paths: Paths, views: Any, model: Model, focal_source: str) -> Camera:
    """The camera in every frame, once the mapping has passed the gates.  Raises LiftError with the gate that it failed."""
    share = len(model.frame) / len(views)
    focal = model.focal_px / max(paths.width, paths.height)
    miss = model.miss_px / paths.pixel
    faults = [
        (share < REGISTERED_MIN, f"only {share:.0%} of the views fit together"),
        (miss > REPROJECTION_MAX, f"its points miss their places by {miss:.1f} pixels"),
        (not FOCAL_RANGE[0] <= focal <= FOCAL_RANGE[1], f"the focal length comes out at {focal:.2f} of the longest side"),
        (model.parallax_deg < PARALLAX_MIN_DEG, f"a parallax of {model.parallax_deg:.1f} degrees, too little to tell near from far"),
    ]
    for fault, text in faults:
        if fault:
            raise LiftError(f"camera motion: {text}")
    rotation, centre = between_views(paths, model)
    agree = epipolar_share(paths, rotation, centre, model.focal_px)
    if agree < EPIPOLAR_SHARE:
        raise LiftError(f"camera motion: only {agree:.0%} of the followed points agree with it")
    turn, origin = rotation[0].T, centre[0]
    return Camera("moving", model.focal_px, focal_source, turn @ rotation, (centre - origin) @ turn.T, (model.point - origin) @ turn.T)


def between_views(paths: Paths, model: Model) -> tuple[Floats, Floats]:
    """rotation (n, 3, 3) and centre (n, 3) of every frame: the views' poses interpolated, then fitted to the points seen in the frame.

    A hand trembles faster than the views follow each other, so interpolation alone would smooth it into the person's path.
    """
    from scipy.interpolate import CubicSpline
    from scipy.spatial.transform import Rotation, Slerp

    order = np.argsort(model.frame)
    at, every = model.frame[order], np.clip(np.arange(paths.frames), model.frame.min(), model.frame.max())
    rotation = np.asarray(Slerp(at, Rotation.from_matrix(model.rotation[order]))(every).as_matrix())
    centre = np.asarray(CubicSpline(at, model.centre[order])(every))
    where = np.full(int(paths.name.max(initial=0)) + 1, -1)
    where[model.name] = np.arange(len(model.name))
    for k in range(paths.frames):
        names, places = paths.at(k)
        seen = where[names] >= 0
        if seen.sum() >= FEW:
            points, flat = model.point[where[names[seen]]], places[seen] / model.focal_px
            rotation[k], centre[k] = _fitted(rotation[k], centre[k], points, flat, paths.pixel / model.focal_px)
    return rotation, centre


def _fitted(rotation: Floats, centre: Floats, points: Floats, flat: Floats, pixel: float) -> tuple[Floats, Floats]:
    """A camera's pose (rotation to the world, centre) fitted to points (k, 3) seen at `flat` (k, 2), by reweighted Gauss-Newton."""
    from scipy.spatial.transform import Rotation

    for _ in range(ROUNDS):
        local = (points - centre) @ rotation
        z = np.maximum(local[:, 2], 1e-6)
        x, y = local[:, 0] / z, local[:, 1] / z
        miss = np.stack([x, y], axis=1) - flat
        weight = np.sqrt(1 / (1 + (np.linalg.norm(miss, axis=1) / pixel) ** 2) ** 2 * (local[:, 2] > 0))
        zero, one = np.zeros_like(x), 1 / z
        # by a small turn about the camera's own axes (three columns), and by a step along them
        by_x = np.stack([x * y, -(1 + x * x), y, -one, zero, x * one], axis=1)
        by_y = np.stack([1 + y * y, -x * y, -x, zero, -one, y * one], axis=1)
        jacobian = np.concatenate([by_x * weight[:, None], by_y * weight[:, None]])
        step = np.linalg.lstsq(jacobian, -np.concatenate([miss[:, 0] * weight, miss[:, 1] * weight]), rcond=1e-9)[0]
        centre = centre + rotation @ step[3:]
        rotation = rotation @ np.asarray(Rotation.from_rotvec(step[:3]).as_matrix())
        if np.abs(step[:3]).max() < 1e-7:
            break
    return rotation, centre


def epipolar_share(paths: Paths, rotation: Floats, centre: Floats, focal_px: float) -> float:
    """Share of the points followed over half a second that lie on the lines where these poses say they can be."""
    step = max(1, round(0.5 / max(float(np.median(np.diff(paths.time_s))), 1e-3)))
    good: list[Bools] = []
    for a in range(0, paths.frames - step, max(1, step // 2)):
        b = a + step
        places_a, places_b = paths.both(a, b)
        if len(places_a) < FEW:
            continue
        turn, move = rotation[b].T @ rotation[a], rotation[b].T @ (centre[a] - centre[b])
        essential = np.cross(np.eye(3), move) @ turn
        ray_a, ray_b = (np.concatenate([p / focal_px, np.ones((len(p), 1))], axis=1) for p in (places_a, places_b))
        line_b, line_a = ray_a @ essential.T, ray_b @ essential
        steep = np.sqrt((line_b[:, :2] ** 2).sum(axis=1) + (line_a[:, :2] ** 2).sum(axis=1))
        off = np.abs((ray_b * line_b).sum(axis=1)) / np.maximum(steep, 1e-12)
        good.append(off * focal_px < EPIPOLAR_PX * paths.pixel)
    return float(np.concatenate(good).mean()) if good else 0.0


def main(given: str, found: str) -> None:
    """The mapping itself, in its own process: read the points' paths from one file, write the model to the other."""
    try:
        import pycolmap
    except ImportError:
        sys.exit(MISSING)
    with np.load(given) as z:
        values = {key: z[key] for key in z.files}
    width, height = values["size"].tolist()
    focal, refine = float(values["focal"]), bool(values["refine"])
    folder = Path(given).parent
    pycolmap.logging.minloglevel = 2
    pycolmap.set_random_seed(0)
    database = pycolmap.Database.open(str(folder / "views.db"))
    camera = pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId.SIMPLE_PINHOLE, focal, width, height)
    camera.has_prior_focal_length = not refine
    database.write_camera(camera, use_camera_id=True)
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(camera.sensor_id)
    database.write_rig(rig, use_rig_id=True)
    names = []
    for view in range(int(values["views"])):
        here = values["view"] == view
        names.append(values["name"][here])
        image = pycolmap.Image(name=f"{view:05d}", camera_id=1, image_id=view + 1)
        frame = pycolmap.Frame(frame_id=view + 1, rig_id=1)
        frame.add_data_id(image.data_id)
        database.write_image(image, use_image_id=True)
        database.write_frame(frame, use_frame_id=True)
        database.write_keypoints(view + 1, (values["place"][here] + [width / 2, height / 2]).astype(np.float32))
    sort = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED if refine else pycolmap.TwoViewGeometryConfiguration.CALIBRATED
    for a in range(len(names)):
        for step in NEIGHBOURS:
            if a + step >= len(names):
                break
            _, in_a, in_b = np.intersect1d(names[a], names[a + step], assume_unique=True, return_indices=True)
            if len(in_a) < COMMON:
                break
            matches = np.stack([in_a, in_b], axis=1).astype(np.uint32)
            # followed points hardly need the usual search for a consistent majority; the mapping drops the few that strayed
            geometry = pycolmap.TwoViewGeometry(config=sort, inlier_matches=matches)
            database.write_matches(a + 1, a + step + 1, matches)
            database.write_two_view_geometry(a + 1, a + step + 1, geometry)
    database.close()
    _map(pycolmap, folder, names, refine, float(values["pixel"]), Path(found))


def _map(pycolmap: Any, folder: Path, names: list[Any], refine: bool, pixel: float, found: Path) -> None:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors, options.multiple_models = 1, 0, False, False
    options.min_model_size = 3
    options.ba_refine_focal_length, options.ba_refine_extra_params = refine, False
    options.mapper.abs_pose_refine_focal_length, options.mapper.abs_pose_refine_extra_params = False, False
    options.mapper.init_min_tri_angle = 4.0
    options.mapper.abs_pose_min_num_inliers = 15
    options.triangulation.min_angle = options.mapper.filter_min_tri_angle = PARALLAX_POINT_DEG
    options.mapper.filter_max_reproj_error = MISS_MAX * pixel
    options.mapper.abs_pose_max_error = 4.0 * pixel
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = MISS_MAX * pixel
    models = pycolmap.incremental_mapping(str(folder / "views.db"), str(folder), str(folder), options)
    best = max(models.values(), key=lambda m: m.num_reg_images(), default=None)
    images = [] if best is None else sorted(best.images.items())
    images = [(key, image) for key, image in images if image.has_pose]
    poses = [image.cam_from_world() for _, image in images]
    rotation = np.array([p.rotation.matrix().T for p in poses]).reshape(-1, 3, 3)
    centre = np.array([image.projection_center() for _, image in images]).reshape(-1, 3)
    points = {} if best is None else best.points3D
    index = {key: k for k, (key, _) in enumerate(images)}
    name, place, angle = [], [], []
    for key in sorted(points):
        point = points[key]
        seen = [(e.image_id, e.point2D_idx) for e in point.track.elements]
        rays = point.xyz - centre[[index[i] for i, _ in seen]]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angle.append(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
        name.append(names[seen[0][0] - 1][seen[0][1]])
        place.append(point.xyz)
    np.savez(
        found,
        view=np.array([key - 1 for key, _ in images], dtype=np.int64),
        rotation=rotation,
        centre=centre,
        name=np.array(name, dtype=np.int64),
        point=np.array(place).reshape(-1, 3),
        miss=0.0 if best is None else best.compute_mean_reprojection_error(),
        focal=0.0 if best is None else best.cameras[1].focal_length,
        parallax=float(np.median(angle)) if angle else 0.0,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
