"""Per clip: ask every family, keep what survives doubt, and choose a varied few per category."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import ModuleType

from builder import motion, plugins
from builder.quantities import Measures
from builder.recipe import Recipe
from builder.robustness import Copies
from builder.types import Motion, Question, Track

NEEDS = ("CATEGORY", "ask", "answer", "explain", "recompute")


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
        kept += _choose(family, family.ask(described, recipe, measures), copies, recipe.questions.pool)
    return described, sorted(kept, key=lambda q: q.id)


def _choose(family: ModuleType, candidates: list[Question], copies: Copies | None, most: int) -> list[Question]:
    """Robust questions, taken so that templates, answers and quantities repeat as little as possible; ids break ties."""
    kept: list[Question] = []
    used: Counter[tuple[str, str]] = Counter()
    queue = sorted(candidates, key=lambda q: q.id)
    while queue and len(kept) < most:
        best = min(
            queue,
            key=lambda q: (
                used["template", q.template] + used["answer", q.answer_text],
                used["quantity", q.quantity] + used["window", q.window],
                q.id,
            ),
        )
        queue.remove(best)
        robustness = 1.0 if copies is None else copies.agreement(best, family.answer)
        if robustness > 0:
            kept.append(replace(best, robustness=robustness))
            for key in (("template", best.template), ("answer", best.answer_text), ("quantity", best.quantity), ("window", best.window)):
                used[key] += 1
    return kept
