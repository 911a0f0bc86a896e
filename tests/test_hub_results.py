"""Scores as a model page's evaluation results: what the Hub's own reader makes of the files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaged import TEST

from builder import card, cli, rows

TASKS = {t["id"] for t in yaml.safe_load((rows.SAMPLE / "eval.yaml").read_text())["tasks"]}
CHANCE = ("evaluate", "--model", "chance", "--data", str(rows.SAMPLE), "--quiet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "chance"
    assert cli.main([*CHANCE, "--out", str(run)]) == 0
    return run


def test_the_hub_reads_values_for_the_dataset_s_own_tasks(made: Path, tmp_path: Path):
    from huggingface_hub import parse_eval_result_entries
    from huggingface_hub.repocard_data import model_index_to_eval_results

    out = tmp_path / "out"
    more = ["--data", "me/humanmovevqa", "--revision", "0" * 40, "--model-name", "my-model", "--date", "2026-11-26"]
    assert cli.main(["export", "hub-results", "--run", str(made), "--out", str(out), *more]) == 0
    (file,) = (out / ".eval_results").iterdir()
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    assert {e.task_id for e in entries} <= TASKS
    assert {"overall", "sample", "numerical"} <= {e.task_id for e in entries}
    assert all((e.dataset_id, e.dataset_revision, e.date) == ("me/humanmovevqa", "0" * 40, "2026-11-26") for e in entries)
    results: dict[str, Any] = yaml.safe_load((made / "results.json").read_text())
    values = {e.task_id: e.value for e in entries}
    assert values["overall"] == results["score_macro"]
    assert values["temporal"] == results["by_category"]["temporal"]["score"]
    assert all("prompt " in (e.notes or "") for e in entries)
    index = yaml.safe_load((out / "model-index.yaml").read_text())["model-index"]
    name, found = model_index_to_eval_results(index)
    assert name == "my-model"
    assert Counter(r.metric_name for r in found).most_common(1)[0][1] == 1, "two metrics of one name"
    assert sorted(r.metric_value for r in found) == sorted(values.values())


def test_what_cannot_be_published_is_one_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    few = tmp_path / "few"
    assert cli.main([*CHANCE, "--limit", "5", "--out", str(few)]) == 0
    capsys.readouterr()
    for run, more, says in (
        (made, [], "is no Hub repo; pass --data OWNER/NAME"),
        (few, ["--data", "me/it"], f"{TEST - 5} of {TEST} questions are unanswered"),
        (tmp_path / "none", ["--data", "me/it"], "expected a run folder"),
    ):
        assert cli.main(["export", "hub-results", "--run", str(run), "--out", str(tmp_path / "out"), *more]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(["export", "hub-results", "--run", str(few), "--out", str(tmp_path / "out"), "--data", "me/it", "--partial"]) == 0
    (file,) = (tmp_path / "out" / ".eval_results").iterdir()
    assert f"{TEST - 5} questions unanswered" in file.read_text()


def test_task_names_are_those_of_the_card():
    assert card.tasks({"all": {"test": []}, "sample": {"test": []}}).count("- id:") == len(TASKS)
