"""The build's own blind solvers: what questions and options give away to somebody who learnt from the train split.

`blind` answers by category priors, `blind=second` by words of question and option (`builder/priors.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder import priors, prompts
from builder.types import Question, SetupError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Text priors learnt from the train split; no video", "sees": "text", "needs": ("train",)}


def load(checkpoint: str | None = None, train: Sequence[Question] = ()) -> Model:
    """The solver named by `checkpoint`, taught `train`.  Raises SetupError."""
    if (checkpoint or "priors") not in priors.SOLVERS:
        raise SetupError(f"model blind={checkpoint}: expected one of {', '.join(priors.SOLVERS)}")
    solve = priors.SOLVERS[checkpoint or "priors"]

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt, choice in zip(asked, solve(train, [p.question for p in asked]), strict=True):
            yield prompt.reply(prompts.target(choice))

    return answer
