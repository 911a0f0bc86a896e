"""Who can be asked beside the track, whether they can be asked here, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from builder.asking import Reply
from builder.types import Question
from demo.scene import Scene

TRACK = "geometry"


@dataclass(frozen=True)
class Answerer:
    """A choice in the list: its name, how the page calls it, and the reason why it cannot be asked ("" when it can)."""

    name: str
    label: str
    why_not: str = ""


def choices() -> list[Answerer]:
    """Everybody who could be asked, those who cannot be with the reason."""
    return [Answerer(TRACK, "the track alone (geometry, not a model)")]


def stream(name: str, said: Reply, shown: Scene) -> Iterator[dict[str, Any]]:
    """What an answerer says to a question, as it says it: {"label", "text", "detail", "agrees"}; nothing for the track itself."""
    return iter(())


def choose(name: str, question: Question, shown: Scene) -> tuple[str, int | None]:
    """(label, choice) of an answerer for a multiple-choice question; ("", None) for the track itself, which made the question."""
    return "", None
