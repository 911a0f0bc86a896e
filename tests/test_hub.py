"""Publishing, against a Hub on 127.0.0.1: the real clients in processes of their own, and what the Hub holds afterwards."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Features
from loopback_hub import CUT, MUTE, Hub, Repository, Request, serve
from test_schema import a_row

from builder import clip_files, export, schema, video
from builder.hub import HubError, guard
from builder.hub.repo import checked_id
from builder.types import CATEGORIES

ROOT = Path(__file__).resolve().parents[1]
REPO = "tester/humanmovevqa"
OPEN = {"title": "Scripted", "licence": "CC0-1.0", "redistribution": "open", "citation": "none", "url": "https://e.org"}
PERSON = """
import contextlib, io, json, sys
import humanmovevqa
for line in sys.stdin:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        code = humanmovevqa.main(json.loads(line))
    print(json.dumps([code, told.getvalue().splitlines()]), flush=True)
"""


def environment(hub: Hub, home: Path, **env: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUMANMOVEVQA_", "PYTHON"))}
    quiet = {
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    here = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return keep | quiet | here | env


class Person:
    """Somebody with a token at a command line: a process that runs our verbs one after another."""

    def __init__(self, hub: Hub, home: Path, token: str = "hf_writer") -> None:
        env = environment(hub, home, **({"HF_TOKEN": token} if token else {}))
        home.mkdir(exist_ok=True)
        self.process = subprocess.Popen([sys.executable, "-c", PERSON], cwd=home, env=env, stdin=-1, stdout=-1, text=True)

    def __call__(self, *arguments: object) -> tuple[int, list[str]]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return tuple(json.loads(answer)) if answer else (-1, [])  # type: ignore[return-value]

    def push(self, folder: Path, *arguments: object, repo: str = REPO) -> list[str]:
        code, lines = self("push", repo, "--from", folder, *arguments)
        assert code == 0, lines
        return lines

    def refused(self, folder: Path, *arguments: object, repo: str = REPO) -> str:
        code, lines = self("push", repo, "--from", folder, *arguments)
        assert code == 2, lines
        return "\n".join(lines)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Callable[..., Person]]]:
    """One Hub and its users for all tests here: starting a process takes longer than most pushes."""
    homes, made = tmp_path_factory.mktemp("homes"), {}

    with serve() as running:

        def one(name: str = "me", token: str = "hf_writer") -> Person:
            if name in made and made[name].process.poll() is not None:
                made.pop(name).close()
            if name not in made:
                made[name] = Person(running, homes / name, token)
            return made[name]

        yield running, one
        for each in made.values():
            each.close()


@pytest.fixture
def hub(people: tuple[Hub, Callable[..., Person]]) -> Hub:
    people[0].reset()
    return people[0]


@pytest.fixture
def person(people: tuple[Hub, Callable[..., Person]]) -> Callable[..., Person]:
    return people[1]


def rows(source: str, split: str, number: int, start: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Rows of one source and split: three questions per clip, no clip and no id in two splits."""
    out = []
    for n in range(start, start + number):
        clip = f"{source}/{split}{n // 3}"
        path = f"{source}/{split}{n // 3}/{clip.replace('/', '__')}.mp4"
        made = {"id": f"{source}-{split}-{n:04d}", "video_id": clip, "video_path": path, "sequence": f"{split}{n // 3}"}
        out.append(a_row(n, source) | made | changes)
    return out


def build(folder: Path, sizes: dict[str, dict[str, int]], seed: int = 0, per_file: int = 50_000, **changes: Any) -> Path:
    """A built folder with so many rows per source and split; another seed is another build."""
    tables = {s: {split: rows(s, split, n, **changes) for split, n in splits.items()} for s, splits in sizes.items()}
    counts: dict[str, Any] = {}
    for source, splits in tables.items():
        for split, made in splits.items():
            found = [row["category"] for row in made]
            counts.setdefault(source, {})[split] = {c: found.count(c) for c in CATEGORIES if c in found}
    score = {"score": 1.0, "low": -1.0, "high": 3.0, "n": 44}
    info = {
        "version": "0.1.0",
        "recipe": {"name": "default", "digest": f"{seed:08x}", "seed": seed},
        "lifters": dict.fromkeys(tables, "groundtruth"),
        "generated": {"tracks": 3, "skipped": [], "before": {"ordering": 9}, "after": {"ordering": 3}},
        "counts": counts,
        "max_blind": 5.0,
        "blind": {"priors": {"synthetic": {"by_category": {"ordering": score}, "mean": score, "verdict": f"build {seed}"}}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ROWS_PER_FILE", per_file)
        export.write(folder, tables, info, dict.fromkeys(tables, OPEN), {"report.html": b"<p>paths of single clips</p>"})
    return folder


BOTH = {"synthetic": {"train": 12, "test": 6}, "tracks": {"train": 6}}


def front(card: bytes) -> dict[str, Any]:
    return dict(yaml.safe_load(card.decode().split("---\n")[1]))


def configs(card: bytes) -> dict[str, dict[str, list[str]]]:
    return {c["config_name"]: {d["split"]: d["path"] for d in c["data_files"]} for c in front(card)["configs"]}


def test_publish_again_and_add_a_split(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    lines = me.push(built, "--tag", "v1")
    assert "creating the dataset repo tester/humanmovevqa" in lines
    first = hub.files(REPO)
    assert sorted(first) == [
        ".gitattributes", "README.md", "build_info.json", "eval.yaml", "manifest.json", "synthetic/test-00000-of-00001.parquet",
        "synthetic/train-00000-of-00001.parquet", "tracks/train-00000-of-00001.parquet",
    ]  # fmt: skip
    assert hub.count(REPO) == 2  # the Hub's own first commit, and ours
    assert hub.repo(REPO).tags == {"v1": hub.repo(REPO).head().oid}
    for path in first:
        if path.endswith(".parquet") or path == "build_info.json":
            assert hub.content(REPO, path) == (built / path).read_bytes()
    hub.log.clear()
    assert me.push(built, "--tag", "v1")[0].endswith("holds exactly this already; no commit was made")
    assert hub.count(REPO) == 2
    assert [w for w in hub.writes() if "/tag/" not in w] == []

    more = build(tmp_path / "more", {"synthetic": {"validation": 9, "train": 3}}, seed=1)
    hub.log.clear()
    me.push(more, "--split", "validation")
    second = hub.files(REPO)
    assert set(second) == {*first, "synthetic/validation-00000-of-00001.parquet"}
    assert [p for p in first if first[p] != second[p]] == ["README.md", "build_info.json", "manifest.json"]
    assert len(hub.uploads()) == 1  # the new split, and nothing that was there
    card = hub.content(REPO, "README.md")
    assert [c["config_name"] for c in front(card)["configs"] if c.get("default")] == ["all"]
    assert {c: list(s) for c, s in configs(card).items()} == {
        "all": ["train", "validation", "test"], "synthetic": ["train", "validation", "test"], "tracks": ["train"],
    }  # fmt: skip
    info = json.loads(hub.content(REPO, "build_info.json"))
    assert info["blind"]["priors"]["synthetic"]["verdict"] == "build 0"  # train and test are still that build's
    assert "generated" not in info
    text = card.decode().splitlines()
    assert "33 questions, by source, split and category:" in text
    assert "| validation | 0.1.0 | default (00000001) | groundtruth | 9 |" in text
    assert "| train | 0.1.0 | default (00000000) | groundtruth | 18 |" in text

    me.push(build(tmp_path / "extra", {"synthetic": {"extra": 3}}, seed=4), "--split", "extra")
    assert json.loads(hub.content(REPO, "build_info.json"))["blind"] == info["blind"]
    assert "| validation | 0.1.0 | default (00000001) | groundtruth | 9 |" in hub.content(REPO, "README.md").decode().splitlines()
    me.push(build(tmp_path / "other", {"synthetic": {"test": 3}}, seed=2), "--split", "test")
    info = json.loads(hub.content(REPO, "build_info.json"))
    assert "blind" not in info  # nobody has attacked this test split with that training split
    assert info["counts"]["synthetic"]["test"] == dict.fromkeys(CATEGORIES[:3], 1)
    assert "the tag 'v1' names commit" in me.refused(built, "--tag", "v1")


def test_pushing_the_splits_of_a_build_one_by_one_ends_as_pushing_it_whole(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    me.push(built, "--split", "train")
    assert "eval.yaml" not in hub.files(REPO)  # no test split yet
    assert "blind" not in json.loads(hub.content(REPO, "build_info.json"))
    me.push(built, "--split", "test")
    pieces = hub.files(REPO)
    with serve() as other:
        whole = Person(other, tmp_path / "home-whole")
        whole.push(built)
        assert other.files(REPO) == pieces
        whole.close()


def test_stale_shards_and_sources_go_in_the_same_commit(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me = person()
    me.push(build(tmp_path / "one", BOTH, per_file=4))
    hub.edit(REPO, {"LICENSE": b"somebody's", "docs/paper.md": b"mine"})
    before = hub.count(REPO)
    lines = me.push(build(tmp_path / "two", {"synthetic": {"train": 12, "test": 6}}, per_file=6))
    assert hub.count(REPO) == before + 1
    assert "delete  tracks/train-00001-of-00002.parquet" in lines
    assert sorted(p for p in hub.files(REPO) if p.endswith(".parquet")) == [
        "synthetic/test-00000-of-00001.parquet", "synthetic/train-00000-of-00002.parquet", "synthetic/train-00001-of-00002.parquet",
    ]  # fmt: skip
    assert hub.content(REPO, "LICENSE") == b"somebody's"
    assert hub.content(REPO, "docs/paper.md") == b"mine"


def test_other_peoples_changes_are_shown_and_never_overwritten(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    me.push(built)
    card = hub.content(REPO, "README.md").replace(b"# HumanMoveVQA\n", b"# HumanMoveVQA\n\nPlease cite us.\n")
    hub.edit(REPO, {"README.md": card})
    hub.log.clear()
    for folder in (built, build(tmp_path / "newer", BOTH, seed=1)):
        told = me.refused(folder)
        assert "--- README.md (as published last)" in told
        assert "+Please cite us." in told.splitlines()
        assert "README.md was changed there by somebody else (shown above); take over what should stay" in told.splitlines()[-1]
    assert "+Please cite us." in me.refused(built, "--dry-run")
    assert hub.writes() == []
    me.push(built, "--discard-edits")
    assert b"Please cite us" not in hub.content(REPO, "README.md")

    shard = "synthetic/test-00000-of-00001.parquet"
    foreign = (build(tmp_path / "foreign", {"synthetic": {"test": 2}}) / shard).read_bytes()
    hub.edit(REPO, {shard: foreign})
    assert f"{shard} was changed there by somebody else" in me.refused(built)
    me.push(build(tmp_path / "third", BOTH, seed=3), "--split", "train")  # which does not touch it, and counts what is there
    assert json.loads(hub.content(REPO, "build_info.json"))["counts"]["synthetic"]["test"] == dict.fromkeys(CATEGORIES[:2], 1)
    manifest = {e["path"]: e["sha256"] for e in json.loads(hub.content(REPO, "manifest.json"))["files"]}
    assert manifest[shard] == hashlib.sha256(foreign).hexdigest()


def test_a_repo_made_on_the_web_is_not_taken_over_unasked(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    me.push(built)
    hub.edit(REPO, {p: None for p in hub.files(REPO)} | {"README.md": b"---\nlicense: mit\n---\n# My page\n"})
    told = me.refused(built)
    assert "+# My page" in told.splitlines()
    assert "--- README.md (no push of ours)" in told.splitlines()


def test_a_commit_in_between_is_kept_and_the_push_done_again(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, colleague = person(), person("colleague")
    me.push(build(tmp_path / "built", BOTH))
    theirs = build(tmp_path / "theirs", {"synthetic": {"validation": 6}}, seed=5)
    new = build(tmp_path / "new", BOTH, seed=6, robustness=0.75)
    once: list[str] = []

    def before(request: Request) -> None:
        if "/commit/main" in request.path and not once:
            once.append(request.path)
            colleague.push(theirs, "--split", "validation")
            hub.edit(REPO, {"notes.md": b"by a third"})

    hub.before = before  # type: ignore[assignment]
    count = hub.count(REPO)
    lines = me.push(new)
    assert "somebody else has committed meanwhile; reading the repo again" in lines
    assert hub.count(REPO) == count + 3
    assert hub.content(REPO, "notes.md") == b"by a third"
    validation = "synthetic/validation-00000-of-00001.parquet"
    assert hub.content(REPO, validation) == (theirs / validation).read_bytes()
    card = hub.content(REPO, "README.md")
    assert configs(card)["synthetic"]["validation"] == [validation]
    assert "30 questions, by source, split and category:" in card.decode().splitlines()

    once.clear()
    theirs = build(tmp_path / "again", {"synthetic": {"test": 3}}, seed=7)

    def same_split(request: Request) -> None:
        if "/commit/main" in request.path and not once:
            once.append(request.path)
            colleague.push(theirs, "--split", "test")

    hub.before = same_split  # type: ignore[assignment]
    told = me.refused(build(tmp_path / "newest", BOTH, seed=8, robustness=0.5))
    assert "somebody else has just pushed synthetic/test too" in told
    assert hub.content(REPO, "synthetic/test-00000-of-00001.parquet") == (theirs / "synthetic/test-00000-of-00001.parquet").read_bytes()


def test_dry_run_pull_request_and_private(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    lines = me.push(built, "--dry-run", "--private")
    assert lines[0] == "would create the private dataset repo tester/humanmovevqa"
    assert "new     synthetic/test-00000-of-00001.parquet" in lines
    assert hub.repos == {}
    assert person("anonymous", token="").push(built, "--dry-run")[-1] == "dry run: nothing was sent"
    me.push(built, "--private")
    assert hub.repo(REPO).private
    newer = build(tmp_path / "newer", BOTH, seed=1)
    before = hub.repo(REPO).head().oid
    lines = me.push(newer, "--pr")
    assert lines[-1] == f"pull request: {hub.url}/datasets/{REPO}/discussions/1"
    assert hub.repo(REPO).head().oid == before
    assert hub.content(REPO, "build_info.json", "refs/pr/1") == (newer / "build_info.json").read_bytes()
    me.push(built, repo="lab/open")
    assert "exists and is public; --private is for a new repo" in me.refused(newer, "--private", repo="lab/open")
    assert "--pr makes none there" in me.refused(newer, "--pr", "--tag", "v2")


def test_a_hub_that_refuses_eval_yaml_is_told_without(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)
    me.push(built)
    assert "eval.yaml" in hub.files(REPO)
    lines = me.push(built, "--no-eval")
    assert "delete  eval.yaml" in lines
    hub.strict = "Invalid eval.yaml: unknown evaluation_framework"
    assert me.refused(built).splitlines()[-1].endswith("Invalid eval.yaml: unknown evaluation_framework; --no-eval leaves that file out")
    assert me.push(built, "--no-eval")[-1].endswith("no commit was made")


def test_dry_run_makes_no_request_that_writes(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me = person()
    me.push(build(tmp_path / "built", BOTH))
    hub.log.clear()
    me.push(build(tmp_path / "newer", BOTH, seed=1), "--dry-run", "--no-eval")
    assert hub.log
    assert hub.writes() == []


def test_a_push_that_is_cut_off_leaves_the_repo_whole_and_goes_on_later(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, built = person(), build(tmp_path / "built", BOTH)

    numbers = itertools.count(1)

    def kill(request: Request) -> str | None:
        """One upload arrives; in the middle of the next the client is killed."""
        if request.method != "PUT" or next(numbers) == 1:
            return None
        while not hub.store:
            time.sleep(0.01)
        me.process.kill()
        return CUT

    hub.before = kill
    assert me("push", REPO, "--from", built)[0] == -1
    assert sorted(hub.files(REPO)) == [".gitattributes"]
    hub.before = lambda request: None
    assert len(hub.store) == 1
    hub.log.clear()
    me = person("again")
    me.push(built)
    assert len(hub.uploads()) == 2
    assert hub.count(REPO) == 2

    newer, cuts = build(tmp_path / "newer", BOTH, seed=1, robustness=0.5), iter([CUT, CUT])
    hub.before = lambda request: next(cuts, None) if request.method == "PUT" or "/commit/" in request.path else None
    count = hub.count(REPO)
    lines = me.push(newer)  # cut in the middle of an upload, then again
    assert hub.count(REPO) == count + 1
    lost = iter([MUTE])  # the commit is made, its answer never arrives
    hub.before = lambda request: next(lost, None) if "/commit/" in request.path else None
    lines = me.push(built)
    assert any(line.startswith("the connection was lost") for line in lines)
    assert lines[-1].endswith("holds exactly this already; no commit was made")
    assert hub.count(REPO) == count + 2
    assert hub.content(REPO, "build_info.json") == (built / "build_info.json").read_bytes()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "no Hugging Face token found: run `hf auth login`, or put a token that may write into HF_TOKEN"),
        ("hf_wrong", "cannot read: the Hub does not accept this token (Invalid credentials in Authorization header)"),
        ("hf_reader", "cannot create: this token may not write there (You don't have the rights to create a dataset"),
    ],
)
def test_a_token_that_will_not_do_is_one_clear_line(hub: Hub, person: Callable[..., Person], tmp_path: Path, token: str, message: str):
    told = person(token or "anonymous", token).refused(build(tmp_path / "built", BOTH)).splitlines()
    assert message in told[-1]
    assert len(told) == 1 + (token == "hf_reader")
    assert hub.repos == {}


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


def relist(folder: Path) -> None:
    """A manifest that fits what is there: whoever changes files may change that too."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    entries = {
        p.relative_to(folder).as_posix(): {"size": p.stat().st_size, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()} for p in files
    }
    (folder / "manifest.json").write_bytes(export.manifest_of(entries))


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


def test_the_card_tells_the_truth_about_the_files(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    validation = {"lifter": "monocular", "clips": 60, "refused": ["x"], "questions": 2500, "answer_agreement": 0.984}
    numbers = validation | {"rte_percent_median": 3.21, "heading_error_deg_median": 4.14}
    (tmp_path / "validation.json").write_text(json.dumps(numbers))
    person().push(build(tmp_path / "built", BOTH, per_file=5), "--validation", tmp_path / "validation.json")
    card = hub.content(REPO, "README.md")
    there = {p for p in hub.files(REPO) if p.endswith(".parquet")}
    found = configs(card)
    assert {p for splits in found.values() for paths in splits.values() for p in paths} == there
    assert {p for paths in found["all"].values() for p in paths} == there
    assert {c["config_name"] for c in front(card)["configs"]} == {"all", "synthetic", "tracks"}
    footers = {p: pq.read_metadata(pa.BufferReader(hub.content(REPO, p))).num_rows for p in there}
    text = card.decode()
    assert f"{sum(footers.values())} questions, by source, split and category:" in text.splitlines()
    for source in ("synthetic", "tracks"):
        for split, paths in found[source].items():
            total = sum(footers[p] for p in paths)
            assert re.search(rf"^\| {source} \| {split} \|.* {total} \|$", text, re.M)
    for path in there:
        assert Features.from_arrow_schema(pq.read_schema(pa.BufferReader(hub.content(REPO, path)))) == schema.features()
    assert [w for w in ("ORGANISATION", "{{", "{%", "None", "Undefined", "TODO") if w in text.replace("None of it", "")] == []
    assert "| monocular | 60 | 1 | 3.2 % | 4.1° | 98.4 % of 2,500 |" in text.splitlines()
    for words in ('load_dataset("tester/humanmovevqa"', "CC0-1.0", "humanmovevqa videos SOURCE=ROOT", "@misc{humanmovevqa2026", "recipe"):
        assert words.lower() in text.lower()
    tasks = yaml.safe_load(hub.content(REPO, "eval.yaml"))["tasks"]
    assert tasks[:2] == [{"id": "overall", "config": "all", "split": "test"}, {"id": "synthetic", "config": "synthetic", "split": "test"}]
    assert [t["id"] for t in tasks[2:]] == list(CATEGORIES)
    assert all(t["split"] in found[t["config"]] for t in tasks)


LOADS = """
import hashlib, json, sys
from pathlib import Path
import datasets
from datasets import load_dataset, get_dataset_config_names, get_dataset_split_names, Video
from datasets.utils.file_utils import xopen
out = lambda *values: print(json.dumps(values))
def fails(call):
    try:
        call()
        out("no error")
    except Exception as error:
        out(type(error).__name__, str(error).splitlines()[0])
"""


def fresh(code: str, hub: Hub, home: Path, cwd: Path, **env: str) -> list[Any]:
    """What a new process says, in JSON lines."""
    cwd.mkdir(exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", LOADS + code], cwd=cwd, env=environment(hub, home, **env), capture_output=True, text=True, timeout=180
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


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
    assert found[0] == [{"train": 269, "test": 91}, 1, str(schema.features()["video"])]
    assert found[1] == [True, True]
    clip = found[2][0].removeprefix(PLACE)
    assert found[2][1] == hashlib.sha256(sample[clip].read_bytes()).hexdigest()
    assert found[3:5] == [[video.probe(sample[clip]).num_frames, 540, 960]] * 2
    folder, filled = found[5]
    assert filled == 91
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


def test_spaces_and_models_share_the_rules(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, space = person(), tmp_path / "space"
    clip = next(iter(clip_files.packaged().values()))
    for name, data in {
        "README.md": b"---\nsdk: gradio\n---\n# Try it\n",
        "app.py": b"import gradio\n",
        "clips/one.mp4": clip.read_bytes(),
        "old.css": b"a{}",
        ".git/HEAD": b"ref",
    }.items():
        (space / name).parent.mkdir(parents=True, exist_ok=True)
        (space / name).write_bytes(data)
    assert me("push", "lab/demo", "--space", space, "--dry-run")[1][0] == "would create the space repo lab/demo"
    assert hub.repos == {}
    assert me("push", "lab/demo", "--space", space)[0] == 0
    assert hub.repo("lab/demo", "space").sdk == "gradio"
    there = [".gitattributes", ".humanmovevqa.json", "README.md", "app.py", "clips/one.mp4", "old.css"]
    assert sorted(hub.files("lab/demo", kind="space")) == there
    assert me("push", "lab/demo", "--space", "--from", space)[1][-1].endswith("no commit was made")
    hub.edit("lab/demo", {"theirs.txt": b"kept"}, "space")
    (space / "old.css").unlink()
    (space / "app.py").write_bytes(b"import gradio as gr\n")
    assert me("push", "lab/demo", "--space", space)[0] == 0
    assert sorted(hub.files("lab/demo", kind="space")) == [p for p in [*there, "theirs.txt"] if p != "old.css"]
    hub.edit("lab/demo", {"app.py": b"import gradio as gr  # fixed on the web\n"}, "space")
    code, lines = me("push", "lab/demo", "--space", space)
    assert (code, "+import gradio as gr  # fixed on the web" in lines) == (2, True)

    model = tmp_path / "model"
    model.mkdir()
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Adapter\n")
    (model / "adapter_model.safetensors").write_bytes(b"weights")
    assert me("push", "lab/adapter", "--model", model)[0] == 0
    assert hub.content("lab/adapter", "adapter_model.safetensors", kind="model") == b"weights"
    assert me("push", "lab/adapter", "--model", model, "--split", "test")[1] == [
        "humanmovevqa push: --split is for a dataset, not for a model"
    ]


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
