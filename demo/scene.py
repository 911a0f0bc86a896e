"""What the page is about at a moment: one person in one clip, ready to be shown and asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder import lifting, pipeline, plugins, recipe, store
from builder.asking import Subject
from builder.types import Clip, Track, TrackError
from demo import payload

# The six examples: the packaged clip's name, its title and how the camera moved.
EXAMPLES = (
    ("home_again", "Out and home again", "following camera"),
    ("zigzag", "Zigzag", "handheld camera, portrait"),
    ("side_steps", "Side steps", "static camera"),
    ("backing_away", "Backing away", "panning camera"),
    ("loop", "Full circle", "handheld camera"),
    ("crouch", "Crouch and turn", "following camera"),
)
FIRST = EXAMPLES[0][0]
TRUE_TRACK = "true track of a rendered clip"


@dataclass(frozen=True, eq=False)
class Scene:
    """One person's track with the clip it belongs to and what the page shows of it.

    `subject` is None, with the reason in `unasked`, where the track cannot be asked.  `folder` holds what is a visitor's own, None
    for an example; `others` are the files of everybody in the clip, `person` the place of this one among them.
    """

    title: str
    lifter: str
    clip: Clip
    track: Track
    shown: str
    video: Path | None
    subject: Subject | None
    unasked: str = ""
    warnings: tuple[str, ...] = ()
    folder: Path | None = None
    others: tuple[Path, ...] = ()
    person: int = 0
    start_s: float = 0.0

    @property
    def example(self) -> bool:
        """Whether it is one of ours."""
        return self.folder is None


def make(title: str, origin: str, clip: Clip, track: Track, video: Path | None, known: dict[str, Any] | None = None, **more: Any) -> Scene:
    """The scene of a track: cut to where the person is there, described, encoded.  `known`: the shown clip's rate, size, seconds."""
    rules, warnings, unasked = recipe.load(), list(track.provenance.get("reasons", ())), ""
    known = known or {}
    rate = known.get("rate", 0.0)
    try:
        clip, asked = pipeline.trimmed(clip, track, rules)
    except TrackError as error:
        asked, unasked = None, str(error)
    if lifting.refused(track):
        asked, unasked = None, "the lifter itself does not trust this track: " + "; ".join(track.provenance.get("reasons", ()))
    subject = Subject(asked, rules) if asked is not None else None
    described = subject or Subject(track, rules)
    start_s = float(track.frame_ids[0]) / rate if rate and video is not None else 0.0
    if unasked:
        warnings = [w for w in warnings if w not in unasked]
        warnings.insert(0, f"Nothing is asked about this track: {unasked}.")
    if not described.motion.heading_ok.all():
        warnings.append("Part of the time the body is too tilted for a facing; nothing is said about turning there.")
    gaps = payload.runs(~track.valid, track.fps)
    if gaps and max(b - a for a, b in gaps) >= 0.5:
        longest = max(b - a for a, b in gaps)
        warnings.append(f"The person is lost for {longest:.1f} s; the path is thin and pale there, and only a guess.")
    warnings = [f"{w[:1].upper()}{w[1:]}" + ("" if w.endswith(".") else ".") for w in dict.fromkeys(warnings)]
    first = float(track.valid.argmax()) / track.fps
    shown = payload.encode(
        track,
        described.motion,
        described.measures,
        start_s,
        rate or track.fps,
        known.get("size", (0, 0)),
        known.get("seconds", 0.0),
        title=title,
        origin=origin,
        warnings=warnings,
    )
    return Scene(
        title=title,
        lifter=track.lifter,
        clip=clip,
        track=asked if asked is not None else track,
        shown=shown,
        video=video,
        subject=subject,
        unasked=unasked,
        warnings=tuple(warnings),
        start_s=start_s + (first if asked is not None or track.frame == "world" else 0.0),
        **more,
    )


@cache
def example(name: str) -> Scene:
    """One of the packaged clips with its true track; made once."""
    source = plugins.load("sources", "sample")
    title, camera = next((t, c) for n, t, c in EXAMPLES if n == name)
    clip = next(c for c in source.clips() if c.sequence == name)
    (track,) = source.reference(clip)
    known = {"rate": clip.fps, "size": (clip.width, clip.height), "seconds": clip.num_frames / clip.fps}
    return make(title, f"{TRUE_TRACK} · {camera}", clip, track, clip.video, known)


def lifted(files: tuple[Path, ...], person: int, folder: Path, known: dict[str, Any], title: str) -> Scene:
    """The scene of one of the people whom the lifter found; `folder` holds the copy of the clip."""
    track, clip = store.read_track(files[person])
    assert clip is not None
    clip = replace(clip, **track.provenance.get("clip", {}))
    who = (
        f" · {track.referent}" if track.referent and len(files) > 1 else f" · person {person + 1} of {len(files)}" if len(files) > 1 else ""
    )
    mode = track.provenance.get("camera_mode")
    origin = f"lifted by {track.lifter}" + (f" · {mode} camera" if mode else "") + who
    return make(title, origin, clip, track, folder / "clip.mp4", known, folder=folder, others=files, person=person)


def given(file: Path, folder: Path, known: dict[str, Any] | None, title: str) -> Scene:
    """The scene of a track that the visitor brought, beside their clip when there is one."""
    track, clip = store.read_track(file)
    assert clip is not None
    seconds = track.num_frames / track.fps
    track = replace(track, frame_ids=np.arange(track.num_frames, dtype=np.int64))  # it begins with the clip
    clip = replace(clip, fps=track.fps, end_frame=int(track.frame_ids[-1]) + 1, num_frames=track.num_frames)
    video = folder / "clip.mp4" if known else None
    known = known or {"rate": track.fps, "size": (0, 0), "seconds": seconds}
    origin = f"uploaded track ({track.provenance.get('form', 'canonical')}) · lifter: {track.lifter}"
    return make(title, origin, clip, track, video, known, folder=folder, others=(file,))
