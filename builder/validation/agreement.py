"""How many events and answers change when the lifter, and not the truth, says how a person moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder import geometry, selection
from builder.motion import CHANNEL_OF, describe
from builder.quantities import Measures
from builder.recipe import Recipe
from builder.types import Event, Motion, Question, Track, TrackError

OVERLAP = 0.3  # of the shorter of two events, for them to be the same


@dataclass(frozen=True)
class Answered:
    """One question made from the lifted track and what the truth says to it (None: it does not even form there)."""

    question: Question
    truth: str | None

    @property
    def agrees(self) -> bool:
        """Whether the truth gives the published answer."""
        return self.truth == self.question.answer_text


def answers(lifted: Track, truth: Track, recipe: Recipe, robust: bool = True) -> list[Answered]:
    """The questions of a lifted track, answered by the truth; at most `per_category` of each category, as they are published.

    `robust=False` leaves the robustness filter out and is otherwise the same.
    """
    measures = Measures(describe(truth, recipe), recipe)
    families = selection.families()
    kept: list[Answered] = []
    count: Counter[str] = Counter()
    for question in selection.questions_of(lifted, recipe, robust)[1]:
        count[question.category] += 1
        if count[question.category] <= recipe.questions.per_category:
            kept.append(Answered(question, families[question.category].answer(question, measures)))
    return kept


def events(lifted: Motion, truth: Motion) -> dict[str, dict[str, int]]:
    """Per channel and direction pair: events `found` in the lifted motion, `true` ones, and `matched` one to one."""
    out: dict[str, dict[str, int]] = {}
    for direction in sorted({e.direction for e in (*lifted.events, *truth.events)}):
        ours, theirs = ([e for e in m.events if e.direction == direction] for m in (lifted, truth))
        code = CHANNEL_OF[direction][0] if direction in CHANNEL_OF else direction
        tally = out.setdefault(code, {"found": 0, "true": 0, "matched": 0})
        tally["found"] += len(ours)
        tally["true"] += len(theirs)
        tally["matched"] += _matched(ours, theirs)
    return out


def _matched(ours: Sequence[Event], theirs: Sequence[Event]) -> int:
    left = list(theirs)
    for event in ours:
        same = next((other for other in left if _overlap(event, other) >= OVERLAP), None)
        if same is not None:
            left.remove(same)
    return len(theirs) - len(left)


def _overlap(a: Event, b: Event) -> float:
    common = min(a.end_frame, b.end_frame) - max(a.start_frame, b.start_frame)
    return common / max(1, min(a.end_frame - a.start_frame, b.end_frame - b.start_frame))


def rates(answered: Sequence[Mapping[str, Any]]) -> tuple[float | None, dict[str, float]]:
    """Share of agreeing answers in records with `category` and `agrees`: overall, and per category."""
    total = Counter(a["category"] for a in answered)
    right = Counter(a["category"] for a in answered if a["agrees"])
    by = {category: round(right[category] / total[category], 4) for category in sorted(total)}
    return (round(sum(right.values()) / sum(total.values()), 4) if total else None), by


def window_of(lifted: Track, truth: Track) -> Track:
    """The truth cut to the source frames that the lifted track covers, so that the quarters of both are the same time."""
    rows = np.flatnonzero((truth.frame_ids >= lifted.frame_ids[0]) & (truth.frame_ids <= lifted.frame_ids[-1]))
    if len(rows) < 2:
        raise TrackError(f"track {lifted.clip_id}/{lifted.person_id}: no frames in common with the truth, so nothing can be compared")
    return geometry.crop(truth, int(rows[0]), int(rows[-1]) + 1)
