"""From a clip to the tracks of its people, by whichever lifter; lifting from video is done once and kept in the work folder.

A source may have no video files but can make them (`film(clip, folder)`): it is asked to when a lifter needs to see the clip.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder import lineage, plugins, store, types
from builder.lineage import code_digest
from builder.types import (
    Clip,
    HumanMoveError,
    LiftError,
    Motion,
    NotNowError,
    SetupError,
    StoreError,
    Track,
    TrackError,
    VideoError,
    one_line,
)

__all__ = ["code_digest"]  # where many look for it

STAGE, VIDEOS = "tracks", "videos"
TRUTH = "groundtruth"
DEFAULT = "monocular"
DONE, FAILED, LATER = "done", "failed", "later"  # how an artefact says that its clip fared; what failed only for now is LATER
FILMING = ("render", "video", "footage")  # what makes and reads pictures, of which a source's own truth knows nothing


def lifter_of(clip: Clip, asked: str) -> str:
    """The lifter of a clip: the one asked for, else the one its source prefers, else the source's own truth, else `monocular`."""
    if asked:
        return asked
    source = plugins.load("sources", clip.source)
    return str(source.ABOUT.get("lifter") or (TRUTH if hasattr(source, "reference") else DEFAULT))


def number_option(name: str, given: str | float | None, low: float, high: float) -> float | None:
    """An option that is a number, or None.  Raises SetupError."""
    if given is None or given == "":
        return None
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise SetupError(f"option {name}={given}: expected a number from {low:g} to {high:g}")
    return value


def code_of(source: str, lifter: str) -> str:
    """Digest of the code that decides a track of this source by this lifter."""
    names = [f"sources/{source}", f"lifters/{lifter}"]
    return lineage.code_of(*names, without=FILMING) if lifter == TRUTH else lineage.code_of(*names, "lifting", "video")


def made_from(clip: Clip, lifter: str, options: Mapping[str, str]) -> dict[str, str]:
    """What the tracks of a clip are made from, in the parts of `lineage.MEANS`: the clip and its file, the lifter and the code."""
    files = [Path(p) for p in (clip.meta.get("path"), clip.video) if p]
    content = [store.file_digest(p) for p in files if p.is_file()]
    known = asdict(clip) | {"meta": {k: v for k, v in clip.meta.items() if k != "path"}, "video": clip.video and clip.video.name}
    return {
        "clip": store.digest(known, content),
        "lifter": lifter,
        "options": store.digest(dict(options)),
        "code": code_of(clip.source, lifter),
    }


def key_of(clip: Clip, lifter: str, options: Mapping[str, str]) -> str:
    """The key of a clip's tracks."""
    return lineage.key_of(made_from(clip, lifter, options))


def load(lifter: str, options: Mapping[str, str]) -> Callable[[Clip], list[Track]]:
    """The lifter's function for one clip, made once per process.  Raises PluginError, and SetupError for what it lacks."""
    return _loaded(lifter, tuple(sorted(options.items())))


@cache
def _loaded(lifter: str, options: tuple[tuple[str, str], ...]) -> Callable[[Clip], list[Track]]:
    module = plugins.load("lifters", lifter, ("ABOUT", "load"))
    try:
        lift: Callable[[Clip], list[Track]] = module.load(**dict(options))
    except TypeError as error:
        raise SetupError(f"lifter {lifter}: {error}; give options as --option NAME=VALUE") from None
    return lift


def lifted(clip: Clip, lifter: str, options: Mapping[str, str], work: Path, retry: bool = False) -> list[Track]:
    """The tracks of everybody in the clip, sorted by person, in the source's frame numbers; from the work folder when lifted before.

    A clip without a video is filmed first, into the work folder, by a source that can.  What a clip fails with is remembered like a
    track, and raised again, unless `retry` says to try once more; what fails only for now (NotNowError) is always tried again.
    Raises what the source and the lifter raise.
    """
    if lifter == TRUTH:
        source = plugins.load("sources", clip.source, ("reference",))
        own = plugins.load("lifters", lifter, ("ABOUT", "load"))
        return sort(own.load(reference=source.reference)(clip))
    kept, made = store.Work(work), made_from(clip, lifter, options)
    record = found(kept, clip, lineage.key_of(made))
    tracks = None if record is None or (retry and record["status"] == FAILED) else _again(kept, record)
    if tracks is None:
        record = _lift(clip, lifter, options, kept, made)
        tracks = _again(kept, record)
    if tracks is None:
        raise StoreError(f"{kept.path(STAGE, clip.clip_id)}: its tracks cannot be read back; does another program write there?")
    # What was lifted from a film of the clip counts from the film's first frame; a source's own truth counts as the source does.
    by = 0 if clip.video is not None else clip.start_frame
    return [replace(t, frame_ids=t.frame_ids + by) if by and t.lifter != TRUTH else t for t in tracks]


def found(kept: store.Work, clip: Clip, key: str) -> dict[str, Any] | None:
    """The record of a clip's tracks, None when there is none of this key or it says that it could not be done then."""
    record = kept.get(STAGE, clip.clip_id, key)
    return None if record is None or record["status"] == LATER else record


def _again(kept: store.Work, record: Mapping[str, Any]) -> list[Track] | None:
    """The tracks of a record, None when one of its files is gone or damaged.  Raises what the clip failed with."""
    if record["status"] == FAILED:
        kind = getattr(types, record["error"]["class"], LiftError)
        raise kind(record["error"]["line"])
    try:
        return [store.read_track(kept.root / STAGE / name)[0] for name in record["files"]]
    except TrackError:
        return None


def seen(clip: Clip, work: Path) -> Clip:
    """The clip with a video: its own, or one that its source films into the work folder if it has a picture (a width) to be filmed."""
    source = plugins.load("sources", clip.source)
    if clip.video is not None or not clip.width or not hasattr(source, "film"):
        return clip
    filmed: Clip = source.film(clip, work / VIDEOS / lineage.code_of(f"sources/{clip.source}"))
    return filmed


def _lift(clip: Clip, lifter: str, options: Mapping[str, str], kept: store.Work, made: Mapping[str, str]) -> dict[str, Any]:
    """Lift a clip, write its tracks and then the record of what was found.  Raises SetupError, StoreError, NotNowError."""
    started = time.monotonic()

    def put(status: str, error: BaseException | None, files: list[str]) -> dict[str, Any]:
        what = None if error is None else {"class": type(error).__name__, "line": one_line(error)}
        seconds = round(time.monotonic() - started, 3)
        record = {"status": status, "seconds": seconds, "error": what, "files": files, "made_from": dict(made)}
        return kept.put(STAGE, clip.clip_id, lineage.key_of(made), record)

    try:
        try:
            shown = seen(clip, kept.root)
        except VideoError as error:  # a film that could not be made now says nothing about the person in it
            raise NotNowError(str(error)) from error
        tracks = sort(load(lifter, options)(shown))
    except (SetupError, StoreError):
        raise  # no property of the clip: with what is missing in place it is tried again
    except (HumanMoveError, MemoryError, OSError) as error:
        if types.passes(error):
            later = error if isinstance(error, NotNowError) else NotNowError(f"{clip.clip_id}: {one_line(error)}; it is tried again later")
            put(LATER, later, [])
            raise later from error
        if isinstance(error, HumanMoveError):
            return put(FAILED, error, [])
        raise
    path = kept.path(STAGE, clip.clip_id)
    files = []
    for track in tracks:
        name = f"{path.stem}@{store.plain(track.person_id)}.npz"
        store.write_track(path.with_name(name), track)
        files.append(name)
    record = put(DONE, None, files)
    for old in path.parent.glob(f"{glob.escape(path.stem)}@*.npz"):
        if old.name not in files:
            with suppress(OSError):
                old.unlink()
    return record


def sort(tracks: list[Track]) -> list[Track]:
    """Tracks by person."""
    return sorted(tracks, key=lambda t: t.person_id)


def refused(track: Track) -> bool:
    """Whether the lifter itself says that the track is not to be trusted."""
    return track.provenance.get("verdict") == "refuse"


def facts(track: Track, motion: Motion) -> dict[str, Any]:
    """What is known of a lifted track, JSON-ready: the lifter's own account, and the motion in metres, degrees and seconds."""
    end_left, end_forward = motion.path_m[-1] - motion.path_m[0]
    events = [
        {
            "what": event.direction,
            "start_s": round(event.start_frame / motion.fps, 2),
            "end_s": round(event.end_frame / motion.fps, 2),
            "amount": round(event.amount, 2),
        }
        for event in motion.events
    ]
    return {
        "clip_id": track.clip_id,
        "person_id": track.person_id,
        "referent": track.referent,
        "lifter": track.lifter,
        "fps": track.fps,
        "frames": track.num_frames,
        "seen": round(float(track.valid.mean()), 3),
        "verdict": track.provenance.get("verdict", "ok"),
        "reasons": list(track.provenance.get("reasons", ())),
        "provenance": {k: v for k, v in track.provenance.items() if k not in ("verdict", "reasons")},
        "path_m": round(float(np.hypot(*np.diff(motion.path_m, axis=0).T).sum()), 2),
        "net_forward_m": round(float(end_forward), 2),
        "net_left_m": round(float(end_left), 2),
        "net_up_m": round(float(motion.signals["displacement_y"][-1] - motion.signals["displacement_y"][0]), 2),
        "net_turn_deg": round(float(motion.heading_deg[-1] - motion.heading_deg[0]), 1),
        "events": events,
    }


def sentence(known: Mapping[str, Any]) -> str:
    """The account of one person in a line."""
    forward, left, turn = known["net_forward_m"], known["net_left_m"], known["net_turn_deg"]
    where = f"{abs(forward):.1f} m {'forward' if forward >= 0 else 'backward'}, {abs(left):.1f} m to the {'left' if left >= 0 else 'right'}"
    turned = f"turned {abs(turn):.0f} degrees to the {'left' if turn >= 0 else 'right'}"
    why = f" ({'; '.join(known['reasons'])})" if known["reasons"] else ""
    who = f"person {known['person_id']}" + (f", {known['referent']}" if known["referent"] else "")
    return f"{known['verdict']}{why}: {who}: ended {where} of the start, {turned}, over {known['path_m']:.1f} m of path"
