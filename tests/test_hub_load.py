"""What was published, as people load it: every situation in a fresh process, and the clips that play."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from fixture_hub import BOTH, REPO, ROOT, Person, build, configs, fresh, rows
from loopback_hub import Hub, Repository
from packaged import TEST, TRAIN

from builder import clip_files, schema, video


def test_loading_in_every_situation(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH, per_file=5)
    me.push(built, "--tag", "v1")
    me.push(build(tmp_path / "newer", {"synthetic": {"train": 12, "test": 3}}, seed=1))
    authors = hub.repos["dataset", "humanmovevqa/HumanMoveVQA"] = Repository("humanmovevqa/HumanMoveVQA", "dataset", False)
    hub.add(authors, "main", {"test.jsonl": hub.put("test.jsonl", b'{"id": "q1", "answer": "A. Left"}\n')}, "theirs")
    home, empty = tmp_path / "home", tmp_path / "empty"
    ids = [r["id"] for r in rows("synthetic", "test", 6)]
    online = f"""
d = load_dataset("{REPO}")
out({{k: v.num_rows for k, v in d.items()}}, d["test"]["id"][:], list(d["test"].features) == {list(schema.COLUMNS)!r})
out({{k: v.num_rows for k, v in load_dataset("{REPO}", revision="v1").items()}})
out(get_dataset_config_names("{REPO}"), get_dataset_split_names("{REPO}", "synthetic"))
out(load_dataset("{REPO}", "synthetic", split="train[:2]+test")["id"][:])
s = load_dataset("{REPO}", "synthetic", split="test", streaming=True)
out([r["id"] for r in s], s.features == d["test"].features)
fails(lambda: load_dataset("{REPO}", "rich"))
fails(lambda: load_dataset("{REPO}", split="validation"))
fails(lambda: load_dataset("tester/none"))
from huggingface_hub import snapshot_download
folder = snapshot_download("{REPO}", repo_type="dataset")
out(folder)
import humanmovevqa
out({{k: v.num_rows for k, v in load_dataset("humanmovevqa").items()}}, humanmovevqa.load("synthetic", split="test").num_rows)
out(load_dataset("humanmovevqa/HumanMoveVQA", split="test")[0], load_dataset("{REPO}", split="test").num_rows)
"""
    lines = fresh(online, hub, home, empty, HUMANMOVEVQA_REPO=REPO)
    train = [r["id"] for r in rows("synthetic", "train", 2)]
    assert lines[:5] == [
        [{"train": 12, "test": 3}, ids[:3], True],
        [{"train": 18, "test": 6}],
        [["all", "synthetic"], ["train", "test"]],
        [[*train, *ids[:3]]],
        [ids[:3], True],
    ]
    assert lines[5] == ["ValueError", "BuilderConfig 'rich' not found. Available: ['all', 'synthetic']"]
    assert lines[6][0] == "ValueError"
    assert "validation" in lines[6][1]
    assert lines[7][0] == "DatasetNotFoundError"
    folder = lines[8][0]
    assert lines[9] == [{"train": 12, "test": 3}, 3]
    assert lines[10] == [{"id": "q1", "answer": "A. Left"}, 3]  # the authors' release beside ours

    offline = f"""
fails(lambda: load_dataset("humanmovevqa"))
out(load_dataset({folder!r}, split="test").num_rows, next(iter(load_dataset({folder!r}, "synthetic", split="test", streaming=True)))["id"])
out(load_dataset("{REPO}", "synthetic", split="test").num_rows)
fails(lambda: load_dataset("{REPO}", "rich"))
fails(lambda: load_dataset("tester/other"))
import humanmovevqa
out(humanmovevqa.load(data_dir={folder!r}, split="test").num_rows, humanmovevqa.load(split="test").num_rows)
"""
    lines = fresh(offline, hub, home, empty, HF_HUB_OFFLINE="1")
    assert lines[0] == ["ConnectionError", "Couldn't reach 'humanmovevqa' on the Hub (OfflineModeIsEnabled)"]
    assert lines[1:3] == [[3, ids[0]], [3]]
    assert (lines[3][0], lines[4][0]) == ("ValueError", "ConnectionError")
    assert lines[5][0] == 3
    assert lines[5][1] > 50  # the packaged sample: nothing else is at hand

    clone = tmp_path / "parent" / "humanmovevqa"
    clone.mkdir(parents=True)
    (clone / "humanmovevqa.py").write_text("raise SystemExit(1)")
    lines = fresh('fails(lambda: load_dataset("humanmovevqa"))\nfails(lambda: load_dataset("./humanmovevqa"))', hub, home, clone.parent)
    assert [line[0] for line in lines] == ["RuntimeError", "RuntimeError"]
    assert lines[0][1].startswith("Dataset scripts are no longer supported, but found humanmovevqa.py")


PLACE = f"hf://datasets/{REPO}/videos/"


# Frames of the first row's clip by what `datasets` decodes with, from the table and from the stream; else by the decoder of this project.
BY_DATASETS = """
for rows in (d["test"], s):
    video = next(iter(rows.cast_column("video", Video())))["video"]
    out(video.metadata.num_frames, *video[0].shape[1:])
"""


BY_PYAV = """
import av
for rows in (d["test"], s):
    with av.open(xopen(next(iter(rows))["video"]["path"], "rb")) as film:
        frames = [(f.height, f.width) for f in film.decode(video=0)]
    out(len(frames), *frames[0])
"""


DECODED = BY_DATASETS if importlib.util.find_spec("torchcodec") else BY_PYAV


def test_open_clips_play_and_closed_ones_are_never_sent(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, sample = person(), clip_files.packaged()
    built = ROOT / "builder" / "sample"
    lines = me.push(built, "--with-videos")
    assert {"sample/train: 9 open clips go with it", "sample/test: 3 open clips go with it"} <= set(lines)
    for path, file in sample.items():
        assert hub.content(REPO, f"videos/{path}") == file.read_bytes()
    hub.log.clear()
    assert me.push(built, "--with-videos")[-1].endswith("no commit was made")
    assert me.push(built)[-1].endswith("no commit was made")  # what is there may stay
    code = f"""
from huggingface_hub import snapshot_download
import humanmovevqa
d = load_dataset("{REPO}")
features = {{str(load_dataset("{REPO}", c, split=s).features) for c in ("all", "sample") for s in ("train", "test")}}
out({{k: v.num_rows for k, v in d.items()}}, len(features), str(d["test"].features["video"]))
s = load_dataset("{REPO}", "sample", split="test", streaming=True)
out(s.features == d["test"].features, all(r["video"] == {{"bytes": None, "path": "{PLACE}" + r["video_path"]}} for r in s))
first = d["test"][0]["video"]["path"]
out(first, hashlib.sha256(xopen(first, "rb").read()).hexdigest())
{DECODED}
folder = snapshot_download("{REPO}", repo_type="dataset")
out(folder, d["test"].to_pandas()["video"].notna().sum().item())
there = humanmovevqa.attach_videos(d, Path(folder) / "videos")
out(list(there["test"].features) == list(d["test"].features), Path(there["test"][0]["video"]["path"]).is_relative_to(folder))
"""
    found = fresh(code, hub, tmp_path / "home", tmp_path / "empty")
    assert found[0] == [{"train": TRAIN, "test": TEST}, 1, str(schema.features()["video"])]
    assert found[1] == [True, True]
    clip = found[2][0].removeprefix(PLACE)
    assert found[2][1] == hashlib.sha256(sample[clip].read_bytes()).hexdigest()
    assert found[3:5] == [[video.probe(sample[clip]).num_frames, 540, 960]] * 2
    folder, filled = found[5]
    assert filled == TEST
    assert found[6] == [True, True]
    offline = f"""
import humanmovevqa
d = load_dataset({folder!r}, "sample", split="test")
out(d[0]["video"]["path"], humanmovevqa.attach_videos(d)[0]["video"]["path"])
"""
    assert fresh(offline, hub, tmp_path / "home", tmp_path / "empty", HF_HUB_OFFLINE="1") == [[found[2][0], str(sample[clip])]]
    card = hub.content(REPO, "README.md").decode()
    assert "those of `sample`, which may be shared" in card
    assert list(configs(hub.content(REPO, "README.md"))) == ["all", "sample"]

    closed = build(tmp_path / "closed", {"tracks": {"train": 6}})
    message = "--with-videos: none of the sources tracks may share its videos"
    assert message in me.refused(closed, "--with-videos", repo="tester/closed")
    missing = build(tmp_path / "missing", {"synthetic": {"train": 6}})
    assert "2 clips of synthetic/train are not at hand" in me.refused(missing, "--with-videos", repo="tester/closed")
    me.push(build(tmp_path / "gone", BOTH), "--discard-edits")
    assert [p for p in hub.files(REPO) if p.startswith("videos/")] == []  # their source is gone
