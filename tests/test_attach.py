"""A video column from clips on this machine: map-style and streaming, present and missing, with and without torchcodec."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from fixture_hub import relist, rows

import humanmovevqa
from builder import clip_files, schema
from builder.rows import SAMPLE, read
from builder.types import DataError, SetupError

THERE = [r["video_path"] for r in rows("emdb", "test", 6)][::3][:1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video folder with the first of the two clips that `table` asks about."""
    monkeypatch.delenv(clip_files.VARIABLE, raising=False)
    clip = next(iter(clip_files.packaged().values()))
    for path in THERE:
        (tmp_path / "videos" / path).parent.mkdir(parents=True)
        shutil.copy(clip, tmp_path / "videos" / path)
    return tmp_path / "videos"


def table(streaming: bool) -> Any:
    made = datasets.Dataset.from_list(rows("emdb", "test", 6), features=schema.features())
    return made.to_iterable_dataset() if streaming else made


def paths(dataset: Any) -> list[str | None]:
    return [row["video"] and row["video"]["path"] for row in dataset]


@pytest.mark.parametrize("streaming", [False, True])
def test_missing_is_an_error_a_gap_or_left_out(root: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch):
    here = str(root / THERE[0])
    gaps = humanmovevqa.attach_videos(table(streaming), root, missing="none")
    assert gaps.features["video"] == datasets.Video(decode=False)
    assert gaps.features == schema.features()
    assert paths(gaps) == [here] * 3 + [None] * 3
    assert [r["id"] for r in gaps] == [r["id"] for r in rows("emdb", "test", 6)]
    monkeypatch.setenv(clip_files.VARIABLE, str(root))
    some = humanmovevqa.attach_videos(table(streaming), missing="drop")
    assert paths(some) == [here] * 3
    assert [r["id"] for r in some] == [r["id"] for r in rows("emdb", "test", 3)]
    with pytest.raises(DataError, match=r"1 of 2 videos are missing under .*, the first: emdb/test1/.*`humanmovevqa verify` lists them"):
        list(humanmovevqa.attach_videos(table(streaming)))
    monkeypatch.delenv(clip_files.VARIABLE)
    with pytest.raises(DataError, match=r"2 of 2 videos are missing \(no video folder is given: pass root=, or set HUMANMOVEVQA_VIDEO_DIR"):
        list(humanmovevqa.attach_videos(table(streaming)))


def test_what_appears_later_is_found_later(root: Path):
    late = root / rows("emdb", "test", 6)[-1]["video_path"]
    assert paths(humanmovevqa.attach_videos(table(False), root, missing="none"))[-1] is None
    late.parent.mkdir(parents=True)
    shutil.copy(root / THERE[0], late)
    assert paths(humanmovevqa.attach_videos(table(False), root))[-1] == str(late)


def test_dicts_of_splits_streams_that_were_not_looked_at_and_pickles(root: Path):
    both = humanmovevqa.attach_videos(datasets.DatasetDict(test=table(False)), root, "drop")
    assert type(both) is datasets.DatasetDict
    assert both["test"].num_rows == 3
    unknown = datasets.IterableDataset.from_generator(rows, gen_kwargs={"source": "emdb", "split": "test", "number": 6})
    assert unknown.features is None
    found = humanmovevqa.attach_videos(datasets.IterableDatasetDict(test=unknown), root, "drop")
    assert len(paths(pickle.loads(pickle.dumps(found["test"])))) == 3


def test_a_decoded_or_published_column_is_filled_anew(root: Path):
    published = [r | {"video": schema.clip_on_hub("me/mine", r["video_path"])} for r in rows("emdb", "test", 3)]
    there = datasets.Dataset.from_list(published, features=schema.features()).cast_column("video", datasets.Video())
    for one in (there, there.to_iterable_dataset()):
        assert paths(humanmovevqa.attach_videos(one, root)) == [str(root / THERE[0])] * 3


def test_a_folder_from_before_the_column_is_read_like_todays(root: Path, tmp_path: Path):
    old = tmp_path / "old"
    shutil.copytree(SAMPLE, old)
    for file in old.glob("sample/*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["video"]), file)
    relist(old)
    asked = humanmovevqa.load("sample", split="test", data_dir=old, cache_dir=str(tmp_path / "cache"))
    assert asked.column_names == [c for c in schema.COLUMNS if c != "video"]
    assert {Path(p).parent for p in paths(humanmovevqa.attach_videos(asked, root)) if p} == {SAMPLE.parent / "clips"}
    assert read(str(old)).items == read(str(SAMPLE)).items
    assert read(str(old / "sample" / "test-00000-of-00001.parquet")).items


def test_the_packaged_clips_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(clip_files.VARIABLE, raising=False)
    d = humanmovevqa.attach_videos(humanmovevqa.load("sample", split="test", data_dir=SAMPLE, cache_dir=str(tmp_path)))
    assert {Path(p).parent for p in paths(d) if p} == {SAMPLE.parent / "clips"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda d: d, {"missing": "skip"}, "missing='skip': expected one of error, none, drop"),
        (lambda d: d.remove_columns("video_path"), {}, "expected a HumanMoveVQA dataset with the column 'video_path'"),
        (lambda d: d.remove_columns("video").rename_column("recipe", "video"), {}, "the column 'video' of the dataset is not a video"),
        (lambda d: d.map(lambda row: {"video_path": "../../etc/passwd"}), {}, "below the video folder"),
        (lambda d: d, {"root": "nowhere"}, "video folder nowhere: expected a folder .*, it does not exist"),
    ],
)
def test_what_cannot_be_attached(root: Path, change: Any, options: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        humanmovevqa.attach_videos(change(table(False)), **{"root": root, **options})


def test_decoding_needs_torchcodec(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="decode=True needs torchcodec"):
        humanmovevqa.attach_videos(table(False), root, decode=True)


@pytest.mark.skipif(importlib.util.find_spec("torchcodec") is None, reason="torchcodec is not installed")
@pytest.mark.parametrize("streaming", [False, True])
def test_decoded_frames_are_those_of_the_clip(root: Path, streaming: bool):
    found = list(humanmovevqa.attach_videos(table(streaming), root, "none", decode=True))
    assert found[0]["video"].metadata.num_frames == 264
    assert found[-1]["video"] is None
