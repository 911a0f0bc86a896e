"""The track reader: a network of about a million weights that reads the person's track and the question's words, never the pixels.

`track_reader` is the one that comes with the package, `track_reader=FILE` another that `humanmovevqa train --model track_reader` has made.
`--option blind=1` hides the track from it: what it knows without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from builder import motion, prompts, reader, recipe, store, told
from builder.types import SetupError, Track
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Track reader: a small network that reads the track, not the pixels", "sees": "track"}
PACKAGED = Path(__file__).resolve().parent / "track_reader.safetensors"


def load(checkpoint: str | None = None, blind: str = "") -> Model:
    """The reader in the file `checkpoint`.  Raises SetupError where torch or the file is missing, DataError for another file."""
    if blind not in ("", "0", "1"):
        raise SetupError(f"--option blind={blind}: expected 0 or 1")
    try:
        import torch
    except ImportError as error:
        raise SetupError(f"the track reader needs torch ({error}); run: pip install 'humanmovevqa[models]'") from None
    path = Path(checkpoint) if checkpoint else PACKAGED
    net, words, _ = reader.load(path)
    thresholds = recipe.load("default")

    @lru_cache(maxsize=8)
    def tables(track: Track) -> told.Told:
        return told.told(motion.describe(track, thresholds), thresholds)

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for person in sorted({p.question.person_id for p in asked}):
            here = [p for p in asked if p.question.person_id == person]
            track = watch.tracks.get(person)
            if track is None:
                yield from (p.reply("No track.", "error") for p in here)
                continue
            seen = told.hidden(tables(track)) if blind == "1" else tables(track)
            with torch.inference_mode():
                scores = reader.choose(net, words, seen, [(p.question.text, p.options) for p in here])
            for prompt, row in zip(here, scores, strict=True):
                yield prompt.reply(prompts.target(max(range(len(row)), key=row.__getitem__)), scores=tuple(row))

    answer.identity = {"file": store.file_digest(path)[:16]}  # type: ignore[attr-defined]
    return answer
