"""The clips of sources whose videos may be shared: as files of the repo, and in the column `video` of the rows that ask about them.

videos/<video_path>                          the clips, so that `videos/` is a video folder
<source>/<split>-00000-of-0000N.parquet      `video` is {"bytes": null, "path": "hf://datasets/<repo>/videos/<video_path>"} where
                                             that file is in the repo, else null

No bytes stand in the rows: many questions share a clip, and who only reads questions fetches none.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from builder import clip_files, export, schema
from builder.hub.repo import HubError

CLIP = re.compile(rf"{schema.CLIPS}/(?P<source>\w+)(/[\w.-]+)+\.mp4")
COLUMN = "video"

is_open = clip_files.is_open


def found(source: str, split: str, files: Sequence[Path], root: Path | None) -> dict[str, Path]:
    """Path in the repo -> clip, of one open source and split whose questions are in `files`.  Raises HubError for a missing clip."""
    if not is_open(source):
        raise HubError(f"source {source}: its videos may not be shared")
    clips = clip_files.wanted(export.rows(files, clip_files.Wanted._fields))
    bad = [f for f in clip_files.check(clips, root) if f.verdict != clip_files.FOUND]
    if bad:
        raise HubError(
            f"--with-videos: {len(bad)} clips of {source}/{split} are not at hand, the first: {bad[0].clip.video_path}: {bad[0].detail}"
        )
    places = {clip.video_path: clip_files.place(clip.video_path, root) for clip in clips}
    return {f"{schema.CLIPS}/{path}": place for path, place in places.items() if place is not None}


def playing(file: Path, source: str, repo: str, clips: Collection[str]) -> Path | bytes:
    """A Parquet file of rows for the repo OWNER/NAME that holds `clips` (paths in it): the file itself where it says so already."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pq.read_table(file, columns=[COLUMN, "video_path"])
    there = clips if is_open(source) else ()
    wanted = [schema.clip_on_hub(repo, path) if f"{schema.CLIPS}/{path}" in there else None for path in column["video_path"].to_pylist()]
    if column[COLUMN].to_pylist() == wanted:
        return file
    table = pq.read_table(file)
    place = table.schema.get_field_index(COLUMN)
    table = table.set_column(place, table.schema.field(place), pa.array(wanted, table.schema.field(place).type))
    out = io.BytesIO()
    export.parquet((table.slice(at, export.ROWS_PER_GROUP) for at in range(0, len(table), export.ROWS_PER_GROUP)), out)
    return out.getvalue()
