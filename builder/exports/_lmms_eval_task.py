"""HumanMoveVQA as a task of lmms-eval: prompt, parser and score are those of the project, copied in, so that nothing else is needed.

Written by `humanmovevqa export lmms-eval`.  Videos lie in the folder that HUMANMOVEVQA_VIDEO_DIR names, or in `videos` beside
this file, as `<source>/<sequence>/<clip>.mp4`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from builder.prompts import LETTERS, SYSTEM, parse, render

VARIABLE = "HUMANMOVEVQA_VIDEO_DIR"
SKIP = "HUMANMOVEVQA_MISSING"  # "skip" leaves out questions whose video is not there; the number of questions then says so


def video_file(doc: dict[str, Any]) -> Path:
    """Where the clip of a question should lie."""
    root = os.environ.get(VARIABLE)
    return (Path(root).expanduser() if root else Path(__file__).resolve().parent / "videos") / doc["video_path"]


def process_docs(dataset: Any) -> Any:
    """The questions whose videos are there; all must be, unless HUMANMOVEVQA_MISSING=skip."""
    paths = dict(zip(dataset["video_path"], map(video_file, dataset.select_columns(["video_path"])), strict=True))
    missing = sorted(path for path, file in paths.items() if not file.is_file())
    if not missing:
        return dataset
    if os.environ.get(SKIP) != "skip" or len(missing) == len(paths):
        raise SystemExit(  # an exception would be tried again, and its message lost
            f"{len(missing)} of {len(paths)} videos are missing, the first: {paths[missing[0]]}; set {VARIABLE} to the folder that holds "
            f"<source>/<sequence>/<clip>.mp4, or {SKIP}=skip to leave their questions out"
        )
    gone = set(missing)
    return dataset.select([n for n, path in enumerate(dataset["video_path"]) if path not in gone])


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The clip, as a path."""
    return [str(video_file(doc))]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str] | None = None) -> str:
    """The frame of reference, the question, its options, and how to answer; a model's own words may go around it."""
    around = lmms_eval_specific_kwargs or {}
    return f"{around.get('pre_prompt', '')}{SYSTEM}\n\n{render(doc['question'], doc['options'])}{around.get('post_prompt', '')}"


def doc_to_target(doc: dict[str, Any]) -> str:
    """The letter of the right option."""
    return LETTERS[doc["answer_index"]]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, dict[str, Any]]:
    """One record per metric; `score` is free of chance (guessing 0, right 100), `video_id` is what errors are clustered by."""
    k = len(doc["options"])
    choice = parse(results[0] if results else "", k, doc["options"])
    right = choice == doc["answer_index"]
    record = {
        "question_id": doc["id"],
        "video_id": doc["video_id"],
        "category": doc["category"],
        "score": 100 * (right - 1 / k) / (1 - 1 / k),
        "correct": float(right),
        "invalid": float(choice is None),
    }
    return dict.fromkeys(("score_macro", "score_micro", "accuracy", "invalid_rate"), record)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def score_macro(records: list[dict[str, Any]]) -> float:
    """Mean over the categories of the mean score of their questions."""
    by: dict[str, list[float]] = {}
    for record in records:
        by.setdefault(record["category"], []).append(record["score"])
    return _mean([_mean(values) for values in by.values()])


def score_micro(records: list[dict[str, Any]]) -> float:
    """Mean score of the questions."""
    return _mean([record["score"] for record in records])


def accuracy(records: list[dict[str, Any]]) -> float:
    """Percent right."""
    return 100 * _mean([record["correct"] for record in records])


def invalid_rate(records: list[dict[str, Any]]) -> float:
    """Percent of replies that name no option; they count as wrong."""
    return 100 * _mean([record["invalid"] for record in records])
