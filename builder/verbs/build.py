"""Make the dataset folder: lift, describe, ask, keep what survives doubt, flatten priors, export.

Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import captioner, recipe
from builder.terminal import bar, busy
from builder.types import BuildError, SourceError
from builder.verbs import at_least, lifter_options, options_of, quiet_option, sources_of

if TYPE_CHECKING:
    from builder.pipeline import Plan

HELP = "make the dataset folder from tracks or videos"
STAGES = ("lift", "ask")
EXECUTORS = ("local", "slurm", "ray")
EXAMPLE = "humanmovevqa build --source synthetic=1000 --source tracks=my/tracks --workers 2 --strict"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "--source", action="append", metavar="NAME[=ROOT]", help="a source and its folder or size; repeatable (default: sample)"
    )
    parser.add_argument("--lifter", default="", metavar="NAME", help="video to track (default: the source's ground truth, else monocular)")
    lifter_options(parser)
    parser.add_argument(
        "--captioner",
        nargs="?",
        const=captioner.DEFAULT,
        metavar="CHECKPOINT|URL",
        help=f"name people by their clothes where several are in view; a checkpoint (default: {captioner.DEFAULT}) or http://HOST/v1#MODEL",
    )
    parser.add_argument("--recipe", default="default", metavar="NAME|FILE", help="thresholds, quotas and seed (default: default)")
    parser.add_argument("--out", type=Path, default=Path("humanmovevqa"), metavar="DIR", help="folder to write (default: ./humanmovevqa)")
    parser.add_argument("--work", type=Path, default=Path("work"), metavar="DIR", help="keeps what is done, clip by clip (default: ./work)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")
    parser.add_argument(
        "--rank", type=int, default=None, metavar="R", help="process only every W-th clip from the R-th on; run without --rank to merge"
    )
    parser.add_argument("--world-size", type=int, default=None, metavar="W", help="the number of ranks")
    parser.add_argument(
        "--stage", choices=STAGES, help="only lift, or only lift and ask, the clips or a rank's share; run without --stage to merge"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="try again what failed before; `humanmovevqa status WORK` says why it did"
    )
    parser.add_argument(
        "--engine", choices=("processes", "datatrove"), default="processes", help="what runs the stages (default: processes)"
    )
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help="of datatrove: where tasks run (default: local)")
    parser.add_argument("--tasks", type=int, metavar="N", help="of datatrove: shares of the clips (default: as --workers)")
    parser.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="STAGE:KEY=VALUE,...",
        help="of datatrove on SLURM or Ray: what a task of lift, ask or merge gets, such as lift:gpus=1,partition=a100; repeatable",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--seed", type=int, metavar="S", help="replace the recipe's seed")
    parser.add_argument("--strict", action="store_true", help="fail when a clip is skipped or a category can be guessed without watching")
    parser.add_argument("--no-report", action="store_true", help="leave report.html out")
    quiet_option(parser, "warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Build the dataset folder, or one rank's share of the work."""
    from builder import cluster, corpus, export, lifting, pipeline, plans, room, store

    _need_sense(args)
    plan, changes = plan_of(args)
    for name, _ in plan.sources:
        if "." in name:
            raise SourceError(f"source {name}: expected a file of builder/sources by its name, which every row bears; put yours there")
    whole = args.rank is None and args.stage is None
    if whole:
        export.check_target(args.out)
    store.Work(plan.work).need_writable()
    with busy("looking for clips", args.quiet):
        clips = pipeline.clips_of(plan)
    for lifter in sorted({lifting.lifter_of(clip, plan.lifter) for clip in clips} - {lifting.TRUTH}):
        lifting.load(lifter, plan.options)  # a wrong name or missing weights are one mistake, not one per clip
    room.need(clips, plan, args.out if whole else None)
    plans.remember(plan, args.recipe, changes, args.workers * (args.world_size or 1))

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    def warn(text: str) -> None:
        print(text, file=sys.stderr)

    if args.engine == "datatrove":
        order = cluster.Order(plan, args.out, args.strict, not args.no_report)
        cluster.run(order, args.executor, args.tasks or args.workers, args.workers, cluster.resources_of(args.resources))
        say(f"submitted; `humanmovevqa status {args.work}` says how far it is" if args.executor == "slurm" else f"built {args.out}")
        return 0
    mine = clips if args.rank is None else clips[args.rank :: args.world_size]
    workers = 1 if args.captioner is not None and not captioner.is_address(args.captioner) else args.workers  # its weights may fit but once
    only_lift = args.stage == "lift"
    say(f"{len(mine)} clips of {', '.join(name for name, _ in plan.sources)}; what is done of them is kept in {args.work}")
    with bar("clips to tracks" if only_lift else "tracks to questions", len(mine), args.quiet) as progress:
        (pipeline.lift if only_lift else pipeline.process)(mine, plan, workers, progress)
    if not whole:
        share = f"rank {args.rank} of {args.world_size}: " if args.rank is not None else ""
        then = "without --stage, or with --stage ask" if only_lift else "without --rank and --stage to merge"
        say(f"{share}{len(mine)} clips done in {args.work}; when all are, run {then}; `humanmovevqa status {args.work}` says more")
        return 0
    bars = partial(bar, quiet=args.quiet)
    made = corpus.merge(plan, clips, args.out, args.strict, not args.no_report, say, warn, bars)
    summary(made, args.out, say)
    return 0


def _need_sense(args: argparse.Namespace) -> None:
    """Raise BuildError for options that do not go together."""
    if (args.rank is None) != (args.world_size is None):
        raise BuildError("--rank and --world-size belong together: expected both or neither")
    if args.rank is not None and not 0 <= args.rank < args.world_size:
        raise BuildError(f"--rank: expected 0 to {args.world_size - 1} for --world-size {args.world_size}, got {args.rank}")
    if args.engine == "datatrove" and (args.rank is not None or args.stage is not None):
        raise BuildError(
            "--engine datatrove shares the clips out and runs every stage by itself; leave --rank, --world-size and --stage out"
        )
    if args.engine != "datatrove" and (args.tasks is not None or args.resources or args.executor != "local"):
        raise BuildError("--tasks, --executor and --resources are for --engine datatrove")
    at_least(args, workers=1, limit=1, seed=0, tasks=1)


def plan_of(args: argparse.Namespace) -> tuple[Plan, dict[str, int]]:
    """The plan that the options state, and what they change of the recipe."""
    from builder import lifting, lineage
    from builder.pipeline import Plan

    changes = {} if args.seed is None else {"seed": args.seed}
    lifter, options = args.lifter, options_of(args)
    if args.captioner is not None:
        inner = lineage.code_of(f"lifters/{lifter or lifting.DEFAULT}")
        options = {**options, "captioner": args.captioner, "lifter": lifter, "code": inner}
        lifter = "captioned"
    used = recipe.load(args.recipe, **changes)
    return Plan(sources_of(args), lifter, used, args.work, args.limit, options, args.retry_failed), changes


def summary(info: Mapping[str, Any], out: Path, say: Callable[[str], None]) -> None:
    """Say in a few lines what was built and what to be careful about."""
    from builder.corpus import complaints

    generated = info["generated"]
    after = sum(generated["after"].values())
    say(f"{after} questions about {generated['tracks']} people in {out} ({len(generated['skipped'])} clips skipped)")
    for solver, kinds in info["blind"].items():
        for kind, table in kinds.items():
            mean = table.get("mean")
            score = f"{mean['score']:.1f} points [{mean['low']:.1f}, {mean['high']:.1f}]: " if mean else ""
            say(f"blind solver {solver!r} on {kind} sources: {score}{table['verdict']}")
    for line in complaints(info)[len(generated["skipped"]) :]:
        print(f"WARNING: {line}", file=sys.stderr)
    say(f"load it here:  python -c \"from datasets import load_dataset; print(load_dataset('{out}'))\"")
