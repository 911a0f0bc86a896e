"""A cast of scripted people as clips and tracks: person k of a cast depends on the cast's identity and k alone."""

from __future__ import annotations

from collections.abc import Iterator

from builder.performer.scripts import Plan, draw_script
from builder.performer.stage import num_frames, perform, timeline
from builder.types import Clip, Track

FPS = 30.0


def cast_clips(source: str, identity: str, count: int, plan: Plan | None = None) -> Iterator[Clip]:
    """Clips of the first `count` people of a cast, in order of their number; a larger cast begins with the smaller one.

    What they do is drawn after `plan` (see `draw_script`).  Scripted people share nothing, so each is a leakage group of their own.
    """
    for person in range(count):
        clip_id = f"{source}/{identity}/{person:06d}"
        frames = num_frames(timeline(draw_script(source, identity, person, plan=plan)), FPS)
        yield Clip(
            clip_id=clip_id,
            source=source,
            sequence=f"{identity}/{person:06d}",
            fps=FPS,
            start_frame=0,
            end_frame=frames,
            num_frames=frames,
            group=clip_id,
            redistribution="open",
            meta={"identity": identity, "person": person},
        )


def cast_reference(clip: Clip, plan: Plan | None = None) -> list[Track]:
    """The one true track of a clip of `cast_clips` with that plan."""
    who = (clip.source, clip.meta["identity"], clip.meta["person"])
    return [perform(draw_script(*who, plan=plan), FPS, seed="/".join(map(str, who)), clip_id=clip.clip_id)]
