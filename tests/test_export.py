"""The dataset folder: equal bytes, true manifest and card, whole after any interruption, and nothing of yours lost."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Features
from test_schema import a_row

from builder import export, schema
from builder.types import CATEGORIES, BuildError, DataError

ABOUT = {"emdb": {"title": "EMDB", "licence": "research only", "redistribution": "qa_only", "citation": "@x{}", "url": "https://e.org"}}


def some_rows(source: str, numbers: range, **changes: Any) -> list[dict[str, Any]]:
    return [a_row(n, source, **changes) for n in numbers]


def some_sources(**changes: Any) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return {
        "synthetic": {"test": some_rows("synthetic", range(6, 10), **changes), "train": some_rows("synthetic", range(6), **changes)},
        "emdb": {"train": some_rows("emdb", range(5), **changes), "test": []},
        "rich": {"train": []},
    }


def write(out: Path, rows: Any = None, info: Any = None, extra: Any = None) -> Path:
    export.write(out, some_sources() if rows is None else rows, info or {}, ABOUT, extra or {})
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def front_matter(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_equal_input_gives_equal_bytes_and_a_true_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "ROWS_PER_FILE", 4)
    info = {"recipe": {"name": "default"}, "b": 1, "a": [1.5]}
    first, second = (contents(write(tmp_path / name, info=info, extra={"LICENSE.md": b"terms"})) for name in ("one", "two/deep"))
    assert first == second
    listed = json.loads(first.pop("manifest.json"))["files"]
    assert [(e["path"], e["size"], e["sha256"]) for e in listed] == [
        (name, len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(first.items())
    ]
    assert json.loads(first["build_info.json"]) == info
    assert sorted(n for n in first if n.endswith(".parquet")) == [
        "emdb/train-00000-of-00002.parquet",
        "emdb/train-00001-of-00002.parquet",
        "synthetic/test-00000-of-00001.parquet",
        "synthetic/train-00000-of-00002.parquet",
        "synthetic/train-00001-of-00002.parquet",
    ]


def test_configs_list_exactly_the_rows(tmp_path: Path):
    out = write(tmp_path / "out")
    listing = {c["config_name"]: {d["split"]: d["path"] for d in c["data_files"]} for c in front_matter(out)["configs"]}
    assert [c["config_name"] for c in front_matter(out)["configs"] if c.get("default")] == ["all"]
    assert {c: {s: tuple(out / p for p in paths) for s, paths in splits.items()} for c, splits in listing.items()} == export.configs(out)
    assert [(c, list(s)) for c, s in listing.items()] == [("all", ["train", "test"]), ("emdb", ["train"]), ("synthetic", ["train", "test"])]
    rows = {c: [r["id"] for p in s["train"] for r in pq.read_table(out / p).to_pylist()] for c, s in listing.items()}
    assert rows["all"] == rows["emdb"] + rows["synthetic"] == [f"emdb{n:04d}" for n in range(5)] + [f"synthetic{n:04d}" for n in range(6)]
    assert Features.from_arrow_schema(export.read(out / listing["emdb"]["train"][0], 0).schema) == schema.features()


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_rebuild_replaces_ours_and_keeps_yours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool):
    if not links:
        monkeypatch.setattr(export.os, "link", fail_at(EVERY, os.link, OSError(1, "no hard links here")))
    out = write(tmp_path / "out", extra={"tracks/emdb.bin": b"1"})
    before = export.fingerprint(out)
    (out / "emdb" / "my notes.txt").write_text("mine")
    (out / "videos").symlink_to("/nowhere")
    (out / "empty").mkdir()
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref")
    write(out, {"synthetic": {"test": some_rows("synthetic", range(3))}})
    assert sorted(contents(out)) == [
        ".git/HEAD", "README.md", "build_info.json", "emdb/my notes.txt", "eval.yaml", "manifest.json",
        "synthetic/test-00000-of-00001.parquet",
    ]  # fmt: skip
    assert os.readlink(out / "videos") == "/nowhere"
    assert (out / "empty").is_dir()
    assert list(export.configs(out)) == ["all", "synthetic"]
    assert export.fingerprint(out) != before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_not_ours_is_never_overwritten(tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"files": []}')
    with pytest.raises(BuildError, match=r"an earlier build with manifest.json, found other files"):
        write(other)
    assert (other / "manifest.json").read_text() == '{"files": []}'
    out = write(tmp_path / "out", {"synthetic": {"test": some_rows("synthetic", range(3))}})
    for name in ("emdb/train-00000-of-00001.parquet", "emdb"):  # a file of yours in the place of a new file, then of its folder
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        before = contents(out)
        with pytest.raises(BuildError, match="needs its name"):
            write(out)
        assert contents(out) == before
        (out / name).unlink()
        if name != "emdb":
            (out / "emdb").rmdir()


EVERY = -1


def fail_at(number: int, function: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    calls = iter(range(1000))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if number in (next(calls), EVERY):
            raise error
        return function(*args, **kwargs)

    return failing


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["ctrl-c", "full disk"])
@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("export.parquet", 0),
        ("export.os.fsync", 0),
        ("export.write_atomic", 2),
        ("export.shutil.copy2", 0),
        ("export.os.rename", 0),
        ("export.os.rename", 1),
    ],
)
def test_interrupted_write_leaves_the_old_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int, error: BaseException
):
    out = write(tmp_path / "out")
    (out / "mine").write_text("mine")
    before = contents(out)
    module, name = where.removeprefix("export.").rpartition(".")[::2]
    owner = getattr(export, module) if module else export
    with monkeypatch.context() as patch:
        if where.endswith("copy2"):
            patch.setattr(export.os, "link", fail_at(0, os.link, OSError(1, "no hard links here")))
        patch.setattr(owner, name, fail_at(number, getattr(owner, name), error))
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else BuildError):
            write(out, {"emdb": {"train": some_rows("emdb", range(9))}})
    assert contents(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_file_that_may_not_grow_further_is_one_line(tmp_path: Path):
    """The error comes from within Arrow, half-way through the rows of a file."""
    out = write(tmp_path / "out")
    before = contents(out)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, usual[1]))
    try:
        with pytest.raises(
            BuildError, match=r"cannot write the dataset folder .*out: .*File too large; an earlier build .* unchanged"
        ) as caught:
            write(out, {"emdb": {"train": some_rows("emdb", range(3000))}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "\n" not in str(caught.value)
    assert contents(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_write_leaves_is_put_right(tmp_path: Path):
    out = write(tmp_path / "out")
    os.rename(out, tmp_path / ".out.old")  # killed between the two renamings
    (tmp_path / ".out.999999999.new").mkdir()  # killed while writing, by a process that is gone
    with pytest.raises(BuildError, match="no question is left"):
        write(out, {"emdb": {"train": []}})
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert list(export.configs(out)) == ["all", "emdb", "synthetic"]
    old = write(tmp_path / ".out.old", {"rich": {"test": some_rows("rich", range(3))}})  # killed before the old build was cleared
    (old / "mine").write_text("mine")
    write(out)
    assert (out / "mine").read_text() == "mine"
    assert not (out / "rich").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("rows", "info", "extra", "message"),
    [
        ({"emdb": {"train": some_rows("emdb", range(2))[::-1]}}, {}, {}, "sorted by id"),
        ({"emdb": {s: some_rows("emdb", range(2)) for s in ("train", "test")}}, {}, {}, "emdb0000 twice"),
        ({"all": {"train": some_rows("all", range(2))}}, {}, {}, "source's name"),
        ({"emdb": {"test-hard": some_rows("emdb", range(2))}}, {}, {}, "split's name"),
        ({"emdb": {"train": some_rows("emdb", range(2), fps="30")}}, {}, {}, "type of its column"),
        ({"emdb": {"train": some_rows("emdb", range(2), sequence="/data/P1")}}, {}, {}, "absolute path"),
        (None, {"counts": {"emdb": {"train": {"numerical": 9}}}}, {}, "counts of the build for emdb/train/comparative: expected 1"),
        (None, {"x": float("nan")}, {}, "build_info.json"),
        (None, {}, {"../x": b""}, "extra file"),
        (None, {}, {"tracks/test-00000-of-00001.parquet": b""}, "extra file"),
    ],
)
def test_what_must_not_be_published_is_refused(tmp_path: Path, rows: Any, info: Any, extra: Any, message: str):
    with pytest.raises(BuildError, match=message):
        write(tmp_path / "out", rows, info, extra)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for out in (Path("."), Path("file"), Path("file/out"), Path("/")):
        with pytest.raises(BuildError):
            write(out)


def test_readers_refuse_what_is_not_whole(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected a dataset folder with manifest.json, found none"):
        export.configs(tmp_path)
    out = write(tmp_path / "out")
    path = out / "emdb" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(DataError, match="got 99 bytes; fetch or build the dataset again"):
        export.configs(out)


def test_card_holds_the_numbers_of_the_build_and_nothing_unknown(tmp_path: Path):
    counts = {"emdb": {"train": dict.fromkeys(CATEGORIES[:5], 1)}, "synthetic": {"train": {}, "test": {}}}
    for source, split, numbers in (("synthetic", "train", range(6)), ("synthetic", "test", range(6, 10))):
        for n in numbers:
            counts[source][split][CATEGORIES[n % 7]] = counts[source][split].get(CATEGORIES[n % 7], 0) + 1
    score = {"score": 1.25, "low": -3.04, "high": 4.96, "n": 444}
    info = {
        "version": "0.1.0",
        "recipe": {"name": "default", "digest": "abcd", "seed": 7},
        "lifters": {"emdb": "groundtruth", "synthetic": "groundtruth"},
        "generated": {
            "tracks": 1234,
            "skipped": [],
            "questions_per_track_mean": 3.14,
            "before": {"ordering": 77},
            "after": {"ordering": 5},
        },
        "counts": counts,
        "blind": {
            "priors": {
                "real": {"n": 12, "verdict": "too few to tell (12 test questions)"},
                "synthetic": {"by_category": {"ordering": score}, "mean": score, "verdict": "cannot be guessed"},
            }
        },
    }
    text = (write(tmp_path / "out", info=info) / "README.md").read_text()
    for line in (
        "15 questions, by source, split and category:",
        "| synthetic | test | 1 | 1 | 1 | 0 | 0 | 0 | 1 | 4 |",
        "1,234 tracks were asked, and 3.1 answers of each survived on average, before balancing.",
        "| ordering | 77 | 5 |",
        "Recipe `default` (abcd), seed 7.",
        "| category | synthetic | questions |",
        "| ordering | 1.2 (-3.0 to 5.0) | 444 |",
        "- real sources: too few to tell (12 test questions)",
        "- Redistribution: questions and pointers only; no video, image or pose may be shared",
        "| `options` | `list<string>` | Texts of the options, in order, without letters. |",
    ):
        assert line in text.splitlines()
    bare = (write(tmp_path / "bare") / "README.md").read_text()
    assert [w for w in ("None", "Undefined", "{{", "watching", "Recipe", "tracks were") if w in bare.replace("None of it", "")] == []
    assert "15 questions." in bare.splitlines()
