"""Make the dataset folder: lift, describe, ask, keep what survives doubt, flatten priors, export.

Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builder import captioner, recipe
from builder.terminal import bar, busy
from builder.types import BuildError, SourceError
from builder.verbs import at_least, lifter_options, options_of, quiet_option, sources_of

HELP = "make the dataset folder from tracks or videos"
CAPTIONING = ("captioner", "clothing", "portraits", "fits", "outputs")
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
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--seed", type=int, metavar="S", help="replace the recipe's seed")
    parser.add_argument("--strict", action="store_true", help="fail when a clip is skipped or a category can be guessed without watching")
    parser.add_argument("--no-report", action="store_true", help="leave report.html out")
    quiet_option(parser, "warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Build the dataset folder, or one rank's share of the work."""
    from builder import corpus, export, lifting, pipeline

    if (args.rank is None) != (args.world_size is None):
        raise BuildError("--rank and --world-size belong together: expected both or neither")
    if args.rank is not None and not 0 <= args.rank < args.world_size:
        raise BuildError(f"--rank: expected 0 to {args.world_size - 1} for --world-size {args.world_size}, got {args.rank}")
    at_least(args, workers=1, limit=1, seed=0)
    changes = {} if args.seed is None else {"seed": args.seed}
    lifter, options = args.lifter, options_of(args)
    if args.captioner is not None:
        made_by = lifting.code_digest(*CAPTIONING, f"lifters/{lifter or lifting.DEFAULT}")
        options = {**options, "captioner": args.captioner, "lifter": lifter, "code": made_by}
        lifter = "captioned"
    plan = pipeline.Plan(sources_of(args), lifter, recipe.load(args.recipe, **changes), args.work, args.limit, options)
    for name, _ in plan.sources:
        if "." in name:
            raise SourceError(f"source {name}: expected a file of builder/sources by its name, which every row bears; put yours there")
    export.check_target(args.out)
    clips = pipeline.clips_of(plan)
    for lifter in sorted({lifting.lifter_of(clip, plan.lifter) for clip in clips} - {lifting.TRUTH}):
        lifting.load(lifter, plan.options)  # a wrong name or missing weights are one mistake, not one per clip

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    mine = clips if args.rank is None else clips[args.rank :: args.world_size]
    say(f"{len(mine)} clips of {', '.join(name for name, _ in plan.sources)}; what is done of them is kept in {args.work}")
    with bar("tracks to questions", len(mine), args.quiet) as progress:
        here = args.captioner is not None and not captioner.is_address(args.captioner)
        pipeline.process(mine, plan, 1 if here else args.workers, progress)  # one copy of a captioner's weights fits, many may not
    if args.rank is not None:
        say(
            f"rank {args.rank} of {args.world_size}: {len(mine)} clips done in {args.work}; when all ranks are, run without --rank to merge"
        )
        return 0

    people, found, _ = pipeline.gather(clips, plan)
    people = corpus.in_source_frames(people, clips)
    skipped = corpus.placeless(found, clips)
    for one in skipped:
        print(f"skipped {one['clip_id']}: {one['reason']}", file=sys.stderr)
    if not people:
        raise BuildError(f"no track of {len(clips)} could be used; the reasons stand above")
    say(f"assembling {sum(len(p.questions) for p in people)} questions of {len(people)} people")
    with busy("choosing questions that cannot be guessed", args.quiet):
        made = corpus.build(people, skipped, plan.recipe)
    wrong = corpus.complaints(made.info)
    if args.strict and wrong:
        raise BuildError(f"--strict: {len(wrong)} complaint(s), nothing was exported; the first: {wrong[0]}")
    page = None
    if not args.no_report:
        from builder import viz

        with busy("drawing the report", args.quiet):
            shown = corpus.examples(made, people, {c.clip_id: c for c in clips}, plan)
            page = viz.report(made.info, made.prior_tables, shown)
    with busy(f"writing {args.out}", args.quiet):
        corpus.export_to(args.out, made, page)
    summary(made.info, args.out, say)
    return 0


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
