"""Replies that were given before, by question id: `replay=RUN` or `replay=FILE.jsonl`, to score old replies on today's rows.

A line needs `question_id` (or `id`) and `reply` (or `response`, `prediction`, `resps`); questions without a reply stay unanswered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder import runs
from builder.types import DataError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Replies given before", "sees": "nothing"}
IDS, TEXTS = ("question_id", "id", "qid"), ("reply", "response", "prediction", "output")


def load(checkpoint: str | None = None) -> Model:
    """A model that repeats the replies in the run folder or JSON-lines file `checkpoint`.  Raises DataError."""
    if not checkpoint:
        raise DataError("model replay: expected replay=RUN or replay=FILE.jsonl")
    path = Path(checkpoint)
    files = runs.sample_files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: expected samples.jsonl, found none")
    known: dict[str, tuple[str, str]] = {}
    for file in files:
        for number, line in enumerate(_lines(file), start=1):
            try:
                record = json.loads(line)
                name = next(str(record[k]) for k in IDS if k in record)
                text = next(str(record[k]) for k in TEXTS if k in record)
            except (ValueError, TypeError, StopIteration):
                raise DataError(f"{file}, line {number}: expected one of {', '.join(IDS)} and one of {', '.join(TEXTS)}") from None
            rotation = record.get("rotation", 0)
            known.setdefault(f"{name}#{rotation}" if rotation else name, (text, str(record.get("finish", "stop"))))

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            if prompt.key in known:
                yield prompt.reply(*known[prompt.key])

    return answer


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from None
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]
