"""Guesses: every option with the same probability, the same guess for the same question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from builder import prompts
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Uniform guessing", "sees": "nothing"}


def load(checkpoint: str | None = None, seed: str = "0") -> Model:
    """A guesser; `seed` gives other guesses, `checkpoint` is not used."""

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            number = int.from_bytes(hashlib.sha256(f"{seed}|{prompt.key}".encode()).digest()[:8], "big")
            yield prompt.reply(prompts.target(number % len(prompt.options)))

    return answer
