"""Another lifter's tracks, its people named by their clothes, which a captioner is asked about; alone in view nobody needs a name.

`build --captioner CHECKPOINT|URL` sets this up.  The tracks, and so what everybody wears, are kept in the work folder as any lifter's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from builder import captioner as captioners
from builder import clothing, lifting, plugins, portraits
from builder.types import Clip, SetupError, Track

ABOUT = {
    "title": "Another lifter's people, named by their clothes",
    "licence": "as the other lifter and the captioner",
    "needs": "build --captioner CHECKPOINT|http://HOST/v1#MODEL, or option captioner= with lifter=NAME and that lifter's options",
}
FIRST_FRAME = "video_start_frame"  # of a clip's meta: the source frame that its video begins with, where that is not 0


def load(captioner: str, lifter: str = "", code: str = "", **options: str) -> Callable[[Clip], list[Track]]:
    """A lifter that takes `lifter`'s tracks ("" for each source's usual one) and its options, and asks `captioner` for clothes.

    Words are used where they single a person out in that clip; else the place or role that the lifter gave stands.  The captioner's
    weights are loaded with the first clip of several people.  `code` is a digest of all the code at work, so that a change of it lifts
    again.  Raises SetupError.
    """
    needed(captioner)

    def lift(clip: Clip) -> list[Track]:
        found, first_frame = _inner(clip, lifter, options)
        tracks = lifting.sort(found)
        if len(tracks) < 2 or clip.video is None:
            return tracks
        pictures = portraits.portraits(Path(clip.video), tracks, first_frame)
        said = [_loaded(captioner)(own) if own else [] for own in pictures]
        worn = [clothing.agreed(captions) for captions in said]
        out = []
        for track, name, captions in zip(tracks, clothing.singled_out(worn), said, strict=True):
            notes = {**track.provenance, "captioner": captioner.rpartition("/")[2], "captions": captions}
            out.append(replace(track, referent=name or track.referent, provenance=notes))
        return out

    return lift


def needed(name: str) -> None:
    """Raise SetupError for a captioner that cannot be one."""
    if not name:
        raise SetupError("option captioner: expected a checkpoint, such as Salesforce/blip2-opt-2.7b, or http://HOST/v1#MODEL")
    captioners.need_form(name)


@cache
def _loaded(name: str) -> captioners.Captioner:
    return captioners.load(name)


def _inner(clip: Clip, lifter: str, options: dict[str, str]) -> tuple[list[Track], int]:
    """The other lifter's tracks, and which of their frame numbers the video begins with.

    A lifter that sees the video numbers its frames from 0; a source's own truth is asked for, and answers, by the source's numbers.
    """
    name = lifting.lifter_of(clip, lifter)
    if name != lifting.TRUTH:
        return lifting.load(name, options)(clip), 0
    source = plugins.load("sources", clip.source, ("reference",))
    first = int(clip.meta.get(FIRST_FRAME, 0))
    own = replace(clip, start_frame=clip.start_frame + first, end_frame=clip.end_frame + first)
    return list(plugins.load("lifters", lifting.TRUTH, ("load",)).load(reference=source.reference)(own)), first
