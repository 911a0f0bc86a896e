"""What the server knows of one visitor, in memory only, and what it keeps of theirs on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import scene, work
from demo.quiz import Quiz
from demo.scene import Scene


@dataclass(eq=False)
class Visit:
    """A visitor's scene, conversation and quiz.  `prepared`: what is known of the copy that was made of each upload."""

    scene: Scene
    turns: list[str] = field(default_factory=list)
    game: Quiz | None = None
    asked_at: float = 0.0
    folders: list[Path] = field(default_factory=list)
    prepared: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)

    @staticmethod
    def of(known: Visit | None) -> Visit:
        """The visit so far, or that of somebody who has just come."""
        return known or Visit(scene.example(scene.FIRST))

    def turn_to(self, new: Scene) -> None:
        """Go on with another scene: what was said about the last one is over."""
        self.scene, self.turns, self.game = new, [], None

    def room(self, root: Path) -> Path:
        """A new folder of this visitor's own."""
        self.folders.append(work.room(root))
        return self.folders[-1]

    def forget(self) -> None:
        """Delete everything of this visitor from disk."""
        work.drop(self.folders)
        self.folders.clear()
        self.prepared.clear()


def ended(visit: Visit | None) -> None:
    """What happens to a visit that is over."""
    if visit is not None:
        visit.forget()
