"""The clips of sources whose videos may be shared, for a dataset's page: files, and rows in which they play.

videos/<video_path>                                 the clips, so that `videos/` is a video folder
videos/<source>/<split>-00000-of-0000N.parquet      the config `videos`: one row per clip, its bytes in a `Video` column
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import clip_files
from builder.card import VIDEOS
from builder.hub.repo import HubError
from builder.store import file_digest
from builder.types import HumanMoveError

if TYPE_CHECKING:
    import datasets

PARQUET = re.compile(rf"{VIDEOS}/(?P<source>\w+)/(?P<split>\w+(\.\w+)*)-\d{{5}}-of-\d{{5}}\.parquet")
CLIP = re.compile(rf"{VIDEOS}/\w+(/[\w.-]+)+\.mp4")
SHARD_BYTES = 256_000_000
ROWS_PER_GROUP = 8  # a page shows rows a group at a time
FOLDER = "open-clips-"

is_open = clip_files.is_open


def features() -> datasets.Features:
    """The columns of the config `videos`; `video` comes first so that the page shows it."""
    from datasets import Features, List, Value, Video

    text, number = Value("string"), Value("int32")
    about = {"video_id": text, "video_path": text, "source": text, "sequence": text, "fps": Value("float64")}
    size = {"num_frames": number, "width": number, "height": number, "sha256": text, "num_questions": number}
    example = {"example_question": text, "example_options": List(text), "example_answer": text}
    return Features({"video": Video(), **about, **size, **example})


@contextmanager
def room() -> Iterator[Path]:
    """A folder for what is made only to be sent."""
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        yield Path(folder)


def listing(paths: Iterable[str]) -> dict[str, list[str]]:
    """Split -> the Parquet of playable clips among `paths`: what the card lists as the config `videos`."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        if match := PARQUET.fullmatch(path):
            found.setdefault(match["split"], []).append(path)
    return {split: found[split] for split in sorted(found, key=lambda s: (s != "train", s != "validation", s != "test", s))}


def stage(source: str, split: str, files: Sequence[Path], root: Path | None, room: Path) -> dict[str, Path]:
    """Path in the repo -> file, of one open source and split whose questions are in `files`.  Raises HubError for a missing clip."""
    import pyarrow.parquet as pq

    if not is_open(source):
        raise HubError(f"source {source}: its videos may not be shared")
    columns = ["id", "video_id", "video_path", "source", "sequence", "fps", "num_frames", "question", "options", "answer_text"]
    rows = [row for file in files for row in pq.read_table(file, columns=columns).to_pylist()]
    bad = [f for f in clip_files.check(clip_files.wanted(rows), root) if f.verdict != clip_files.FOUND]
    if bad:
        raise HubError(
            f"--with-videos: {len(bad)} clips of {source}/{split} are not at hand, the first: {bad[0].clip.video_path}: {bad[0].detail}"
        )
    clips: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        clips.setdefault(row["video_path"], []).append(row)
    found = {path: _need(clip_files.place(path, root)) for path in sorted(clips)}
    shards = _shards([(path, found[path].stat().st_size) for path in found])
    out = {f"{VIDEOS}/{path}": file for path, file in found.items()}
    for n, names in enumerate(shards):
        name = f"{VIDEOS}/{source}/{split}-{n:05d}-of-{len(shards):05d}.parquet"
        out[name] = room / name.replace("/", "__")
        _write(out[name], [_row(clips[path], found[path]) for path in names])
    return out


def _need(path: Path | None) -> Path:
    assert path is not None  # `check` has found it
    return path


def _shards(sizes: Sequence[tuple[str, int]]) -> list[list[str]]:
    out: list[list[str]] = [[]]
    full = 0
    for path, size in sizes:
        if out[-1] and full + size > SHARD_BYTES:
            out.append([])
            full = 0
        out[-1].append(path)
        full += size
    return out


def _row(questions: Sequence[Mapping[str, Any]], file: Path) -> dict[str, Any]:
    """The row of a clip, with the first of its questions by id as an example."""
    from builder import video

    one = min(questions, key=lambda q: q["id"])
    try:
        info = video.probe(file)
    except HumanMoveError as error:
        raise HubError(f"--with-videos: {error}") from None
    return {
        "video": {"bytes": file.read_bytes(), "path": file.name},
        **{name: one[name] for name in ("video_id", "video_path", "source", "sequence", "fps", "num_frames")},
        "width": info.width,
        "height": info.height,
        "sha256": file_digest(file),
        "num_questions": len(questions),
        "example_question": one["question"],
        "example_options": list(one["options"]),
        "example_answer": one["answer_text"],
    }


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Parquet with the `datasets` features in its metadata; the same clips give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows, schema=features().arrow_schema)
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, compression="none", use_content_defined_chunking=True, write_page_index=True)
