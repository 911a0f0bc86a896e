"""From recordings to clips, to the ground-truth tracks of their people in our world, and to their videos.

`HUMANMOVEVQA_VIDEO_DIR` names the folder that `humanmovevqa videos` has filled, so that a lifter uses those videos instead of
making them again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builder import footage, referent, schema, store
from builder.body import model_file
from builder.geometry import fill_invalid
from builder.recordings.reading import stamp
from builder.recordings.records import MODELS, Attempts, Broken, Recording, View
from builder.recordings.windows import LEAST_S, windows
from builder.types import Clip, HumanMoveError, SetupError, SourceError, Track

VIDEOS = "HUMANMOVEVQA_VIDEO_DIR"
PROBLEM = "problem"  # the entry of a clip's meta that says why nothing can be asked about it
SAMPLES = 9  # frames of a window that choose its view
FASTEST_M_S = 12.0


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
    """Where a clip comes from, and the files behind it, whose change makes its artefacts stale."""
    ready, models = ready_video(clip), os.environ.get(MODELS)
    images = [view.images[k] for k in range(clip.start_frame, clip.end_frame) if k in view.images]
    bodies = [model_file(recording.model, gender, models) for gender in sorted({p.gender for p in recording.people})] if models else []
    return {
        "path": str(root),
        "file": recording.source,
        "state": store.digest(recording.state, _place(recording, view), stamp(images)),
        "bodies": stamp(bodies) if models else "approximate",
        "video_bytes": 0 if ready is None else ready.stat().st_size,
    }


def _place(recording: Recording, view: View) -> list[Any]:
    """What the calibrations say; a camera that moves is part of the recording's own data."""
    world, fixed = recording.world, view.from_source.tolist() if view.from_source.ndim == 2 else None
    return [world.rotation.tolist(), world.offset_m.tolist(), world.scale, view.camera_matrix.tolist(), fixed]


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
    named = [replace(t, referent=t.referent or name) for t, name in zip(found, referent.by_place(places), strict=True)]
    return sorted(named, key=lambda t: t.person_id)


def _plausible(track: Track) -> Track:
    """The track itself.  Raises SourceError where the person moves faster than people do."""
    seen = np.flatnonzero(track.valid)
    rate = np.linalg.norm(np.diff(track.position_m[seen], axis=0), axis=1) * track.fps / np.diff(seen)
    if rate.size and rate.max() > FASTEST_M_S:
        a, b = (int(track.frame_ids[seen[rate.argmax() + k]]) for k in (0, 1))
        raise SourceError(
            f"person {track.person_id} moves at {rate.max():.0f} m/s from frame {a} to {b}, which nobody does; "
            f"expected at most {FASTEST_M_S:g} m/s: is the fit of either frame damaged?"
        )
    return track


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
        raise SourceError(f"images{of} are missing: {gone}; unzip them beside the rest, or correct the root")
    files = tuple(images[k] for k in range(clip.start_frame, clip.end_frame))
    return footage.Film(clip.clip_id, schema.video_path(clip), files, clip.fps, clip.start_frame)


def filmed(recording: Callable[[], Recording], clip: Clip, folder: Path) -> Clip:
    """The clip with its video: the ready one, else one made in `folder`.  Its frames then count from 0, as the video's own do."""
    need_whole(clip)
    video = ready_video(clip)
    known = recording()
    if video is None:
        film = film_of(known, clip)
        video = folder / clip.meta["state"] / film.path
        if not video.is_file():
            footage.write(film, video)
    view = next(v for v in known.views if v.name == clip.view)
    width, height = _size(video, clip)
    focal_px = float(view.camera_matrix[0, 0]) * max(width, height) / max(view.size)
    meta = {**clip.meta, "focal_px": focal_px, "video_start_frame": clip.start_frame}
    return replace(clip, video=video, width=width, height=height, start_frame=0, end_frame=clip.num_frames, meta=meta)


def _size(video: Path, clip: Clip) -> tuple[int, int]:
    from builder.video import probe

    info = probe(video)
    if info.num_frames != clip.num_frames:
        raise SourceError(f"{video.name}: expected the {clip.num_frames} frames of {clip.clip_id}, got {info.num_frames}; make it again")
    return info.width, info.height
