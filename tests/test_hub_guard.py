"""What is refused before anything is sent: other repos, forbidden content, leaks between splits."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_hub import BOTH, OPEN, REPO, ROOT, Person, build, relist, rows
from loopback_hub import Hub

from builder import export
from builder.hub import HubError, guard
from builder.hub.repo import checked_id


@pytest.mark.parametrize(
    ("repo", "message"),
    [
        ("HumanMoveVQA/HumanMoveVQA", "belongs to the paper's authors"),
        ("humanmovevqa", "expected OWNER/NAME of letters"),
        ("buckets/a/b", "expected OWNER/NAME of letters"),
        (None, "expected OWNER/NAME as an argument or in HUMANMOVEVQA_REPO, got neither"),
    ],
)
def test_repos_that_are_not_ours_to_push_to(monkeypatch: pytest.MonkeyPatch, repo: str | None, message: str):
    monkeypatch.delenv("HUMANMOVEVQA_REPO", raising=False)
    with pytest.raises(HubError, match=message):
        checked_id(repo)
    monkeypatch.setenv("HUMANMOVEVQA_REPO", "me/mine")
    assert checked_id(None) == "me/mine"


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "synthetic" / "test-00000-of-00001.parquet"
        pq.write_table(change(pq.read_table(path)), path)
        relist(folder)

    return spoil


def with_column(name: str, values: pa.Array) -> Callable[[Path], None]:
    return rewritten(lambda table: table.append_column(name, pa.array([values[0].as_py()] * table.num_rows, values.type)))


def with_value(name: str, value: str) -> Callable[[Path], None]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), table.field(name), pa.array([value] * table.num_rows))

    return rewritten(change)


def with_file(name: str, data: bytes, listed: bool = True) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        if listed:
            relist(folder)

    return add


def with_info(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "build_info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        relist(folder)

    return change


def link(folder: Path) -> None:
    path = folder / "synthetic" / "test-00000-of-00001.parquet"
    path.rename(folder.parent / "elsewhere.parquet")
    path.symlink_to(folder.parent / "elsewhere.parquet")


def with_video(bytes_: bytes | None, place: str) -> Callable[[Path], None]:
    """Every row's `video`: these bytes, and `place` with the row's video_path in it."""

    def change(table: pa.Table) -> pa.Table:
        field = table.schema.field("video")
        videos = [{"bytes": bytes_, "path": place.format(path)} for path in table["video_path"].to_pylist()]
        return table.set_column(table.schema.get_field_index("video"), field, pa.array(videos, field.type))

    return rewritten(change)


def licensed(spoil: Callable[[Path], None]) -> Callable[[Path], None]:
    """The same with rows of a source whose videos may not be shared."""

    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        build(folder, {"emdb": {"test": 3}})
        (folder / "emdb").rename(folder / "synthetic")
        spoil(folder)
        (folder / "synthetic").rename(folder / "emdb")
        relist(folder)

    return change


ON_THE_HUB = "hf://datasets/tester/humanmovevqa/videos/{}"


FORBIDDEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "second video column": (with_column("clip", pa.array([{"bytes": b"x", "path": "x.mp4"}])), r"column 'clip' of type struct<bytes: bin"),
    "bytes of a video": (with_video(b"x", ON_THE_HUB), "column 'video' holds more than the place of this clip on the Hub"),
    "a video elsewhere": (with_video(None, "hf://datasets/tester/humanmovevqa/videos/x/{}"), "column 'video' holds more than the place"),
    "a video on the web": (with_video(None, "https://e.org/videos/{}"), "column 'video' holds more than the place"),
    "video of a licensed source": (
        licensed(with_video(None, ON_THE_HUB)),
        "row emdb-test-0000: column 'video' is not null, and the videos of emdb may not be shared",
    ),
    "a row from before the column": (rewritten(lambda t: t.drop_columns(["video"])), "its columns or their types are not those"),
    "binary column": (with_column("frame", pa.array([b"x"])), "column 'frame' of type binary"),
    "pose column": (with_column("pose_body", pa.array([[0.1] * 63])), "column 'pose_body' of type list"),
    "another type": (
        rewritten(lambda t: t.set_column(t.schema.get_field_index("fps"), "fps", t["fps"].cast(pa.float32()))),
        "columns or their types are not those",
    ),
    "absolute video path": (with_value("video_path", "/data/EMDB/P1.mp4"), "expected a relative video_path, got '/data/EMDB/P1.mp4'"),
    "climbing video path": (with_value("video_path", "a/../../b.mp4"), "expected a relative video_path"),
    "absolute path in a row": (with_value("reasoning", "see /home/me/x"), "column 'reasoning' holds an absolute path"),
    "another source's rows": (with_value("source", "emdb"), "expected column 'source' to say 'synthetic', got 'emdb'"),
    "absolute path in the build": (with_info(work="/home/me/work"), "build_info.json: it holds an absolute path"),
    "windows path in the build": (with_info(work={"C:\\clips": 1}), "build_info.json: it holds an absolute path"),
    "loading script": (with_file("humanmovevqa.py", b"pass"), "humanmovevqa.py: code; a dataset repo holds"),
    "video file": (with_file("videos/emdb/P1.mp4", b"x"), "videos/emdb/P1.mp4: a video or sound"),
    "image file": (with_file("emdb/00001.jpg", b"x"), "emdb/00001.jpg: an image"),
    "track file": (with_file("tracks/P1.npz", b"x"), "tracks/P1.npz: poses, a track or a mesh"),
    "pickle": (with_file("P1.pkl", b"x"), "P1.pkl: a pickle"),
    "archive": (with_file("emdb.zip", b"x"), "emdb.zip: an archive"),
    "parquet of tracks": (with_file("tracks.parquet", b"x"), "a dataset has no other tables"),
    "file outside the manifest": (with_file("notes.md", b"mine", listed=False), "notes.md: in no manifest"),
    "token": (with_file("NOTES.md", b"token: hf_" + b"a" * 34), "NOTES.md: it holds something that looks like a token"),
    "link": (link, "test-00000-of-00001.parquet: a link, which may lead anywhere"),
    "changed shard": (
        with_file("synthetic/test-00000-of-00001.parquet", b"x", listed=False),
        "its bytes are not those that manifest.json lists",
    ),
    "missing shard": (
        lambda folder: (folder / "synthetic" / "test-00000-of-00001.parquet").unlink(),
        "it is not there; build the dataset again",
    ),
    "torn shard": (with_file("synthetic/test-00000-of-00001.parquet", b"PAR1"), "not a whole Parquet file"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_content_is_refused(tmp_path: Path, what: str):
    spoil, message = FORBIDDEN[what]
    built = build(tmp_path / "built", BOTH)
    assert "report.html" not in guard.dataset(built)
    spoil(built)
    with pytest.raises(HubError, match=message):
        guard.dataset(built)


def test_a_refused_push_asks_nothing_of_the_hub(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    built = build(tmp_path / "built", BOTH)
    with_column("frame", pa.array([b"x"]))(built)
    told = person().refused(built).splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"humanmovevqa push: {built} cannot be published: synthetic/test-00000-of-00001.parquet: column 'frame'")
    assert hub.log == []


def test_a_split_must_not_leak_or_change_its_columns(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me = person()
    me.push(build(tmp_path / "built", BOTH))
    tables = {"synthetic": {"validation": rows("synthetic", "train", 3)}}
    export.write(tmp_path / "twice", tables, {}, {"synthetic": OPEN}, {})
    assert "question synthetic-train-0000 would be in synthetic/train and in synthetic/validation" in me.refused(
        tmp_path / "twice", "--split", "validation"
    )
    tables = {"synthetic": {"validation": [row | {"id": f"v{n}"} for n, row in enumerate(rows("synthetic", "train", 3))]}}
    export.write(tmp_path / "leak", tables, {}, {"synthetic": OPEN}, {})
    assert "clip synthetic/train0 would be in synthetic/train and in synthetic/validation" in me.refused(
        tmp_path / "leak", "--split", "validation"
    )
    shard = "tracks/train-00000-of-00001.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(tmp_path / "built" / shard).drop_columns(["recipe"]), sink)
    hub.edit(REPO, {shard: sink.getvalue().to_pybytes()})
    more = build(tmp_path / "more", {"synthetic": {"validation": 3}})
    assert "tracks/train: its columns are not those of this version's rows" in me.refused(more, "--split", "validation")


@pytest.mark.parametrize(
    ("kind", "name", "data", "message"),
    [
        ("space", ".env", b"HF_TOKEN=x", "a file of this name holds secrets"),
        ("space", "app.py", b"token = 'hf_" + b"A" * 34 + b"'", "looks like a token"),
        ("space", "clips/emdb.mp4", b"frames", "a video or sound; a space repo may hold none but what comes with the package"),
        ("space", "track.npz", b"poses", "poses, a track or a mesh"),
        ("space", "model.pt", b"x", "a pickle"),
        ("model", "modeling.py", b"x", "code; a model repo may hold none"),
        ("model", "training_args.bin", b"x", "a pickle"),
        ("model", "data.zip", b"x", "an archive"),
    ],
)
def test_what_a_space_or_a_model_may_not_hold(tmp_path: Path, kind: str, name: str, data: bytes, message: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "README.md").write_text("# x")
    assert list(guard.tree(tmp_path, kind)) == ["README.md"]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(HubError, match=message):
        guard.tree(tmp_path, kind)


# What makes text in the Hub's formats and sends nothing.
TEXT = {"DatasetCardData", "EvalResult", "EvalResultEntry", "ModelCardData", "eval_result_entries_to_yaml", "eval_results_to_model_index"}


def test_only_one_package_talks_to_the_hub():
    wrong = []
    for path in sorted(ROOT.glob("builder/**/*.py")):
        if path.is_relative_to(ROOT / "builder" / "hub"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [a.name.split(".")[0] for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [] if {a.name for a in node.names} <= TEXT else [(node.module or "").split(".")[0]]
            else:
                continue
            wrong += [str(path.relative_to(ROOT)) for name in names if name in ("huggingface_hub", "httpx2")]
    assert wrong == []
