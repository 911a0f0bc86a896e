"""A person at the terminal: watches the named file in a player of their own, and types a letter.  `human=NAME` keeps people apart.

"?" is "I cannot tell" and counts as unreadable; Ctrl-C or the end of input stops, and the same command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from builder import prompts
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "A person's answers", "sees": "file"}


def load(checkpoint: str | None = None) -> Model:
    """A model that asks whoever sits here; `checkpoint` is their name, which goes into the run's config."""

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        print(f"\n{asked[0].system}\n\nWatch {watch.video}, then answer {len(asked)} questions; as often as you like.", flush=True)
        for prompt in asked:
            print(f"\n{prompt.text}", flush=True)
            yield prompt.reply(_letter(len(prompt.options)))

    return answer


def _letter(n: int) -> str:
    """The letter that is typed, or "" for "?"; asks again for anything else."""
    while True:
        print("> ", end="", flush=True)
        text = sys.stdin.readline()
        if not text:
            raise KeyboardInterrupt
        if text.strip() == "?":
            return ""
        if prompts.parse(text, n) is not None:
            return text.strip()
        print(f"a letter from A to {prompts.LETTERS[n - 1]}, or ? if you cannot tell")
