"""What datasets of recorded people share: fits of a body in some frame, cameras, image folders; and the way from these to clips
and ground-truth tracks in one +Y-up world.

A source reads its own layout into a `Recording`; everything after that is here.  A recording that cannot be read still becomes a
clip, which carries the reason: a build lists it as skipped and loses nothing else.

`HUMANMOVEVQA_BODY_MODELS` names the folder of SMPL and SMPL-X models, which give the exact pelvis; `HUMANMOVEVQA_VIDEO_DIR` the
folder that `humanmovevqa videos` has filled, so that a lifter uses those videos instead of making them again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import footage, lifting, schema, store, unpickle
from builder.body import model_file, pelvis, rest_pelvis
from builder.geometry import fill_invalid, matrices_from_rotvec, upright
from builder.types import Bools, Clip, Floats, HumanMoveError, SetupError, SourceError, Track
from builder.windows import LEAST_S, windows

MODELS, VIDEOS = "HUMANMOVEVQA_BODY_MODELS", "HUMANMOVEVQA_VIDEO_DIR"
PROBLEM = "problem"  # the entry of a clip's meta that says why nothing can be asked about it
STANDS_DEG = 45.0  # tilt under which somebody is upright enough for a clip to begin
SAMPLES = 9  # frames of a window that choose its view
EDGE = 0.02  # of the picture's sides in which somebody is half gone
NEAREST_M = 0.3
FASTEST_M_S = 12.0
ORTHOGONAL = 5e-3
APART = 0.1  # of the picture's width between people whom their places tell apart
FIT, FIT_BYTES = {"global_orient": 3, "transl": 3, "betas": 10}, 1 << 20  # what is read of a frame's fit, and its largest file
CODE = ("recordings", "windows", "footage", "body", "unpickle")


@dataclass(frozen=True, eq=False)
class World:
    """How a source's frame lies in ours: `p -> scale * rotation @ p + offset_m`.  Raises SourceError for what is no rotation."""

    rotation: Floats = field(default_factory=lambda: np.eye(3))
    offset_m: Floats = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def place(self, points: Floats) -> Floats:
        """Points (..., 3) of the source in our world."""
        return np.asarray(self.scale * points @ self.rotation.T + self.offset_m)

    def camera_to_world(self, from_source: Floats) -> Floats:
        """Cameras (..., 4, 4) in our world from source-to-camera transforms (..., 4, 4)."""
        out = np.zeros_like(from_source)
        turn = from_source[..., :3, :3]
        out[..., :3, :3] = self.rotation @ np.swapaxes(turn, -1, -2)
        out[..., :3, 3] = self.place(-np.einsum("...ji,...j->...i", turn, from_source[..., :3, 3]))
        out[..., 3, 3] = 1.0
        return out


@dataclass(frozen=True, eq=False)
class View:
    """One camera: K (3, 3) in pixels for pictures of `size` (width, height), source-to-camera (4, 4) or (N, 4, 4), its images."""

    name: str
    camera_matrix: Floats
    size: tuple[int, int]
    from_source: Floats
    images: Mapping[int, Path]

    def project(self, points: Floats, rows: Any) -> tuple[Floats, Floats]:
        """Pixels (n, 2) and depths (n,) of points (n, 3) of the source at these rows of the recording."""
        pose = self.from_source if self.from_source.ndim == 2 else self.from_source[rows]
        seen = np.einsum("...ij,...j->...i", pose[..., :3, :3], points) + pose[..., :3, 3]
        depth = seen[:, 2]
        return (seen @ self.camera_matrix.T)[:, :2] / np.maximum(depth, 1e-6)[:, None], depth

    def holds(self, points: Floats, rows: Any) -> Bools:
        """Whether these points are in the picture, (n,)."""
        pixels, depth = self.project(points, rows)
        size = np.array(self.size)
        return np.asarray(((pixels > EDGE * size) & (pixels < (1 - EDGE) * size)).all(axis=1) & (depth > NEAREST_M))


@dataclass(frozen=True, eq=False)
class Fit:
    """A body's root in the source's frame over n rows: turn (n, 3) axis-angle, transl (n, 3), betas (B,) or (n, B)."""

    global_orient: Floats
    transl: Floats
    betas: Floats


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a recording; `valid` (N,): fitted and, as far as the source says, visible; `read(rows)` their fit there.

    `pelvis_px` (N, 2) is where the source itself projects the pelvis, if it does.
    """

    person_id: str
    gender: str
    valid: Bools
    read: Callable[[Sequence[int]], Fit]
    referent: str | None = None
    pelvis_px: Floats | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """One sequence of a dataset, N frames `frame_ids` (N,) one apart.

    `model` is "smpl" or "smplx"; `camera` "static" or "moving"; `floor` (up (3,), offset) in the source's frame, a point's height being
    `up . p + offset`; `state` a digest of the files behind it; `notes` what was found here that other copies may have otherwise.
    """

    source: str
    sequence: str
    fps: float
    frame_ids: NDArray[np.int64]
    group: str
    split: str | None
    model: str
    camera: str
    world: World
    people: tuple[Person, ...]
    views: tuple[View, ...]
    state: str
    floor: tuple[Floats, float] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def everybody(self) -> Bools:
        """Rows (N,) in which every person is valid."""
        return np.asarray(np.all([p.valid for p in self.people], axis=0))

    def root(self, person: Person, rows: Sequence[int]) -> tuple[Floats, Floats, str]:
        """Pelvis (n, 3) and body axes (n, 3, 3) in the source's frame at valid rows, and what kind of pelvis it is."""
        fit = person.read(rows)
        rest_m, kind = rest_pelvis(self.model, person.gender, fit.betas, os.environ.get(MODELS))
        return pelvis(fit.transl, rest_m), matrices_from_rotvec(fit.global_orient), kind

    def stands(self, row: int) -> bool:
        """Whether everybody is upright in a row in which everybody is valid."""
        turns = [self.world.rotation @ self.root(p, [row])[1] for p in self.people]
        return all(upright(turn, STANDS_DEG)[0] for turn in turns)


@dataclass(frozen=True)
class Broken:
    """A sequence that is there and cannot be used, and why, in a line."""

    sequence: str
    problem: str


Found = Recording | Broken
Attempts = list[Callable[[], Found]]  # one per sequence, in order; calling it reads the sequence


def attempt(sequence: str, read: Callable[[], Recording]) -> Found:
    """A sequence's recording, or what is wrong with it."""
    try:
        return read()
    except SetupError:
        raise
    except HumanMoveError as error:
        return Broken(sequence, " ".join(str(error).split()))


def clips(source: str, root: Path, found: Attempts) -> Iterator[Clip]:
    """The clips of recordings; what cannot be cut into clips gives one clip that says why."""
    for read in found:
        one = read()
        cut: list[Clip] = []
        problem = one.problem if isinstance(one, Broken) else ""
        if isinstance(one, Recording):
            try:
                cut = cut_into_clips(one, root)
                problem = "" if cut else f"no {LEAST_S:g} seconds in which {_who(one)} seen by one camera, upright at the start"
            except SetupError:
                raise
            except HumanMoveError as error:
                problem = " ".join(str(error).split())
        yield from cut
        if problem:
            meta = {"path": str(root), "file": source, PROBLEM: problem}
            sequence = one.sequence
            # A width makes a lifter ask for the film, which then says what is wrong.
            yield Clip(f"{source}/{sequence}", source, sequence, 0.0, 0, 0, 0, f"{source}/{sequence}", "qa_only", width=1, meta=meta)


def _who(recording: Recording) -> str:
    return "the person is" if len(recording.people) == 1 else "everybody is"


def cut_into_clips(recording: Recording, root: Path) -> list[Clip]:
    """The clips of one recording, each seen by the one of its cameras that shows everybody, sorted."""
    out = []
    for start, end in windows(recording.everybody, recording.fps, recording.stands):
        view = _view(recording, start, end)
        if view is None:
            continue
        first, last = int(recording.frame_ids[start]), int(recording.frame_ids[end - 1]) + 1
        seen_by = f"/{view.name}" if view.name else ""
        clip = Clip(
            clip_id=f"{recording.source}/{recording.sequence}{seen_by}/{first:05d}-{last:05d}",
            source=recording.source,
            sequence=recording.sequence,
            fps=recording.fps,
            start_frame=first,
            end_frame=last,
            num_frames=last - first,
            group=recording.group,
            redistribution="qa_only",
            view=view.name,
            width=view.size[0],
            height=view.size[1],
            camera=recording.camera,
            split=recording.split,
        )
        out.append(replace(clip, meta=_meta(recording, view, clip, root)))
    return out


def _meta(recording: Recording, view: View, clip: Clip, root: Path) -> dict[str, Any]:
    """Where a clip comes from, and what makes its artefacts stale: the files behind it, and the code that reads them."""
    ready, models = ready_video(clip), os.environ.get(MODELS)
    bodies = [model_file(recording.model, gender, models) for gender in sorted({p.gender for p in recording.people})] if models else []
    return {
        "path": str(root),
        "file": recording.source,
        "state": store.digest(recording.state, lifting.code_digest(*CODE), footage.missing(view.images, clip.start_frame, clip.end_frame)),
        "bodies": stamp(bodies) if models else "approximate",
        "video_bytes": 0 if ready is None else ready.stat().st_size,
    }


def _view(recording: Recording, start: int, end: int) -> View | None:
    """The camera for a window: one that holds everybody at the start and in nearly all of it; of several, one by the window's name."""
    rows = np.unique(np.linspace(start, end - 1, SAMPLES).round().astype(int))
    rows = rows[recording.everybody[rows]]
    points = [recording.root(p, rows.tolist())[0] for p in recording.people]
    shares = {}
    for view in recording.views:
        inside = np.all([view.holds(at, rows) for at in points], axis=0)
        if inside[0]:
            shares[view.name] = float(inside.mean())
    best = [v for v in recording.views if shares.get(v.name, 0.0) >= max(0.9, max(shares.values(), default=0.0))]
    if not best:
        return None
    return best[int(store.digest(recording.source, recording.sequence, int(recording.frame_ids[start])), 16) % len(best)]


def tracks(recording: Recording, clip: Clip) -> list[Track]:
    """The people of a clip in our world, sorted; a frame counts as valid where the person is fitted and in the clip's picture.

    Raises SourceError for fits that no person's motion can be.
    """
    view = next((v for v in recording.views if v.name == clip.view), None)
    if view is None:
        raise SourceError(f"{clip.clip_id}: expected camera {clip.view!r}, it is no longer there; list the clips again")
    start = clip.start_frame - int(recording.frame_ids[0])
    rows = np.arange(start, start + clip.num_frames)
    cameras = recording.world.camera_to_world(view.from_source if view.from_source.ndim == 2 else view.from_source[rows])
    found, places = [], []
    for person in recording.people:
        valid = person.valid[rows].copy()
        position, turns = np.zeros((len(rows), 3)), np.tile(np.eye(3), (len(rows), 1, 1))
        position[valid], turns[valid], kind = recording.root(person, rows[valid].tolist())
        inside = view.holds(position, rows)
        places.append(float(view.project(position[:1], rows[:1])[0][0, 0]) / view.size[0])
        valid &= inside
        track = Track(
            clip_id=clip.clip_id,
            person_id=person.person_id,
            fps=recording.fps,
            valid=valid,
            body_to_world=recording.world.rotation @ turns,
            position_m=recording.world.place(position),
            frame_ids=clip.start_frame + np.arange(len(rows), dtype=np.int64),
            root_kind=kind,
            camera_to_world=np.broadcast_to(cameras, (len(rows), 4, 4)).copy(),
            referent=person.referent,
            provenance={"source": recording.source, "body": recording.model, "world_scale": round(recording.world.scale, 6)},
            extra={"camera_matrix": view.camera_matrix},
        )
        found.append(fill_invalid(_plausible(track)))
    named = [replace(t, referent=t.referent or name) for t, name in zip(found, by_place(places), strict=True)]
    return sorted(named, key=lambda t: t.person_id)


def _plausible(track: Track) -> Track:
    """The track itself.  Raises SourceError where the person moves faster than people do."""
    seen = np.flatnonzero(track.valid)
    rate = np.linalg.norm(np.diff(track.position_m[seen], axis=0), axis=1) * track.fps / np.diff(seen)
    if rate.size and rate.max() > FASTEST_M_S:
        a, b = (int(track.frame_ids[seen[rate.argmax() + k]]) for k in (0, 1))
        who = f"{track.clip_id}: person {track.person_id}"
        raise SourceError(
            f"{who} moves at {rate.max():.0f} m/s from frame {a} to {b}, which nobody does; expected at most {FASTEST_M_S:g} m/s: "
            "is the fit of either frame damaged?"
        )
    return track


def by_place(places: Sequence[float]) -> list[str | None]:
    """Words for each of several people from where they are in the first frame, 0 (left) to 1; None for one alone or too close."""
    if len(places) != 2 or abs(places[0] - places[1]) < APART:
        return [None] * len(places)
    left = int(places[1] < places[0])
    return [f"the person who is on the {'left' if k == left else 'right'} of the picture at the start" for k in (0, 1)]


def need_whole(clip: Clip) -> None:
    """Raise SourceError, with the reason, for a clip that stands for a sequence that cannot be used."""
    if PROBLEM in clip.meta:
        raise SourceError(clip.meta[PROBLEM])


def ready_video(clip: Clip) -> Path | None:
    """The clip's video in the folder that the environment names, None when it is not there."""
    folder = os.environ.get(VIDEOS)
    file = Path(folder) / schema.video_path(clip) if folder else None
    return file if file is not None and file.is_file() else None


def film_of(recording: Recording, clip: Clip) -> footage.Film:
    """What the video of a clip is made of.  Raises SourceError when images are missing."""
    view = next((v for v in recording.views if v.name == clip.view), None)
    images = {} if view is None else view.images
    gone = footage.missing(images, clip.start_frame, clip.end_frame)
    if gone:
        of = f" of camera {clip.view}" if clip.view else ""
        raise SourceError(f"{clip.clip_id}: images{of} are missing: {gone}; unzip them beside the rest, or correct the root")
    files = tuple(images[k] for k in range(clip.start_frame, clip.end_frame))
    return footage.Film(clip.clip_id, schema.video_path(clip), files, clip.fps, clip.start_frame)


def filmed(recording: Callable[[], Recording], clip: Clip, folder: Path) -> Clip:
    """The clip with its video: the ready one, else one made in `folder`.  Its frames then count from 0, as the video's own do."""
    need_whole(clip)
    video = ready_video(clip)
    known = recording()
    if video is None:
        film = film_of(known, clip)
        video = folder / film.path
        if not video.is_file():
            footage.write(film, video)
    view = next(v for v in known.views if v.name == clip.view)
    width, height = _size(video, clip)
    focal_px = float(view.camera_matrix[0, 0]) * max(width, height) / max(view.size)
    meta = {**clip.meta, "focal_px": focal_px}
    return replace(clip, video=video, width=width, height=height, start_frame=0, end_frame=clip.num_frames, meta=meta)


def _size(video: Path, clip: Clip) -> tuple[int, int]:
    from builder.video import probe

    info = probe(video)
    if info.num_frames != clip.num_frames:
        raise SourceError(f"{video.name}: expected the {clip.num_frames} frames of {clip.clip_id}, got {info.num_frames}; make it again")
    return info.width, info.height


def root_of(source: str, root: str | Path | None) -> Path:
    """The absolute folder of a licensed copy.  Raises SourceError when there is none."""
    if root is None:
        raise SourceError(f"source {source}: expected the folder of your licensed copy, none was given; pass it as {source}=FOLDER")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        what = "found a file" if folder.exists() else "it does not exist"
        raise SourceError(f"source {source}={root}: expected the folder of your licensed copy, {what}")
    return folder.resolve()


def numbers(value: Any, shape: Sequence[int | None], where: str) -> Floats:
    """Finite numbers of this shape (None allows any size).  Raises SourceError saying where."""
    try:
        found = np.asarray(value)
        right = len(found.shape) == len(shape) and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    except ValueError:
        found, right = np.zeros(0), False
    if not right or found.dtype.kind not in "biuf":
        wanted = f"({', '.join('any' if n is None else str(n) for n in shape)})"
        raise SourceError(f"{where}: expected numbers of shape {wanted}, got {found.dtype} of shape {found.shape}; copy the file again")
    out = found.astype(float)
    if not np.isfinite(out).all():
        raise SourceError(f"{where}: expected finite numbers, got NaN or infinity; copy the file again")
    return out


def read_fits(files: Mapping[int, Path], ids: NDArray[np.int64], rows: Sequence[int]) -> Fit:
    """The fits of one person at some rows, a file per frame.  Raises SourceError for the first file that is not one."""
    found = [fit_fields(unpickle.read(files[int(ids[row])], FIT_BYTES), FIT, files[int(ids[row])]) for row in rows]
    orient, transl, betas = (np.array([one[name] for one in found]).reshape(len(found), size) for name, size in FIT.items())
    return Fit(orient, transl, betas)


def fit_fields(data: Any, sizes: Mapping[str, int], file: Path) -> dict[str, Floats]:
    """Fields of one frame's fit, each (n,), stored as (1, n) or (n,).  Raises SourceError naming file and field."""
    if not isinstance(data, dict):
        raise SourceError(f"{file}: expected a dictionary with {', '.join(sizes)}, got {type(data).__name__}; copy it again")
    out = {}
    for name, size in sizes.items():
        if name not in data:
            raise SourceError(f"{file}: expected the field {name!r}, found only {sorted(map(str, data))}; copy the file again")
        value = np.asarray(data[name])
        out[name] = numbers(value.reshape(-1) if value.shape == (1, size) else value, (size,), f"{file}: field {name!r}")
    return out


def stamp(files: Iterable[Path]) -> str:
    """A digest of files' names, sizes and times of change: another one means that they were replaced."""
    out = []
    for file in files:
        try:
            known = file.stat()
        except OSError:
            continue
        out.append([file.name, known.st_size, known.st_mtime_ns])
    return store.digest(out)


def rigid(matrix: Any, where: object) -> Floats:
    """A 4x4 transform with its rotation made exact.  Raises SourceError for one that is not rigid within `ORTHOGONAL`."""
    found = np.asarray(matrix, dtype=float)
    if found.shape != (4, 4) or not np.isfinite(found).all():
        raise SourceError(f"{where}: expected a 4 x 4 transform of finite numbers, got shape {found.shape}; copy the file again")
    out = found.copy()
    out[:3, :3] = rotation(found[:3, :3], where)
    return out


def rotation(matrix: Any, where: object, tolerance: float = ORTHOGONAL) -> Floats:
    """The nearest rotation (3, 3).  Raises SourceError for a matrix further than `tolerance` from one, or for a reflection."""
    found = np.asarray(matrix, dtype=float)
    if found.shape != (3, 3) or not np.isfinite(found).all():
        raise SourceError(f"{where}: expected a 3 x 3 rotation of finite numbers, got shape {found.shape}; copy the file again")
    off = float(np.abs(found @ found.T - np.eye(3)).max())
    if off > tolerance or np.linalg.det(found) < 0:
        what = "a reflection" if off <= tolerance else f"an error of {off:.3g}"
        raise SourceError(f"{where}: expected a rotation (R R' = 1 within {tolerance:g}), got {what}; is it the right file?")
    u, _, v = np.linalg.svd(found)
    return np.asarray(u @ v)
