"""How many events and answers change when the lifter, and not the truth, says how a person moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from builder import selection, store
from builder.motion import CHANNEL_OF
from builder.quantities import Measures
from builder.recipe import Recipe
from builder.types import Event, Motion, Question, Track

OVERLAP = 0.3  # of the shorter of two events, for them to be the same movement


class Answered(NamedTuple):
    """A question made from the lifted track, and the answer text that the truth gives to it: None when it does not form there."""

    question: Question
    truth: str | None

    @property
    def agrees(self) -> bool:
        """Whether the truth gives the published answer; a question that the truth does not form is wrong, not left out."""
        return self.truth == self.question.answer_text


def answered(lifted: Track, truth: Motion, recipe: Recipe, robust: bool = True) -> list[Answered]:
    """The questions that would be published of a lifted track, answered by the truth: at most `per_category` each, in order of id.

    `robust=False` asks without the robustness filter and is otherwise the same.
    """
    measures, families = Measures(truth, recipe), selection.families()
    asked: Counter[str] = Counter()
    out = []
    for question in selection.questions_of(lifted, recipe, robust)[1]:
        asked[question.category] += 1
        if asked[question.category] <= recipe.questions.per_category:
            out.append(Answered(question, families[question.category].answer(question, measures)))
    return out


def tally(found: Sequence[Answered], by: str) -> dict[str, list[int]]:
    """[agreeing, asked] by the questions' field of that name."""
    out: dict[str, list[int]] = {}
    for one in found:
        cell = out.setdefault(getattr(one.question, by), [0, 0])
        cell[0] += one.agrees
        cell[1] += 1
    return dict(sorted(out.items()))


def disagreements(found: Sequence[Answered]) -> list[dict[str, Any]]:
    """The questions whose answer the truth does not give, JSON-ready, with the truth's answer as `truth` (None: does not form)."""
    return [store.to_json(one.question) | {"lifted": one.question.answer_text, "truth": one.truth} for one in found if not one.agrees]


def events(lifted: Motion, truth: Motion) -> dict[str, dict[str, Any]]:
    """Per channel or named movement: events `found`, `true` ones, those `matched`, and the matched ones' `onset_s` differences.

    Events match one to one, within code and direction, so that their common time is as long as can be.
    """
    out: dict[str, dict[str, Any]] = {}
    for direction in sorted({e.direction for e in (*lifted.events, *truth.events)}):
        ours, theirs = ([e for e in m.events if e.direction == direction] for m in (lifted, truth))
        cell = out.setdefault(
            CHANNEL_OF[direction][0] if direction in CHANNEL_OF else direction, {"found": 0, "true": 0, "matched": 0, "onset_s": []}
        )
        same = _matched(ours, theirs)
        cell["found"] += len(ours)
        cell["true"] += len(theirs)
        cell["matched"] += len(same)
        cell["onset_s"] += [round((a.start_frame - b.start_frame) / truth.fps, 3) for a, b in same]
    return out


def _matched(ours: Sequence[Event], theirs: Sequence[Event]) -> list[tuple[Event, Event]]:
    from scipy.optimize import linear_sum_assignment

    if not ours or not theirs:
        return []
    common = np.array([[min(a.end_frame, b.end_frame) - max(a.start_frame, b.start_frame) for b in theirs] for a in ours])
    shorter = np.array([[min(a.end_frame - a.start_frame, b.end_frame - b.start_frame) for b in theirs] for a in ours])
    enough = common >= OVERLAP * shorter
    rows, columns = linear_sum_assignment(np.where(enough, common, 0), maximize=True)
    return [(ours[i], theirs[j]) for i, j in zip(rows, columns, strict=True) if enough[i, j]]
