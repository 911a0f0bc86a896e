"""The task folder for lmms-eval: loaded as that tool loads it, with our prompt, parser and scores, and nothing of ours installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from builder import cli, clip_files, prompts, scoring
from builder.exports import lmms_eval, names

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "builder" / "sample"


class Loader(yaml.FullLoader):
    """YAML as lmms-eval reads it: `!function utils.x` is the function `x` of the file utils.py beside it."""


def function(loader: Any, node: Any) -> Any:
    module, name = loader.construct_scalar(node).split(".")
    spec = importlib.util.spec_from_file_location(module, Path(loader.name).parent / f"{module}.py")
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return getattr(found, name)


Loader.add_constructor("!function", function)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "task"
    assert cli.main(["export", "lmms-eval", "--data", str(SAMPLE), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def task(folder: Path) -> dict[str, Any]:
    with open(folder / "humanmovevqa.yaml") as f:
        return dict(yaml.load(f, Loader))


@pytest.fixture(scope="module")
def docs(task: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The test split, as lmms-eval asks `datasets` for it."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return datasets.load_dataset(path=task["dataset_path"], name=task["dataset_name"], cache_dir=cache)[task["test_split"]]


def test_the_folder_needs_nothing_of_ours(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "moved")
    code = (
        "import sys, utils\nprint(utils.parse('(B)', 4), sorted(m for m in sys.modules if m.split('.')[0] in ('builder', 'humanmovevqa')))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "moved", env={"PATH": ""}, capture_output=True, text=True, timeout=60)
    assert run.stdout == "1 []\n", run.stderr


def test_prompt_parser_and_score_are_the_projects(task: dict[str, Any], docs: Any):
    text, results = task["doc_to_text"], task["process_results"]
    for doc in docs:
        assert text(doc) == f"{prompts.SYSTEM}\n\n{prompts.render(doc['question'], doc['options'])}"
        assert task["doc_to_target"](doc) == doc["answer"]
    assert text(docs[0], {"pre_prompt": "<", "post_prompt": ">"}).startswith("<You watch")
    replies = ["B", "The answer is A.", "(c)", "I cannot tell", "A and B", "<think>B</think>C", "yes", "**D**", ""]
    records: dict[str, list[dict[str, Any]]] = {}
    graded = []
    for n, doc in enumerate(docs):
        reply, k = replies[n % len(replies)], len(doc["options"])
        for name, record in results(doc, [reply]).items():
            records.setdefault(name, []).append(record)
        choice = prompts.parse(reply, k, doc["options"])
        graded.append(
            scoring.Graded(
                question_id=doc["id"], video_id=doc["video_id"], source=doc["source"], category=doc["category"],
                num_options=k, answer=doc["answer_index"], choice=choice,
            )
        )  # fmt: skip
    found = {m["metric"]: m["aggregation"](records[m["metric"]]) for m in task["metric_list"]}
    wanted = scoring.score(graded, resamples=10)
    assert found["score_macro"] == pytest.approx(100 * wanted.score_macro)
    assert found["score_micro"] == pytest.approx(100 * wanted.score_micro)
    assert found["invalid_rate"] == pytest.approx(100 * wanted.invalid_rate)
    assert min(found["invalid_rate"], found["accuracy"]) > 0
    assert {r["video_id"] for r in records["score_macro"]} == set(docs["video_id"])
    assert task["cluster_key"] in records["score_macro"][0]
    assert task["score_key"] in records["score_macro"][0]


def test_videos_are_looked_for_before_a_model_is_loaded(task: dict[str, Any], docs: Any, folder: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.delenv(clip_files.VARIABLE, raising=False)
    with pytest.raises(SystemExit, match=r"3 of 3 videos are missing, the first: .*task/videos/sample/.*; set HUMANMOVEVQA_VIDEO_DIR"):
        task["process_docs"](docs)
    monkeypatch.setenv(clip_files.VARIABLE, str(tmp_path))
    paths = sorted(set(docs["video_path"]))
    for path in paths[:2]:
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(clip_files.packaged()[path], tmp_path / path)
    with pytest.raises(SystemExit, match="1 of 3 videos are missing"):
        task["process_docs"](docs)
    monkeypatch.setenv("HUMANMOVEVQA_MISSING", "skip")
    assert set(task["process_docs"](docs)["video_path"]) == set(paths[:2])
    monkeypatch.delenv("HUMANMOVEVQA_MISSING")
    (tmp_path / paths[2]).parent.mkdir(parents=True)
    shutil.copy(clip_files.packaged()[paths[2]], tmp_path / paths[2])
    assert task["process_docs"](docs).num_rows == docs.num_rows
    assert [Path(p).is_file() for p in task["doc_to_visual"](docs[0])] == [True]


def test_an_export_overwrites_only_an_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert cli.main(["export", "lmms-eval", "--data", str(SAMPLE), "--out", str(folder)]) == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    (tmp_path / "mine.txt").write_text("mine")
    capsys.readouterr()
    for arguments, message in (
        (["--out", str(tmp_path)], "found something else; pass another --out"),
        (["--out", str(tmp_path / "x"), "--data", "no such"], "expected a built folder, or a repo OWNER/NAME on the Hub, found neither"),
        (["--out", str(tmp_path / "x"), "--config", "emdb"], "holds all: train, test; sample: train, test"),
        (["--out", str(tmp_path / "x"), "--task", "a b"], "--task 'a b'"),
    ):
        assert cli.main(["export", "lmms-eval", "--data", str(SAMPLE), *arguments]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1
        assert message in told[0]
    files = lmms_eval.files("your-name/humanmovevqa", "sample", "train", "mine", Path("out"))
    assert "dataset_path: 'your-name/humanmovevqa'\ndataset_name: sample\ntest_split: train\n" in files["humanmovevqa.yaml"]


def test_formats_are_the_files():
    assert "lmms-eval" in names()
    assert not any(name.startswith("-") for name in names())


@pytest.mark.slow
def test_lmms_eval_runs_the_task(folder: Path, tmp_path: Path):
    """The tool itself, where HUMANMOVEVQA_LMMS_EVAL names a Python that has it (0.7.3, which cannot share our environment)."""
    python = os.environ.get("HUMANMOVEVQA_LMMS_EVAL")
    if not python:
        pytest.skip("set HUMANMOVEVQA_LMMS_EVAL to the Python of an environment with lmms-eval")
    for path, file in clip_files.packaged().items():
        (tmp_path / "videos" / path).parent.mkdir(parents=True)
        shutil.copy(file, tmp_path / "videos" / path)
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), clip_files.VARIABLE: str(tmp_path / "videos")}
    env.pop("PYTHONPATH", None)
    command = [
        python,
        "-m",
        "lmms_eval",
        "--include_path",
        folder,
        "--tasks",
        "humanmovevqa",
        "--model",
        "dummy",
        "--model_args",
        "response=B",
    ]
    run = subprocess.run(
        [*map(str, command), "--batch_size", "1", "--log_samples", "--output_path", str(tmp_path / "out")],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    results = list((tmp_path / "out").rglob("*_results.json"))
    assert results, run.stdout + run.stderr
    found = json.loads(results[0].read_text())["results"]["humanmovevqa"]
    assert found["invalid_rate,none"] == 0
    assert found["score_macro_stderr_clustered,none"] != found["score_macro_stderr_clt,none"]
