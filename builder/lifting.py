"""From a clip to the tracks of its people, by whichever lifter; lifting from video is done once and kept in the work folder.

A source may have no video files but can make them (`film(clip, folder)`): it is asked to when a lifter needs to see the clip.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder import plugins, store
from builder.types import Clip, LiftError, Motion, SetupError, Track

STAGE, VIDEOS = "tracks", "videos"
TRUTH = "groundtruth"
DEFAULT = "monocular"
MAKES = ("performer", "render")  # what scripted people, and pictures of them, come from
HERE = Path(__file__).parent


def lifter_of(clip: Clip, asked: str) -> str:
    """The lifter of a clip: the one asked for, else the one its source prefers, else the source's own truth, else `monocular`."""
    if asked:
        return asked
    source = plugins.load("sources", clip.source)
    return str(source.ABOUT.get("lifter") or (TRUTH if hasattr(source, "reference") else DEFAULT))


@cache
def code_digest(*names: str) -> str:
    """16 hex digits over the source code of these modules and packages of builder/; those that do not exist count as empty."""
    files = [p for name in names for p in [HERE / f"{name}.py", *(HERE / name).rglob("*.py")] if p.is_file()]
    return hashlib.sha256("".join(store.file_digest(p) for p in sorted(set(files))).encode()).hexdigest()[:16]


def code_of(source: str, lifter: str) -> str:
    """Digest of the code that decides a track of this source by this lifter."""
    seeing = () if lifter == TRUTH else ("video", "lifting")
    return code_digest(f"sources/{source}", f"lifters/{lifter}", *MAKES[: 1 if lifter == TRUTH else 2], *seeing)


def key_of(clip: Clip, lifter: str, options: Mapping[str, str]) -> str:
    """What the tracks of a clip are made from: the clip and its file, the lifter and the code."""
    files = [Path(p) for p in (clip.meta.get("path"), clip.video) if p]
    content = [store.file_digest(p) for p in files if p.is_file()]
    known = asdict(clip) | {"meta": {k: v for k, v in clip.meta.items() if k != "path"}, "video": clip.video and clip.video.name}
    return store.digest(known, content, lifter, dict(options), code_of(clip.source, lifter))


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


def lifted(clip: Clip, lifter: str, options: Mapping[str, str], work: Path) -> list[Track]:
    """The tracks of everybody in the clip, sorted by person; from the work folder when they were lifted before.

    A clip without a video is filmed first, into the work folder, by a source that can.  Raises what the source and the lifter
    raise; a refusal is remembered like a track.
    """
    if lifter == TRUTH:
        source = plugins.load("sources", clip.source, ("reference",))
        own = plugins.load("lifters", lifter, ("ABOUT", "load"))
        return sort(own.load(reference=source.reference)(clip))
    kept, key = store.Work(work), key_of(clip, lifter, options)
    record = kept.get(STAGE, clip.clip_id, key)
    if record is None:
        record = kept.put(STAGE, clip.clip_id, key, _lift(seen(clip, work), lifter, options, kept))
    if record["refused"] is not None:
        raise LiftError(record["refused"])
    return [store.read_track(kept.root / STAGE / name)[0] for name in record["files"]]


def seen(clip: Clip, work: Path) -> Clip:
    """The clip with a video: its own, or one that its source films into the work folder if it has a picture (a width) to be filmed."""
    source = plugins.load("sources", clip.source)
    if clip.video is not None or not clip.width or not hasattr(source, "film"):
        return clip
    filmed: Clip = source.film(clip, work / VIDEOS / code_digest(f"sources/{clip.source}", *MAKES))
    return filmed


def _lift(clip: Clip, lifter: str, options: Mapping[str, str], kept: store.Work) -> dict[str, Any]:
    """Lift a clip and write its tracks; the record of what was found."""
    try:
        tracks = sort(load(lifter, options)(clip))
    except LiftError as error:
        return {"refused": str(error), "files": []}
    path = kept.path(STAGE, clip.clip_id)
    files = []
    for track in tracks:
        name = f"{path.stem}@{store.plain(track.person_id)}.npz"
        store.write_track(path.with_name(name), track)
        files.append(name)
    for old in path.parent.glob(f"{glob.escape(path.stem)}@*.npz"):
        if old.name not in files:
            with suppress(OSError):
                old.unlink()
    return {"refused": None, "files": files}


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
