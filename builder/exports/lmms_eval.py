"""A task folder for lmms-eval: `humanmovevqa.yaml`, `utils.py` with the project's prompt and parser, and how to run it.

Questions about one video are not independent, so standard errors are clustered by video (`cluster_key`).
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path

from builder import export, prompts
from builder.exports import _lmms_eval_task, common_options, write_folder
from builder.types import DataError

HELP = "a task folder for lmms-eval"
EXAMPLE = "humanmovevqa export lmms-eval --data your-name/humanmovevqa --out task"
TASK = "humanmovevqa.yaml"
REPO = re.compile(r"[\w.-]+/[\w.-]+")
METRICS = (("score_macro", True), ("score_micro", True), ("accuracy", True), ("invalid_rate", False))
YAML = """\
# HumanMoveVQA: where a person in a video went, and which way they faced.  Written by `humanmovevqa export lmms-eval`.
task: {task}
dataset_path: {path}
dataset_name: {config}
test_split: {split}
output_type: generate_until
process_docs: !function utils.process_docs
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: !function utils.doc_to_target
generation_kwargs:
  max_new_tokens: 64
  temperature: 0
  do_sample: false
process_results: !function utils.process_results
cluster_key: video_id
score_key: score
metric_list:
{metrics}lmms_eval_specific_kwargs:
  default:
    pre_prompt: ""
    post_prompt: ""
metadata:
  version: {version}
  prompt: {prompt}
"""
README = """\
# HumanMoveVQA for lmms-eval

    export HUMANMOVEVQA_VIDEO_DIR=/folder/with/the/clips
    python -m lmms_eval --include_path {out} --tasks {task} --model qwen3_vl \\
        --model_args pretrained=Qwen/Qwen3-VL-8B-Instruct,max_num_frames=64 --batch_size 1 --log_samples --output_path results

The clips lie there as `<source>/<sequence>/<clip>.mp4` (`humanmovevqa verify --videos DIR` checks them), or in `videos` beside the task.
`score_macro` is the mean over the seven categories of the chance-normalised score (guessing 0, all right 100);
`HUMANMOVEVQA_MISSING=skip` leaves out questions whose video is missing, and the number of questions then tells.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this format."""
    common_options(parser)
    parser.add_argument("--task", default="humanmovevqa", metavar="NAME", help="the task's name in lmms-eval (default: humanmovevqa)")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    if not re.fullmatch(r"\w[\w.-]*", args.task):
        raise DataError(f"--task {args.task!r}: expected letters, digits, '_', '-' and '.'")
    write_folder(args.out, files(args.data, args.config, args.split, args.task, args.out), TASK)
    if not args.quiet:
        print(f"python -m lmms_eval --include_path {args.out} --tasks {args.task} --model ...", file=sys.stderr)
    return 0


def files(data: str, config: str, split: str, task: str, out: Path) -> dict[str, str]:
    """Name -> text of the folder's files.  `data` is a built folder, which is checked, or a repo, which is only named."""
    folder = Path(data).expanduser()
    if folder.is_dir():
        have = export.configs(folder)
        if config not in have or split not in have[config]:
            there = "; ".join(f"{c}: {', '.join(s)}" for c, s in have.items())
            raise DataError(f"--config {config} --split {split}: {folder} holds {there}")
        path = str(folder.resolve())
    elif REPO.fullmatch(data):
        path = data
    else:
        raise DataError(f"--data {data}: expected a built folder, or a repo OWNER/NAME on the Hub, found neither")
    metrics = "".join(
        f"- metric: {name}\n  aggregation: !function utils.{name}\n  higher_is_better: {str(better).lower()}\n" for name, better in METRICS
    )
    values = {"task": task, "path": _quoted(path), "config": config, "split": split, "metrics": metrics}
    return {
        TASK: YAML.format(**values, version=export.FORMAT.rpartition("/")[2], prompt=prompts.digest()),
        "utils.py": standalone(),
        "README.md": README.format(out=out, task=task),
    }


def standalone() -> str:
    """`_lmms_eval_task.py` with the source of `builder/prompts.py` in the place of its import: one file that needs no other of ours."""
    doc, task = _body(inspect.getsource(_lmms_eval_task))
    _, prompt = _body(inspect.getsource(prompts))
    lines = [line for line in task.splitlines() if not line.startswith("from builder.")]
    return f'"""{doc}"""\n\nfrom __future__ import annotations\n\n{prompt.strip()}\n\n\n# The task.\n\n' + "\n".join(lines).strip() + "\n"


def _body(source: str) -> tuple[str, str]:
    """The docstring of a module, and its source without it and without `from __future__`."""
    tree = ast.parse(source)
    first = tree.body[0]
    rest = "\n".join(source.splitlines()[first.end_lineno or 0 :])
    doc = ast.get_docstring(tree, clean=False) or ""
    return doc, rest.replace("from __future__ import annotations\n", "", 1)


def _quoted(text: str) -> str:
    """A path as a YAML string."""
    return "'" + text.replace("'", "''") + "'"
