"""The quiz: one question of each category about this clip, what was answered, and the score that guessing does not move."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from builder.types import CATEGORIES, Question
from demo.speech import Said


@dataclass(frozen=True)
class Answered:
    """One question with the visitor's choice, the seconds it took them and, where a model was asked too, what that says."""

    question: Question
    choice: int
    seconds: float
    model: Said | None = None


@dataclass(frozen=True)
class Quiz:
    """The questions in the order in which they are asked, and those answered so far."""

    questions: tuple[Question, ...]
    answered: tuple[Answered, ...] = field(default=())

    @property
    def current(self) -> Question | None:
        """The question that is next, None at the end."""
        return self.questions[len(self.answered)] if len(self.answered) < len(self.questions) else None

    def answer(self, given: Answered) -> Quiz:
        """The quiz after one more answer."""
        return replace(self, answered=(*self.answered, given))


def make(questions: Iterable[Question]) -> Quiz:
    """One robust question of each category; which of them follows from their ids, so the same clip gives the same quiz.

    Questions about nothing (a count of none, a movement that is absent) stand back: few people enjoy them.
    """
    chosen = []
    for category in CATEGORIES:
        own = sorted((q for q in questions if q.category == category), key=lambda q: (_dull(q), hashlib.sha256(q.id.encode()).digest()))
        chosen += own[:1]
    return Quiz(tuple(chosen))


def _dull(question: Question) -> bool:
    return question.answer_text in ("0", "No", "Neither", "Hardly at all (less than 45 degrees)") or question.template.endswith("_never")


def normalised(results: Sequence[tuple[bool, int]]) -> float:
    """Mean of (right - 1/k) / (1 - 1/k) over (right, k options), times 100: 0 is guessing, 100 all right."""
    if not results:
        return 0.0
    return 100.0 * sum((right - 1 / k) / (1 - 1 / k) for right, k in results) / len(results)


def models(answered: Sequence[Answered]) -> list[tuple[str, int, int, float]]:
    """(name, right, asked, chance-normalised points) of each model that has answered; a reply that names no option is wrong."""
    out = []
    for name in dict.fromkeys(a.model.label for a in answered if a.model and a.model.done):
        given = [(a.model.choice == a.question.answer, len(a.question.options)) for a in answered if a.model and a.model.label == name]
        out.append((name, sum(right for right, _ in given), len(given), normalised(given)))
    return out


def score(answered: Sequence[Answered]) -> tuple[int, float]:
    """(how many are right, chance-normalised points) of the visitor."""
    results = [(a.choice == a.question.answer, len(a.question.options)) for a in answered]
    return sum(right for right, _ in results), normalised(results)
