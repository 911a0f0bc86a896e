"""What a user types: the bare name with and without the import, in fresh processes, offline, from any folder."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import datasets
import datasets.inspect
import datasets.load
import pytest
from test_export import ABOUT, some_rows, some_sources

import humanmovevqa
from builder import export, rows
from builder.types import DataError

ROOT = Path(__file__).resolve().parents[1]
PRELUDE = "import json, sys\nfrom datasets import load_dataset\nout = lambda *values: print(json.dumps(values))\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `humanmovevqa/` in it: emdb (train 5), synthetic (train 6 in two files, test 4)."""
    home = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ROWS_PER_FILE", 3)
        export.write(home / "humanmovevqa", some_sources(), {"version": "0.1.0"}, ABOUT, {})
    return home


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


def python(code: str, cwd: Path, cache: Path, path: tuple[Path, ...] = (ROOT,), **env: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh offline process; HF's cache is `cache`, and only `path` leads to our modules."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUMANMOVEVQA_", "PYTHON"))}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=keep | offline | env)


def said(code: str, cwd: Path, cache: Path, **options: Any) -> list[Any]:
    run = python(PRELUDE + code, cwd, cache, **options)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_without_import_beside_a_built_folder(built: Path, cache: Path):
    code = """
d = load_dataset("humanmovevqa")
out({k: v.num_rows for k, v in d.items()}, d["train"]["id"][:6])
out(load_dataset("humanmovevqa", "synthetic", split="test")["options"][0])
out([r["id"] for r in load_dataset("humanmovevqa", "emdb", split="train", streaming=True)])
out("humanmovevqa" in sys.modules)
"""
    first = [f"emdb{n:04d}" for n in range(5)]
    assert said(code, built, cache, path=()) == [
        [{"train": 11, "test": 4}, [*first, "synthetic0000"]],
        [["About 1 m", "About 2 m", "About 4 m", "None of it"]],
        [first],
        [False],
    ]


def test_after_import_everything_works_from_anywhere(built: Path, cache: Path, tmp_path: Path):
    code = """
import pickle, datasets, humanmovevqa
from datasets import get_dataset_config_names, get_dataset_default_config_name, get_dataset_split_names, load_dataset_builder
at = {"data_dir": DIR}
d = load_dataset("humanmovevqa", **at)
out({k: v.num_rows for k, v in d.items()}, [r["id"] for r in d["test"]])
out(get_dataset_config_names("humanmovevqa", **at), get_dataset_default_config_name("humanmovevqa", **at))
out(get_dataset_split_names("humanmovevqa", **at), get_dataset_split_names("humanmovevqa", "emdb", **at))
out(load_dataset("humanmovevqa", split="train[:50%]+test", **at)["id"][:])
stream = pickle.loads(pickle.dumps(load_dataset("humanmovevqa", split="train", streaming=True, **at)))
out(stream.num_shards, [r["id"] for r in stream] == d["train"]["id"][:], stream.features == d["train"].features)
out(humanmovevqa.load("synthetic", split="train", num_proc=2, data_dir=DIR)["id"][:])
b = humanmovevqa.HumanMoveVQA(config_name="emdb", data_dir=DIR)
b.download_and_prepare()
out(b.as_dataset("train")["id"][:] == d["train"]["id"][:5], pickle.loads(pickle.dumps(b)).config.name)
out(load_dataset_builder("humanmovevqa", "emdb", **at).cache_dir == b.cache_dir)
out(load_dataset("humanmovevqa", split="test", **at)[0] == d["test"][0])
for call in (
    lambda: load_dataset("humanmovevqa", "rich", **at),
    lambda: humanmovevqa.load("nonsense", data_dir=DIR),
    lambda: load_dataset("humanmovevqa", data_dir="."),
    lambda: load_dataset("humanmovevqa", data_files="x.parquet"),
    lambda: load_dataset("humanmovevqa", revision="v1", **at),
):
    try:
        call()
    except Exception as error:
        out(type(error).__name__, str(error))
"""
    folder = built / "humanmovevqa"
    run = python(PRELUDE + f"DIR = {str(folder)!r}\n" + code, tmp_path, cache, HF_DATASETS_DISABLE_PROGRESS_BARS="1")
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    emdb, train, test = ([f"{s}{n:04d}" for n in r] for s, r in (("emdb", range(5)), ("synthetic", range(6)), ("synthetic", range(6, 10))))
    assert lines[:9] == [
        [{"train": 11, "test": 4}, test],
        [["all", "emdb", "synthetic"], "all"],
        [["train", "test"], ["train"]],
        [[*emdb, train[0], *test]],
        [4, True, True],
        [train],
        [True, "emdb"],
        [True],
        [True],
    ]
    assert lines[9] == ["ValueError", f"config 'rich': expected one of all, emdb, synthetic, which is what {folder} holds"]
    assert lines[10][0] == "ValueError"
    assert lines[11][0] == "DataError"
    assert lines[11][1].startswith("data_dir='.' is not a built dataset: ")
    assert [(kind, text.split()[0]) for kind, text in lines[12:]] == [("DataError", "humanmovevqa"), ("DataError", "revision='v1'")]
    assert run.stderr.count("humanmovevqa: using ") == 1
    assert f"humanmovevqa: using {folder} (data_dir)\n" in run.stderr


def test_the_name_stands_for_the_first_of_five(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folders = {name: tmp_path / name / "humanmovevqa" for name in ("given", "environment", "beside", "sample")}
    for folder in folders.values():
        export.write(folder, {"emdb": {"test": some_rows("emdb", range(1))}}, {}, {}, {})
    monkeypatch.setattr(rows, "SAMPLE", folders["sample"])
    monkeypatch.setenv("HUMANMOVEVQA_DATA", str(folders["environment"]))
    monkeypatch.setenv("HUMANMOVEVQA_REPO", "someone/humanmovevqa")
    monkeypatch.chdir(folders["beside"].parent)
    assert humanmovevqa.resolve(folders["given"]) == (folders["given"], None)
    assert humanmovevqa.resolve() == (folders["environment"], None)
    monkeypatch.delenv("HUMANMOVEVQA_DATA")
    assert humanmovevqa.resolve() == (folders["beside"], None)
    (tmp_path / "checkout" / "humanmovevqa").mkdir(parents=True)
    (tmp_path / "checkout" / "humanmovevqa" / "README.md").write_text("# code, not data")
    monkeypatch.chdir(tmp_path / "checkout")
    assert humanmovevqa.resolve() == (None, "someone/humanmovevqa")
    with pytest.raises(DataError, match="someone/humanmovevqa"):
        humanmovevqa.HumanMoveVQA()
    monkeypatch.delenv("HUMANMOVEVQA_REPO")
    assert humanmovevqa.resolve() == (folders["sample"], None)
    monkeypatch.setattr(rows, "SAMPLE", tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no HumanMoveVQA dataset found: .* is absent; run `humanmovevqa build` here, or pass data_dir="):
        humanmovevqa.load()
    monkeypatch.setenv("HUMANMOVEVQA_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"HUMANMOVEVQA_DATA='.*' is not a built dataset"):
        humanmovevqa.load()


def test_environment_and_hub_repo_reach_load_dataset(built: Path, cache: Path, tmp_path: Path):
    code = "import humanmovevqa\nout(load_dataset('humanmovevqa', split='test').num_rows)"
    assert said(code, tmp_path, cache, HUMANMOVEVQA_DATA=str(built / "humanmovevqa")) == [[4]]
    run = python(PRELUDE + code, tmp_path, cache, HUMANMOVEVQA_REPO="someone/humanmovevqa")
    assert "humanmovevqa: using someone/humanmovevqa (HUMANMOVEVQA_REPO, on the Hub)" in run.stderr
    assert "Couldn't reach 'someone/humanmovevqa' on the Hub" in run.stderr


def test_rebuilt_folder_is_never_served_from_the_cache(cache: Path, tmp_path: Path):
    code = """
import humanmovevqa, os
from pathlib import Path
from builder import export, rows
def build(robustness):
    rows = json.loads(Path("rows.json").read_text())
    for row in rows:
        row["robustness"] = robustness
    export.write(Path("humanmovevqa"), {"emdb": {"test": rows}}, {}, {}, {})
for robustness in (0.25, 0.75, 0.25):
    build(robustness)
    d = load_dataset("humanmovevqa", split="test")
    out(d["robustness"][:], d.cache_files[0]["filename"].count("emdb-") + d.cache_files[0]["filename"].count("all-"))
"""
    (tmp_path / "rows.json").write_text(json.dumps(some_rows("emdb", range(2))))
    assert said(code, tmp_path, cache) == [[[0.25, 0.25], 1], [[0.75, 0.75], 1], [[0.25, 0.25], 1]]


def test_import_is_light_and_touches_nothing(tmp_path: Path, cache: Path):
    code = """
import logging, os
before = dict(os.environ)
import humanmovevqa
heavy = ("torch", "gradio", "decord", "torchcodec", "cv2", "av", "transformers", "scipy", "builder.cli")
out([m for m in heavy if m in sys.modules], dict(os.environ) == before, logging.getLogger().handlers)
"""
    assert said(code, tmp_path, cache) == [[[], True, []]]
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_builder_is_named(tmp_path: Path, cache: Path):
    (tmp_path / "foreign" / "builder").mkdir(parents=True)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "humanmovevqa.py").symlink_to(ROOT / "humanmovevqa.py")
    (tmp_path / "foreign" / "builder" / "__init__.py").write_text("")
    run = python("import humanmovevqa", tmp_path, cache, path=(tmp_path / "foreign", tmp_path / "ours"))
    assert f"ImportError: humanmovevqa expected its own package 'builder' in {ROOT}, but Python found another one at" in run.stderr
    assert str(tmp_path / "foreign" / "builder") in run.stderr.splitlines()[-1]


def test_hook_matches_the_installed_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What `register` relies on; a new `datasets` that breaks it must fail here and not at a user's."""
    monkeypatch.chdir(tmp_path)  # a checkout may hold a built ./humanmovevqa
    try:
        humanmovevqa.unregister()
        original = datasets.load.dataset_module_factory
        assert original is datasets.inspect.dataset_module_factory
        assert next(iter(inspect.signature(original).parameters)) == "path"
        assert {"data_dir", "data_files", "revision"} <= set(inspect.signature(original).parameters)
        fields = list(inspect.signature(datasets.load.DatasetModule).parameters)
        assert fields[:4] == ["module_path", "hash", "builder_kwargs", "builder_configs_parameters"]
        assert {"builder_configs", "default_config_name"} <= set(inspect.signature(datasets.load.BuilderConfigsParameters).parameters)
        assert "dataset_module_factory" in datasets.load.load_dataset_builder.__code__.co_names
        with pytest.raises((ConnectionError, FileNotFoundError, ValueError)):
            datasets.load_dataset("humanmovevqa", cache_dir=str(tmp_path))
        humanmovevqa.register()
        wrapped = datasets.load.dataset_module_factory
        humanmovevqa.register()
        assert datasets.load.dataset_module_factory is wrapped is not original
        humanmovevqa.unregister()
        humanmovevqa.unregister()
        assert datasets.load.dataset_module_factory is datasets.inspect.dataset_module_factory is original
    finally:
        humanmovevqa.register()


def test_other_names_go_through_untouched(tmp_path: Path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    module = datasets.load.dataset_module_factory("csv", data_files=str(tmp_path / "x.csv"))
    assert module.module_path == "datasets.packaged_modules.csv.csv"


def test_a_datasets_without_the_factory_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(datasets.inspect, "dataset_module_factory")
    with pytest.raises(DataError, match=r"has no datasets.inspect.dataset_module_factory to extend; install datasets>=5.2,<6"):
        humanmovevqa.register()


def test_main_is_the_command_line(monkeypatch: pytest.MonkeyPatch):
    cli: Any = types.ModuleType("builder.cli")
    cli.main = lambda argv: len(argv or [])
    monkeypatch.setitem(sys.modules, "builder.cli", cli)
    assert humanmovevqa.main(["list", "x"]) == 2
