"""Scores of runs for a model's page on the Hub: `.eval_results/*.yaml` for leaderboards, `model-index.yaml` for its card.

Values are points (0 is guessing, 100 all right) for the tasks in the dataset's `eval.yaml`: overall, each source, each category.
Copy the folder's content into the model repo; nothing is uploaded.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import runs
from builder.exports import write_folder
from builder.types import DataError

HELP = "scores of runs as a model page's evaluation results"
EXAMPLE = "humanmovevqa export hub-results --run runs/video --data your-name/humanmovevqa --out results"
INDEX = "model-index.yaml"
METRIC = "chance-normalised score"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this format."""
    parser.add_argument("--run", dest="runs", type=Path, action="append", required=True, metavar="RUN", help="a run folder; repeatable")
    parser.add_argument("--data", metavar="OWNER/NAME", help="the dataset's Hub repo (default: the one that the run read)")
    parser.add_argument("--revision", metavar="SHA", help="the dataset's commit")
    parser.add_argument("--model-name", metavar="NAME", help="the model's name in its card (default: the checkpoint's)")
    parser.add_argument("--date", metavar="YYYY-MM-DD", help="when it was run (default: the Hub takes the commit's)")
    parser.add_argument("--url", metavar="URL", help="where the run's samples can be seen")
    parser.add_argument("--partial", action="store_true", help="write also where questions are unanswered, and say so in the notes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    found = runs.read(args.runs)
    files = render(
        [(one, runs.results(one)) for one in found], args.data, args.revision, args.model_name, args.date, args.url, args.partial
    )
    write_folder(args.out, files, INDEX)
    print(f"{args.out}: {', '.join(sorted(files))}")
    return 0


def render(
    found: Sequence[tuple[runs.Run, Mapping[str, Any]]],
    repo: str | None,
    revision: str | None = None,
    model_name: str | None = None,
    date: str | None = None,
    url: str | None = None,
    partial: bool = False,
) -> dict[str, str]:
    """Relative path -> text: one `.eval_results` file per run, whose notes keep settings apart, and the model index of them all.

    Raises DataError where no Hub repo is known, or questions are unanswered and `partial` is not set.
    """
    import yaml
    from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.repocard_data import eval_results_to_model_index

    files: dict[str, str] = {}
    index: list[Any] = []
    name = model_name or Path(str(found[0][0].config["identity"]["checkpoint"] or found[0][0].config["identity"]["model"])).name
    for one, result in found:
        data = repo or result["data"]["name"]
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", data) or data == "humanmovevqa/sample":
            raise DataError(f"{one.folder}: the run read {result['data']['name']!r}, which is no Hub repo; pass --data OWNER/NAME")
        left = result["expected"] - result["n"]
        if left and not partial:
            raise DataError(f"{one.folder}: {left} of {result['expected']} questions are unanswered; finish the run, or pass --partial")
        if not result["n"]:
            raise DataError(f"{one.folder}: nothing is answered yet")
        notes = _notes(one, left)
        values = _values(result)
        entries = [EvalResultEntry(data, task, value, revision, date=date, source_url=url, notes=notes) for task, value, _ in values]
        file = f".eval_results/humanmovevqa-{result['mode']}-{result['run'][:8]}.yaml"
        files[file] = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
        for task, value, split in values:
            index.append(
                EvalResult(
                    task_type="video-text-to-text",
                    dataset_type=data,
                    dataset_name="HumanMoveVQA",
                    dataset_config=result["data"]["config"],
                    dataset_split=split,
                    dataset_revision=revision,
                    metric_type="chance_normalised_score",
                    metric_name=f"{METRIC}, {task} ({notes})",
                    metric_value=value,
                )
            )
    files[INDEX] = yaml.safe_dump({"model-index": eval_results_to_model_index(name, index)}, sort_keys=False, allow_unicode=True)
    return files


def _values(result: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """(task, points, split) of everything that has a score."""
    split = result["data"]["split"]
    rows = [("overall", result["score_macro"])]
    rows += [(source, cell["score"]) for source, cell in result["by_source"].items()]
    rows += [(category, cell["score"]) for category, cell in result["by_category"].items()]
    return [(task, value, split) for task, value in rows if value is not None]


def _notes(one: runs.Run, left: int) -> str:
    """The setting in a line."""
    identity = one.config["identity"]
    shown = f", {identity['frames']} frames of {identity['pixels']} pixels" if "frames" in identity else ""
    way = identity["weights"].get("answer", "") if isinstance(identity["weights"], Mapping) else ""
    parts = [f"{identity['mode']}{shown}", way, f"prompt {identity['prompt']}", f"{left} questions unanswered" if left else ""]
    return "; ".join(filter(None, parts))
