"""The dataset's own tracks: what a source gives through `reference(clip)`, unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from builder.types import Clip, Track

ABOUT = {"title": "Ground truth of the source", "licence": "as the source", "needs": "a source with reference()"}


def load(reference: Callable[[Clip], Sequence[Track]]) -> Callable[[Clip], list[Track]]:
    """A lifter that returns the source's own tracks of a clip; `reference` is the source's function of that name."""
    return lambda clip: list(reference(clip))
