"""The default lifter: a video from one camera -> where its people went, in metres, on two CPU cores.

One pass over the frames feeds the people's tracker and the camera's background; what follows works on small arrays.  Stages:
`weights` and `blazepose` (networks), `people` and `clothes` (who is where, and how to name them), `camera` and `sfm` (how the camera
moved), `root` (a person before the camera), `ground` (metric world, upright), `heading` (facing and lean), `verdict` (whether to trust it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from builder.lifters.monocular.records import Person
from builder.lifting import number_option
from builder.types import Clip, Floats, LiftError, SetupError, Track
from builder.video import Frame, read_frames, shot_cuts
from builder.video.container import LIMITS, Scan, pyav, scan

ABOUT = {
    "title": "Monocular video with BlazePose landmarks, structure from motion and the person as the ruler",
    "licence": "Apache-2.0 (the networks' weights, fetched once)",
    "needs": "pip install 'humanmovevqa[lift]'; options focal=PIXELS, subject_height_m=METRES, camera=auto|static|moving, weights=FOLDER",
}
LONGEST_SIDE = 960
RATES = (30.0, 25.0, 20.0, 15.0, 12.0, 10.0)
FPS_MIN, SECONDS_MIN = 10.0, 1.0
CUT_SIDE = 64
CAMERAS = ("auto", "static", "moving")
PELVIS_UP_M = 0.06  # the pelvis (SMPL's root) above the middle of BlazePose's hips, along the trunk: 0.055 to 0.074 on rendered people
HEIGHTS_M = (0.5, 2.5)


def load(
    focal: float | str | None = None,
    subject_height_m: float | str | None = None,
    camera: str = "auto",
    weights: str | Path | None = None,
) -> Callable[[Clip], list[Track]]:
    """A lifter.  Options may be texts, as the command line gives them.

    focal: of the camera, in pixels of the video as it is shown (default: as the file's metadata tell, else found from the camera's
    motion, else 0.88 of the longest side).  subject_height_m: of the people (default: an average adult's).  camera: "static" or
    "moving" when known.  weights: a folder with BlazePose's two files.  Raises SetupError for a wrong option and for what this
    machine lacks.
    """
    focal = number_option("focal", focal, 10.0, 1e6)
    height_m = number_option("subject_height_m", subject_height_m, *HEIGHTS_M)
    if camera not in CAMERAS:
        raise SetupError(f"option camera={camera}: expected one of {', '.join(CAMERAS)}")

    from builder.lifters.monocular.blazepose import BlazePose, packages
    from builder.lifters.monocular.weights import find

    pyav()  # what this machine lacks is said before anything is fetched
    packages()
    network = BlazePose(find(weights))

    def lift(clip: Clip) -> list[Track]:
        try:
            return _lifted(clip, network, focal, height_m, camera)
        except LiftError as error:
            raise LiftError(f"{clip.clip_id}: {error}") from None

    return lift


class Watched(NamedTuple):
    """What one pass over a clip left: n processed frames at `fps`, their source numbers (n,) and the picture's size in pixels."""

    fps: float
    frame_ids: np.ndarray
    width: int
    height: int
    people: list[Any]
    background: Any


def _lifted(clip: Clip, network: Any, focal: float | None, height_m: float | None, mode: str) -> list[Track]:
    """Everybody in the clip, the most prominent first.  Raises LiftError when nothing of it can be lifted, and VideoError."""
    from builder.lifters.monocular import camera as cameras

    if clip.video is None:
        raise LiftError("there is no video to lift")
    known = scan(Path(clip.video), LIMITS)
    start_s, end_s = _window(clip, known)
    fps = _rate(clip, known, start_s, end_s)
    seen = _watch(clip, network, fps, start_s, end_s)
    if not seen.people:
        raise LiftError("nobody is in view from head to knees for a second or longer")
    longest = max(seen.width, seen.height)
    in_pixels, source = _focal(clip, known, focal, longest / max(known.info.width, known.info.height))
    found = cameras.solve(seen.background, in_pixels, source, mode)
    return _tracks(clip, known, seen, found, height_m)


def _window(clip: Clip, known: Scan) -> tuple[float, float | None]:
    """The clip's part of its video in seconds, from a little before its first frame to a little before the one after its last; all of
    it when the clip does not say."""
    if clip.fps <= 0 or clip.end_frame <= clip.start_frame:
        return 0.0, None

    def at_s(frame: int) -> float:
        return float(known.times_s[frame]) if frame < len(known.times_s) else frame / clip.fps

    half = 0.25 / clip.fps
    return max(0.0, at_s(clip.start_frame) - half), at_s(clip.end_frame) - half


def _rate(clip: Clip, known: Scan, start_s: float, end_s: float | None) -> float:
    """Frames per second to process: the video's own if constant and at most 30, a whole part of it if higher, else an even grid."""
    info = known.info
    lasts_s = min(info.duration_s, end_s if end_s is not None else info.duration_s) - start_s
    if lasts_s < SECONDS_MIN:
        raise LiftError(f"it lasts {lasts_s:.2f} s; expected {SECONDS_MIN:g} s or more")
    if info.fps < FPS_MIN:
        raise LiftError(f"it shows {info.fps:.1f} frames per second; expected {FPS_MIN:g} or more")
    if info.constant_rate:
        return info.fps / max(1, int(np.ceil(info.fps / (RATES[0] * 1.02))))
    for rate in RATES:
        grid = np.arange(known.times_s[0], known.times_s[-1], 1 / rate)
        nearest = np.rint(np.interp(grid, known.times_s, np.arange(len(known.times_s))))
        if len(np.unique(nearest)) == len(nearest):
            return rate
    raise LiftError(f"its frames come so unevenly that {RATES[-1]:g} per second cannot be had; re-encode it at a constant rate")


def _watch(clip: Clip, network: Any, fps: float, start_s: float, end_s: float | None) -> Watched:
    """The one pass over the frames."""
    from cv2 import INTER_AREA, resize

    from builder.lifters.monocular.camera import Background
    from builder.lifters.monocular.people import Follower

    follower = Follower(network, fps)
    background: Any = None
    numbers: list[int] = []
    size = (0, 0)

    def thumbnails() -> Iterator[Frame]:
        nonlocal background, size
        assert clip.video is not None
        for frame in read_frames(clip.video, fps, start_s, end_s, LONGEST_SIDE):
            if numbers and frame.index <= numbers[-1]:
                continue
            numbers.append(frame.index)
            height, width = frame.image.shape[:2]
            if background is None:
                background, size = Background(width, height), (width, height)
            background.add(frame.image, frame.time_s, follower.step(frame.image))
            scale = CUT_SIDE / max(width, height)
            small: Any = resize(frame.image, (round(width * scale), round(height * scale)), interpolation=INTER_AREA)
            yield Frame(frame.index, frame.time_s, small)

    cuts = shot_cuts(thumbnails())
    if cuts:
        where = ", ".join(f"{t:.1f}" for t in cuts[:3])
        raise LiftError(f"a montage, with {len(cuts)} cut(s) between shots, first at {where} s; pass one shot per clip")
    return Watched(fps, np.array(numbers, dtype=np.int64), *size, follower.people(), background)


def _focal(clip: Clip, known: Scan, focal: float | None, scale: float) -> tuple[float | None, str]:
    """The focal length in pixels of the processed frames where it is known, and by whom; `scale` of these to the video's own."""
    told = clip.meta.get("focal_px") or known.info.focal_px
    if focal is not None:
        return focal * scale, "user"
    return (float(told) * scale, "metadata") if told else (None, "default")


def _tracks(clip: Clip, known: Scan, seen: Watched, camera: Any, height_m: float | None) -> list[Track]:
    """The track of each person, given how the camera moved."""
    from builder.lifters.monocular.clothes import referents
    from builder.lifters.monocular.ground import Body, grounded
    from builder.lifters.monocular.root import placed, steadied

    people: list[Person] = [f.person for f in seen.people]
    sure = [np.where(p.seen, np.nan_to_num(p.score), 0.0) for p in people]
    bodies, misses = [], []
    for person, weight in zip(people, sure, strict=True):
        root, joints, miss_px = placed(person, camera.focal_px, seen.width, seen.height, height_m)
        bodies.append(Body(steadied(root, camera.rotation, weight, seen.fps), joints, person.visibility, person.seen))
        misses.append(miss_px)
    world = grounded(bodies, camera, seen.fps)
    names = referents([f.colours for f in seen.people], people, seen.width)
    scale = max(known.info.width, known.info.height) / max(seen.width, seen.height)
    first, last = (int(seen.frame_ids[k]) for k in (0, -1))
    common = {
        "focal_px": round(camera.focal_px * scale, 2),
        "focal_source": camera.focal_source,
        "camera_mode": camera.mode,
        "scale_spread": round(world.scale_spread, 4),
        "clip": {
            "fps": known.info.fps,
            "width": known.info.width,
            "height": known.info.height,
            "camera": "static" if camera.mode == "static" else "moving",
            "start_frame": first,
            "end_frame": last + 1,
            "num_frames": last + 1 - first,
        },
    }
    tracks = []
    for k, (person, body, weight) in enumerate(zip(people, bodies, sure, strict=True)):
        track = _track(seen, person, body, weight, camera.focal_px, world.camera_to_world, misses[k], (*camera.reasons, *world.reasons))
        matrix = np.array([[camera.focal_px, 0, seen.width / 2], [0, camera.focal_px, seen.height / 2], [0, 0, 1]])
        tracks.append(
            replace(
                track,
                clip_id=clip.clip_id,
                person_id=str(k),
                referent=names[k],
                provenance={**track.provenance, **common},
                extra={**track.extra, "camera_matrix": matrix},
            )
        )
    return tracks


def _track(
    seen: Watched,
    person: Person,
    body: Any,
    weight: Floats,
    focal_px: float,
    camera_to_world: Floats,
    miss_px: Floats,
    doubts: tuple[str, ...],
) -> Track:
    """One person's track from first to last sight; what is common to the clip is left to the caller."""
    from builder.lifters.monocular.ground import placed_joints
    from builder.lifters.monocular.heading import facing
    from builder.lifters.monocular.root import on_floor, rays
    from builder.lifters.monocular.verdict import measured, verdict

    turn, centre = camera_to_world[:, :3, :3], camera_to_world[:, :3, 3]
    ray_cam = rays(person.landmarks_px, focal_px, seen.width, seen.height)
    root_cam = on_floor(body.root_m, body.joints_m, ray_cam, camera_to_world, weight, seen.fps)
    joints_m = np.einsum("nij,nkj->nki", turn, placed_joints(replace(body, root_m=root_cam))) + centre[:, None]
    root_m = np.einsum("nij,nj->ni", turn, root_cam) + centre
    way = facing(joints_m, root_m, centre, weight, seen.fps)
    measures = measured(person, way, root_m, miss_px, seen.fps, (seen.width, seen.height))
    word, reasons = verdict(measures, doubts)
    at = np.flatnonzero(person.seen)
    cut = slice(at[0], at[-1] + 1)
    return Track(
        clip_id="",
        person_id="",
        fps=seen.fps,
        valid=person.seen[cut],
        body_to_world=way.body_to_world[cut],
        position_m=(root_m + PELVIS_UP_M * way.body_to_world[:, :, 1])[cut],
        frame_ids=seen.frame_ids[cut],
        root_kind="pelvis_approx",
        joints_m=joints_m[cut],
        camera_to_world=camera_to_world[cut],
        lifter="monocular",
        provenance={"verdict": word, "reasons": list(reasons), **{name: round(value, 4) for name, value in measures.items()}},
        extra={"confidence": person.score[cut], "landmarks_px": person.landmarks_px[cut], "visibility": person.visibility[cut]},
    )
