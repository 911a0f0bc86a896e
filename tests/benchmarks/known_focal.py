"""A source for measurements: filmed people whose camera stays in one place, with the focal length told, as a phone's metadata would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from builder import plugins
from builder.types import Clip

SYNTHETIC = plugins.load("sources", "synthetic")
ABOUT = SYNTHETIC.ABOUT
KINDS = ("static", "panning")


def clips(root: str) -> Iterator[Clip]:
    """The static and panning clips of `synthetic=ROOT`, with `focal_px` in their meta."""
    for clip in SYNTHETIC.clips(root):
        if clip.meta["camera_kind"] in KINDS:
            (truth,) = SYNTHETIC.reference(clip)
            yield replace(clip, meta={**clip.meta, "focal_px": float(truth.extra["camera_matrix"][0, 0])})
