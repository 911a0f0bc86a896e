"""The track answers: each question's own program, put to a track instead of to the one that made the question.

On the true tracks it is right by construction; on lifted ones it measures what lifting costs in points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from builder import motion, plugins, prompts
from builder import recipe as recipes
from builder.quantities import Measures
from builder.types import CATEGORIES, Track
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "The question's own program on the track; no video model", "sees": "track", "needs": ("recipe",)}


def load(checkpoint: str | None = None, recipe: str = "default") -> Model:
    """A model that reads `watch.tracks`; `recipe` made the questions, `checkpoint` names another one or its file."""
    thresholds = recipes.load(checkpoint or recipe)

    @lru_cache(maxsize=8)
    def measured(track: Track) -> Measures:
        return Measures(motion.describe(track, thresholds), thresholds)

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            q = prompt.question
            track = watch.tracks.get(q.person_id)
            if track is None or q.category not in CATEGORIES:
                yield prompt.reply("No track.", "error")
                continue
            text = plugins.load("questions", q.category).answer(q, measured(track))
            if text in prompt.options:
                yield prompt.reply(f"{prompts.target(prompt.options.index(text))}. {text}")
            else:
                yield prompt.reply("The track does not decide this." if text is None else f"{text}, which is not among the options.")

    return answer
