"""What the server knows of one visitor, in memory only, and what it keeps of theirs on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import limits, scene, work
from demo.quiz import Quiz
from demo.sandbox import Refused
from demo.scene import Scene


@dataclass(eq=False)
class Visit:
    """A visitor's scene, conversation (turns by number) and quiz, and the folders that are theirs.

    Uploads are known by the path that gradio gives them: `uploads` has this visitor's own link to each that is still needed,
    `prepared` the folder of the copy that was made of it and what is known of that.  `lifting` is the newest lift that was started.
    """

    scene: Scene
    turns: dict[int, str] = field(default_factory=dict)
    game: Quiz | None = None
    asked_at: float = 0.0
    lifting: object = None
    folders: list[Path] = field(default_factory=list)
    uploads: dict[str, Path] = field(default_factory=dict)
    prepared: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)

    @staticmethod
    def of(known: Visit | None) -> Visit:
        """The visit so far, or that of somebody who has just come."""
        return known or Visit(scene.example(scene.FIRST))

    def turn_to(self, new: Scene) -> None:
        """Go on with another scene: what was said about the last one is over."""
        self.scene, self.turns, self.game = new, {}, None

    def say(self, turn: int, text: str) -> list[str]:
        """Put a turn of the conversation as it now is in its place; all that are kept, the newest first."""
        self.turns = dict(sorted((self.turns | {turn: text}).items(), reverse=True)[: limits.TURNS])
        return list(self.turns.values())

    def room(self, root: Path) -> Path:
        """A new folder of this visitor's own."""
        self.folders.append(work.room(root))
        return self.folders[-1]

    def copied(self, path: str) -> bool:
        """Whether the copy of an upload is there, so that the upload itself is not needed."""
        return path in self.prepared and (self.prepared[path][0] / "clip.mp4").is_file()

    def take(self, path: str, root: Path) -> Path:
        """This visitor's own link to an upload.  Raises Refused when there is no such file any more.

        Two who bring the same file share gradio's copy of it, and one of them may be done with it first.
        """
        if path not in self.uploads or not self.uploads[path].is_file():
            mine = self.room(root) / Path(path).name
            try:
                os.link(path, mine)
            except FileNotFoundError:
                raise Refused("This upload is no longer here; please choose the file again.") from None
            self.uploads[path] = mine
        return self.uploads[path]

    def give_back(self, path: str) -> None:
        """Delete an upload that is not needed any more, gradio's copy too, unless it is another's newer one."""
        mine = self.uploads.pop(path, None)
        if mine is None:
            return
        with suppress(OSError):
            if os.path.samefile(mine, path):
                os.unlink(path)
        work.drop([mine.parent])
        self.folders.remove(mine.parent)

    def forget(self) -> None:
        """Delete everything of this visitor from disk."""
        for path in list(self.uploads):
            self.give_back(path)
        work.drop(self.folders)
        self.folders.clear()
        self.prepared.clear()


def ended(visit: Visit | None) -> None:
    """What happens to a visit that is over."""
    if visit is not None:
        visit.forget()
