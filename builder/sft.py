"""Questions as conversations to learn from: what is shown and asked is what evaluation shows and asks, and the reply is what it parses.

Two kinds of reply: the answer alone, or a short reasoning from the deciding values with the answer last.  Nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from builder import plugins, prompts
from builder.rows import Item
from builder.types import CATEGORIES, DataError, RecipeError

REASONING = ("none", "short")
N = TypeVar("N", bound=Any)  # a frozen record of numbers: Tuning, or a plan
LONGEST_REPLY = {"none": 64, "short": 256}  # tokens that a model trained so may write


@dataclass(frozen=True)
class Chat:
    """One question as a conversation about one video."""

    id: str
    video_id: str
    video_path: str
    source: str
    category: str
    system: str
    user: str
    assistant: str


@dataclass(frozen=True)
class Tuning:
    """The numbers of a LoRA fine-tuning; the defaults are the published recipe's (r 16 on every linear layer, five epochs)."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    epochs: float = 5.0
    rate: float = 5e-5
    warmup: float = 0.1  # share of the steps
    batch: int = 2
    accumulate: int = 2
    save_every: int = 500  # optimiser steps between checkpoints, each of which is scored
    vision: int = 0  # 1: LoRA on the vision tower too
    checkpointing: int = 0  # 1: less memory, a third slower
    longest: int = 8192  # tokens of one conversation, the video's included
    seed: int = 0


def tuned(options: Iterable[tuple[str, Any]], start: N) -> N:
    """`start`, a record of numbers, with the named ones replaced, texts read as numbers.  Raises RecipeError."""
    out = start
    kinds = {f.name: type(getattr(out, f.name)) for f in fields(out) if isinstance(getattr(out, f.name), int | float)}
    for name, value in options:
        if name not in kinds:
            raise RecipeError(f"training number {name!r}: expected one of {', '.join(kinds)}")
        try:
            number = kinds[name](value)
        except (TypeError, ValueError):
            raise RecipeError(
                f"training number {name}={value}: expected {'a whole number' if kinds[name] is int else 'a number'}"
            ) from None
        if not (
            0 <= number < 1
            if name in ("dropout", "warmup")
            else number >= 0
            if name in ("seed", "vision", "checkpointing")
            else 0 < number < 1e9
        ):
            bounds = "from 0 to below 1" if name in ("dropout", "warmup") else "that is positive"
            raise RecipeError(f"training number {name}={value}: expected a number {bounds}")
        out = replace(out, **{name: number})
    return out


def chats(items: Sequence[Item], reasoning: str = "none") -> list[Chat]:
    """The conversations of these questions, in their order.  Raises DataError where a reply would not be read as the right answer."""
    return [chat(item, reasoning) for item in items]


def chat(item: Item, reasoning: str = "none") -> Chat:
    """One question as a conversation.  Raises DataError."""
    if reasoning not in REASONING:
        raise DataError(f"--reasoning {reasoning}: expected one of {', '.join(REASONING)}")
    q = item.question
    reply = prompts.target(q.answer, because(item) if reasoning == "short" else "")
    if prompts.parse(reply, len(q.options), q.options) != q.answer:
        raise DataError(f"question {q.id}: the reply to learn, {reply!r}, would not be read as its answer {prompts.LETTERS[q.answer]}")
    return Chat(
        id=q.id,
        video_id=item.video_id,
        video_path=item.video_path,
        source=item.source,
        category=q.category,
        system=prompts.SYSTEM,
        user=prompts.render(q.text, q.options),
        assistant=reply,
    )


def because(item: Item) -> str:
    """The short reasoning to a question of ours, from its evidence.  Raises DataError for questions that come without any."""
    q = item.question
    if not q.evidence or q.category not in CATEGORIES:
        raise DataError(f"question {q.id}: reasoning needs the deciding values of a question of this project; use --reasoning none")
    text: str = plugins.load("questions", q.category).explain(q)
    return text
