"""Always the same letter: what the place of the answers alone is worth.  `constant=B` says B; the default is A."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder import prompts
from builder.types import SetupError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Always the same letter", "sees": "nothing"}


def load(checkpoint: str | None = None) -> Model:
    """A model that replies with the letter `checkpoint`.  Raises SetupError for what is no letter."""
    letter = (checkpoint or "A").upper()
    if len(letter) != 1 or letter not in prompts.LETTERS:
        raise SetupError(f"model constant={checkpoint}: expected a letter from A to {prompts.LETTERS[-1]}")

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            yield prompt.reply(prompts.target(prompts.LETTERS.index(letter)))

    return answer
