"""Put a model before the questions: every reply is kept in a run folder, from which the scores are made.

Stopped at any moment, the same command goes on where it was; no question is asked twice.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from builder.terminal import bar, busy
from builder.types import BuildError
from builder.verbs import BUILT_OR_SAMPLE, at_least, options_of, quiet_option, read

HELP = "a model's answers to the questions, and its scores"
EXAMPLE = "humanmovevqa evaluate --model qwen3_vl=Qwen/Qwen3-VL-8B-Instruct --data humanmovevqa --videos clips --frames 64"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "--model", required=True, metavar="NAME[=CHECKPOINT]", help="a model (see `humanmovevqa list`) and its weights or setting"
    )
    parser.add_argument("--data", metavar="DIR|FILE|REPO", help=f"built dataset, file of rows, or Hub repo {BUILT_OR_SAMPLE}")
    parser.add_argument("--config", default="all", metavar="NAME", help="config of the dataset (default: all)")
    parser.add_argument("--split", default="test", metavar="NAME", help="split that is asked (default: test)")
    parser.add_argument(
        "--columns", metavar="ROLE=COLUMN,...", help="what other people's columns mean, such as question=query,options=a+b+c+d"
    )
    parser.add_argument("--videos", type=Path, metavar="DIR", help="folder of the clips (default: $HUMANMOVEVQA_VIDEO_DIR)")
    parser.add_argument("--missing", choices=("refuse", "skip"), default="refuse", help="what to do about clips that are not there")
    parser.add_argument("--frames", type=int, metavar="N", help="frames shown of each clip (default: the model's, usually 64)")
    parser.add_argument("--pixels", type=int, metavar="N", help="most pixels of one frame (default: the model's, usually 65536)")
    parser.add_argument(
        "--mode", default="video", metavar="MODE", help="video, or a probe: blind, shuffled, reversed, first-frame, track-text"
    )
    parser.add_argument("--circular", action="store_true", help="ask every question once per rotation of its options")
    parser.add_argument("--shard", metavar="I/N", help="answer the I-th of N shares of the clips, I from 1")
    parser.add_argument("--limit", type=int, metavar="N", help="only N questions, always the same ones")
    parser.add_argument(
        "--option", action="append", metavar="KEY=VALUE", default=[], help="an option of the model, such as adapter=DIR; repeatable"
    )
    parser.add_argument("--max-cost", type=float, metavar="X", help="refuse to start when the estimate is above this")
    parser.add_argument(
        "--source", action="append", metavar="NAME[=ROOT]", help="where tracks come from, for models that see tracks; repeatable"
    )
    parser.add_argument("--lifter", metavar="NAME", help="what makes those tracks (default: groundtruth)")
    parser.add_argument("--work", type=Path, default=Path("work"), metavar="DIR", help="keeps what was lifted (default: ./work)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<model>-<mode>-<digest>)")
    quiet_option(parser, "the table, warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the table of what is answered so far."""
    from builder import evaluate, rows, runs, tables, watching

    at_least(args, limit=1, frames=1, pixels=1)
    name, _, checkpoint = args.model.partition("=")
    columns = rows.column_map(args.columns)
    data = read(args, columns)
    videos = args.videos or (Path(os.environ[watching.VARIABLE]) if os.environ.get(watching.VARIABLE) else None)
    plan = evaluate.Plan(
        model=name,
        checkpoint=checkpoint or None,
        options=options_of(args),
        mode=args.mode,
        frames=args.frames,
        pixels=args.pixels,
        circular=args.circular,
        shard=shard(args.shard),
        limit=args.limit,
        videos=videos,
        skip_missing=args.missing == "skip",
        sources=tuple((n, root or None) for n, _, root in (s.partition("=") for s in args.source or ())),
        work=args.work,
        max_cost=args.max_cost,
        train=lambda: rows.read(args.data, args.config, "train", columns),
        **({"lifter": args.lifter} if args.lifter else {}),
    )
    out = args.out or evaluate.out_folder(plan, data)

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    say(f"{len(data.items)} questions of {data.name} ({data.config}, {data.split}) into {out}")
    with bar("questions answered", len(evaluate.part(data.items, plan)), args.quiet) as progress:
        found = evaluate.evaluate(data, plan, out, progress, say)
    with busy("scoring", args.quiet):
        result = runs.write_results(found)
    print("\n".join([*tables.table([result]), "", *tables.notes(result)]))
    return 0


def shard(text: str | None) -> tuple[int, int] | None:
    """ "2/4" as (2, 4).  Raises BuildError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise BuildError(f"--shard {text}: expected I/N with I from 1 to N, such as 2/4")
    return int(match[1]), int(match[2])
