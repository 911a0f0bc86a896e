"""Publishing, against a Hub on 127.0.0.1: the real clients in processes of their own, and what the Hub holds afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import Features
from fixture_hub import BOTH, REPO, Person, build, configs, front
from loopback_hub import Hub, serve

from builder import clip_files, schema
from builder.types import CATEGORIES


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
