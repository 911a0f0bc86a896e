"""What is in the Parquet of a dataset, as far as publishing has to know: rows, ids, clips and categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import export, schema
from builder.hub.repo import HubError
from builder.types import CATEGORIES

Unit = tuple[str, str]  # source and split


@dataclass(frozen=True, eq=False)
class Content:
    """The rows of one source and split: ids, clips, and the number of questions per category."""

    ids: frozenset[str]
    clips: frozenset[str]
    counts: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Number of questions."""
        return sum(self.counts.values())


def units(paths: Iterable[str]) -> dict[Unit, list[str]]:
    """(source, split) -> its shards, sorted; other paths are left out."""
    found: dict[Unit, list[str]] = {}
    for path in sorted(paths):
        if match := export.DATA_FILE.fullmatch(path):
            found.setdefault((match["config"], match["split"]), []).append(path)
    return found


def content(files: Iterable[Path], where: str) -> Content:
    """What some shards hold.  Raises HubError when their columns are not those of today's rows, or an id comes twice."""
    import pyarrow.parquet as pq
    from datasets import Features

    ids: list[str] = []
    clips: set[str] = set()
    counts: Counter[str] = Counter()
    for file in files:
        if Features.from_arrow_schema(pq.read_schema(file)) != schema.features():
            raise HubError(f"{where}: its columns are not those of this version's rows; build everything again and push without --split")
        table = pq.read_table(file, columns=["id", "video_id", "category"])
        ids += table["id"].to_pylist()
        clips.update(table["video_id"].to_pylist())
        counts.update(table["category"].to_pylist())
    if len(set(ids)) != len(ids):
        raise HubError(f"{where}: the id {Counter(ids).most_common(1)[0][0]} comes twice; build the dataset again")
    return Content(frozenset(ids), frozenset(clips), {c: counts[c] for c in CATEGORIES if counts[c]})


def need_apart(contents: Mapping[Unit, Content]) -> None:
    """Raise HubError when two parts share a question, or two splits a clip: what is trained on must not be tested on."""
    seen: dict[str, Unit] = {}
    split_of: dict[str, Unit] = {}
    for unit, found in sorted(contents.items()):
        for one in sorted(found.ids):
            if one in seen:
                raise HubError(f"question {one} would be in {'/'.join(seen[one])} and in {'/'.join(unit)}; push both from one build")
            seen[one] = unit
        for clip in sorted(found.clips):
            if split_of.setdefault(clip, unit)[1] != unit[1]:
                raise HubError(
                    f"clip {clip} would be in {'/'.join(split_of[clip])} and in {'/'.join(unit)}: a split must not leak into another; "
                    "push both from one build"
                )
