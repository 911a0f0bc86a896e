"""Fine-tune a model on the train split, and evaluate it on the test split.

`qwen3_vl=CHECKPOINT` gets a LoRA adapter that sees clips exactly as evaluation shows them.  `track_reader` is trained from nothing on
scripted people and needs no video.  `--recipe` runs a study: several trainings that differ in one thing, a table and a picture.  Stopped at
any moment, the same command goes on: from the last checkpoint, the people made and the trainings finished.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from builder.terminal import bar
from builder.types import SetupError
from builder.verbs import BUILT_OR_SAMPLE, at_least, quiet_option, read

HELP = "fine-tune a model on the train split"
EXAMPLE = "humanmovevqa train --model qwen3_vl=Qwen/Qwen3-VL-8B-Instruct --data humanmovevqa --videos clips --out tuned"
MODELS = ("qwen3_vl=CHECKPOINT", "track_reader", "track_reader=FILE")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--model", required=True, metavar="NAME[=CHECKPOINT]", help=f"what is trained: {', '.join(MODELS)}")
    parser.add_argument("--data", metavar="DIR|FILE|REPO", help=f"as for evaluate {BUILT_OR_SAMPLE}")
    parser.add_argument("--config", default="all", metavar="NAME", help="config of the dataset (default: all)")
    parser.add_argument("--split", default="train", metavar="NAME", help="split that is learnt from (default: train)")
    parser.add_argument("--test-split", default="test", metavar="NAME", help="split that is asked at the end, or none (default: test)")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="folder of the clips (default: $HUMANMOVEVQA_VIDEO_DIR)")
    parser.add_argument(
        "--reasoning", choices=("none", "short"), default="none", help="replies: the answer alone, or short reasoning first"
    )
    parser.add_argument("--frames", type=int, default=64, metavar="N", help="frames shown of each clip (default: 64)")
    parser.add_argument("--pixels", type=int, default=65_536, metavar="N", help="most pixels of one frame (default: 65536)")
    parser.add_argument(
        "--timestamps", choices=("true", "llamafactory"), default="true", help="seconds that the model reads (default: true)"
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        default=[],
        help="a number of the training, such as epochs=2 or rank=8 (track_reader: people, steps, rate, seed); repeatable",
    )
    parser.add_argument("--recipe", metavar="NAME", help="a study instead of one training: cross, frames, resolution or reasoning")
    parser.add_argument("--values", metavar="A,B,...", help="what a study varies over, such as 8,16,32 (default: the study's own)")
    parser.add_argument(
        "--source",
        action="append",
        metavar="NAME[=ROOT]",
        help="open tracks that a track reader's study learns from, a group each; repeatable (default: its own people)",
    )
    parser.add_argument("--work", type=Path, default=Path("work"), help="work folder for track_reader's people (default: ./work)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that make them (default: 2)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of checkpoints, adapter, curves and evaluation")
    quiet_option(parser, "warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the result lies."""
    from builder import rows, sft, watching
    from builder.train import lessons, lora, reader, studies

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    def bars(title: str, total: int) -> AbstractContextManager[Callable[[int, int, str], None]]:
        return bar(title, total, args.quiet)

    at_least(args, frames=1, pixels=1, workers=1)
    name, _, checkpoint = args.model.partition("=")
    numbers = [(key, value) for key, _, value in (text.partition("=") for text in args.set)]
    values = [v.strip() for v in (args.values or "").split(",") if v.strip()]
    if not args.recipe and (values or args.source):
        raise SetupError("--values and --source belong to a study; name it with --recipe")
    if name == "track_reader":
        made = sft.tuned(numbers, reader.Plan(work=args.work, workers=args.workers))
        if args.recipe and checkpoint:
            raise SetupError(f"--model {args.model}: a study trains its readers from nothing; leave out {checkpoint}")
        if args.recipe:
            student = studies.Readers(tuple(args.source or (lessons.CAST,)), made, bars, say)
            print(studies.study(args.recipe, student, values, args.out, say))
        else:
            print(reader.train(made, args.out, bars, say, Path(checkpoint) if checkpoint else None))
        return 0
    if name != "qwen3_vl" or not checkpoint:
        raise SetupError(f"--model {args.model}: expected {' or '.join(MODELS)}")
    plan = lora.Plan(
        checkpoint=checkpoint,
        frames=args.frames,
        pixels=args.pixels,
        reasoning=args.reasoning,
        timestamps=args.timestamps,
        tuning=sft.tuned(numbers, sft.Tuning()),
        videos=args.videos or (Path(os.environ[watching.VARIABLE]) if os.environ.get(watching.VARIABLE) else None),
    )
    data = read(args)
    test = None if args.test_split == "none" else lambda: rows.read(args.data, args.config, args.test_split)
    if args.recipe:
        if args.source or test is None:
            raise SetupError(
                "a study of a video model takes its groups from --data and ends with --test-split: leave out --source and none"
            )
        print(studies.study(args.recipe, studies.Adapters(data, test(), plan, bars, say), values, args.out, say))
        return 0
    print(lora.train(data, test, plan, args.out, bars, say))
    return 0
