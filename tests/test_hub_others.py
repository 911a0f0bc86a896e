"""A push among other people's work and on a bad line: what somebody else changed stays, and the repo is never half of anything."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_hub import BOTH, OPEN, REPO, Person, build, configs
from loopback_hub import CUT, MUTE, Hub, Request

from builder import export, rows, schema
from builder.types import CATEGORIES


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


def test_clips_that_come_in_between_stay_with_their_rows(hub: Hub, person: Callable[..., Person], tmp_path: Path):
    me, colleague = person(), person("colleague")
    sample = {split: list(export.rows(files, schema.COLUMNS)) for split, files in export.configs(rows.SAMPLE)["sample"].items()}
    for name, splits in {"mine": {"train": sample["train"]}, "theirs": {"validation": sample["test"]}}.items():
        export.write(tmp_path / name, {"sample": splits}, {}, {"sample": OPEN})
    me.push(tmp_path / "mine")
    once: list[str] = []

    def before(request: Request) -> None:
        if "/commit/main" in request.path and not once:
            once.append(request.path)
            colleague.push(tmp_path / "theirs", "--split", "validation", "--with-videos")

    hub.before = before  # type: ignore[assignment]
    me.push(tmp_path / "mine", "--with-videos")
    there = hub.files(REPO)
    for split, number in (("train", 9), ("validation", 3)):
        table = pq.read_table(pa.BufferReader(hub.content(REPO, f"sample/{split}-00000-of-00001.parquet")))
        places = {video["path"].removeprefix(f"hf://datasets/{REPO}/") for video in table["video"].to_pylist()}
        assert len(places) == number
        assert places <= set(there)


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
