"""Per clip: ask every family, keep what survives doubt, and choose a varied few per category."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from heapq import heapify, heappop, heapreplace
from types import ModuleType

from builder import motion, plugins
from builder.families import Decision
from builder.quantities import Measures
from builder.recipe import Recipe
from builder.robustness import Copies
from builder.types import Motion, Question, Track

NEEDS = ("CATEGORY", "decide", "ask", "answer", "explain", "recompute")


def families() -> dict[str, ModuleType]:
    """Every question family by name."""
    return {name: plugins.load("questions", name, NEEDS) for name in plugins.names("questions")}


def questions_of(track: Track, recipe: Recipe, robust: bool = True) -> tuple[Motion, list[Question]]:
    """The motion of a track and its robust questions, at most `recipe.questions.pool` of each category, sorted by id.

    `robust=False` takes them as they are asked, whether or not they survive doubt: what the filter is compared with.
    """
    sampled = motion.sample(track, recipe)
    described = motion.segment(sampled, recipe)
    copies, measures = Copies(sampled, recipe) if robust else None, Measures(described, recipe)
    kept: list[Question] = []
    for family in families().values():
        kept += _choose(family.decide(described, recipe, measures), copies, recipe.questions.pool)
    return described, sorted(kept, key=lambda q: q.id)


def _choose(candidates: list[Decision], copies: Copies | None, most: int) -> list[Question]:
    """Robust questions, taken so that templates, answers and quantities repeat as little as possible; ids break ties."""
    kept: list[Question] = []
    templates, answers, quantities, windows = (defaultdict[str, int](int) for _ in range(4))
    queue = [(0, 0, one.id, one) for one in candidates]
    heapify(queue)
    while queue and len(kept) < most:
        told, asked, id_, best = queue[0]
        now = templates[best.template] + answers[best.answer_text], quantities[best.quantity] + windows[best.window]
        if now > (told, asked):  # these numbers only grow, so the first whose place is still right is the least of all
            heapreplace(queue, (*now, id_, best))
            continue
        heappop(queue)
        robustness = 1.0 if copies is None else copies.agreement(best, Decision.answered_by)
        question = best.question() if robustness > 0 else None
        if question is not None:
            kept.append(replace(question, robustness=robustness))
            templates[best.template] += 1
            answers[best.answer_text] += 1
            quantities[best.quantity] += 1
            windows[best.window] += 1
    return kept
