"""The command line: one function per verb.  A user's mistake prints one line and exits with 2; a bug keeps its traceback."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder import __version__, plugins, recipe
from builder.types import BuildError, HumanMoveError, VideoError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code: 0 done, 2 a user's mistake or an unmet bar, 130 interrupted."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except HumanMoveError as error:
        print(f"humanmovevqa {args.verb}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"\nhumanmovevqa {args.verb}: interrupted; everything finished is kept, run the same command to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of every verb."""
    top = argparse.ArgumentParser(prog="humanmovevqa", description="Where did the person go, and which way did they turn?")
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    listing = verbs.add_parser("list", help="sources, lifters, question families, models, recipes")
    listing.set_defaults(run=run_list)

    build = verbs.add_parser(
        "build",
        help="make the dataset folder from tracks or videos",
        description="Make the dataset folder: lift, describe, ask, keep what survives doubt, flatten priors, export. Stopped at any "
        "moment, the same command goes on where it was.",
        epilog="example: humanmovevqa build --source synthetic=1000 --source tracks=my/tracks --workers 2 --strict",
    )
    build.add_argument(
        "--source", action="append", metavar="NAME[=ROOT]", help="a source and its folder or size; repeatable (default: sample)"
    )
    build.add_argument("--lifter", default="", metavar="NAME", help="video to track (default: the source's ground truth, else monocular)")
    _lifter_options(build)
    build.add_argument("--recipe", default="default", metavar="NAME|FILE", help="thresholds, quotas and seed (default: default)")
    build.add_argument("--out", type=Path, default=Path("humanmovevqa"), help="dataset folder to write (default: ./humanmovevqa)")
    build.add_argument("--work", type=Path, default=Path("work"), help="work folder with one artefact per clip (default: ./work)")
    build.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")
    build.add_argument(
        "--rank", type=int, default=None, metavar="R", help="process only every W-th clip from the R-th on; run without --rank to merge"
    )
    build.add_argument("--world-size", type=int, default=None, metavar="W")
    build.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    build.add_argument("--seed", type=int, metavar="S", help="replace the recipe's seed")
    build.add_argument("--strict", action="store_true", help="fail when a clip is skipped or a category can be guessed without watching")
    build.add_argument("--no-report", action="store_true", help="leave report.html out")
    build.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")
    build.set_defaults(run=run_build)

    lift = verbs.add_parser(
        "lift",
        help="one video to the 3D tracks of its people",
        description="Lift one video: for every person a track (.npz), what is known of it (.json) and a picture (.png), and a verdict.",
        epilog="example: humanmovevqa lift holiday.mp4 --option subject_height_m=1.62",
    )
    lift.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    lift.add_argument("--lifter", default="monocular", metavar="NAME", help="video to track (default: monocular)")
    _lifter_options(lift)
    lift.add_argument("--out", type=Path, metavar="DIR", help="folder to write into (default: ./<name of the video>-lifted)")
    lift.set_defaults(run=run_lift)

    validate = verbs.add_parser(
        "validate",
        help="a lifter against ground truth: drift, heading, and how many answers change",
        description="Lift every clip of a source that knows the truth, and compare: drift, heading, events, and the answers to the "
        "questions that would be published.  Stopped at any moment, the same command goes on where it was.",
        epilog="example: humanmovevqa validate --source synthetic=60@7:filmed --lifter monocular --out validation",
    )
    validate.add_argument("--source", action="append", required=True, metavar="NAME[=ROOT]", help="a source with ground truth; repeatable")
    validate.add_argument("--lifter", default="monocular", metavar="NAME", help="the lifter to validate (default: monocular)")
    _lifter_options(validate)
    validate.add_argument("--recipe", default="default", metavar="NAME|FILE", help="the recipe whose questions are asked")
    validate.add_argument("--out", type=Path, default=Path("validation"), help="folder for the results (default: ./validation)")
    validate.add_argument("--work", type=Path, default=Path("work"), help="work folder that keeps what was lifted (default: ./work)")
    validate.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: 1; a lifter may use several cores itself)"
    )
    validate.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    validate.add_argument("--fit", action="store_true", help="also print the [robustness] sizes that these errors call for")
    validate.add_argument("--quiet", action="store_true", help="print nothing but the table, warnings and errors")
    validate.set_defaults(run=run_validate)
    return top


def _lifter_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--option", action="append", metavar="KEY=VALUE", default=[], help="an option of the lifter, such as focal=1450; repeatable"
    )


def options_of(args: argparse.Namespace) -> dict[str, str]:
    """The lifter's options that were given.  Raises BuildError for one that is not KEY=VALUE."""
    pairs = [text.partition("=") for text in args.option]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise BuildError(f"--option {key}{equals}: expected KEY=VALUE, such as focal=1450")
    return {key: value for key, _, value in pairs}


def run_list(args: argparse.Namespace) -> int:
    """Print every plugin and recipe by kind."""
    for kind in plugins.PACKAGES:
        print(f"{kind + ':':11} {', '.join(plugins.names(kind)) or '(none yet)'}")
    print(f"{'recipes:':11} {', '.join(recipe.names())}")
    return 0


def run_build(args: argparse.Namespace) -> int:
    """Build the dataset folder, or one rank's share of the work."""
    from builder import corpus, export, lifting, pipeline

    if (args.rank is None) != (args.world_size is None):
        raise BuildError("--rank and --world-size belong together: expected both or neither")
    if args.rank is not None and not 0 <= args.rank < args.world_size:
        raise BuildError(f"--rank: expected 0 to {args.world_size - 1} for --world-size {args.world_size}, got {args.rank}")
    at_least(args, workers=1, limit=1, seed=0)
    changes = {} if args.seed is None else {"seed": args.seed}
    plan = pipeline.Plan(sources_of(args), args.lifter, recipe.load(args.recipe, **changes), args.work, args.limit, options_of(args))
    export.check_target(args.out)
    clips = pipeline.clips_of(plan)
    for lifter in sorted({lifting.lifter_of(clip, plan.lifter) for clip in clips} - {lifting.TRUTH}):
        lifting.load(lifter, plan.options)  # a wrong name or missing weights are one mistake, not one per clip

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    mine = clips if args.rank is None else clips[args.rank :: args.world_size]
    with bar("tracks to questions", len(mine), args.quiet) as progress:
        pipeline.process(mine, plan, args.workers, progress)
    if args.rank is not None:
        say(
            f"rank {args.rank} of {args.world_size}: {len(mine)} clips done in {args.work}; when all ranks are, run without --rank to merge"
        )
        return 0

    people, found, _ = pipeline.gather(clips, plan)
    skipped = corpus.placeless(found, clips)
    for one in skipped:
        print(f"skipped {one['clip_id']}: {one['reason']}", file=sys.stderr)
    if not people:
        raise BuildError(f"no track of {len(clips)} could be used; the reasons stand above")
    say(f"assembling {sum(len(p.questions) for p in people)} questions of {len(people)} people")
    made = corpus.build(people, skipped, plan.recipe)
    wrong = corpus.complaints(made.info)
    if args.strict and wrong:
        raise BuildError(f"--strict: {len(wrong)} complaint(s), nothing was exported; the first: {wrong[0]}")
    page = None
    if not args.no_report:
        from builder import viz

        shown = corpus.examples(made, people, {c.clip_id: c for c in clips}, plan)
        page = viz.report(made.info, made.prior_tables, shown)
    corpus.export_to(args.out, made, page)
    summary(made.info, args.out, say)
    return 0


def run_lift(args: argparse.Namespace) -> int:
    """Lift one video and write what was found; 2 when nobody in it can be trusted."""
    from builder import lifting, motion, store, video, viz

    if not args.video.is_file():
        raise VideoError(f"{args.video}: expected a video file, found {'something else' if args.video.exists() else 'nothing'}")
    (clip,) = plugins.load("sources", "folder").clips(args.video)
    out: Path = args.out or Path(f"{args.video.stem}-lifted")
    store.need_folder(out)
    tracks = lifting.sort(lifting.load(args.lifter, options_of(args))(clip))
    for track in tracks:
        name = "track" if len(tracks) == 1 else f"track-{store.plain(track.person_id)}"
        described = motion.describe(track, recipe.load())
        rows = viz.shown_frames(track)
        images, _ = video.sample_frames(args.video, [row / track.fps for row in rows])
        store.write_track(out / f"{name}.npz", track, clip)
        store.write_atomic(out / f"{name}.png", viz.lifted_figure(track, described, dict(zip(rows, images, strict=True))))
        facts = lifting.facts(track, described)
        store.write_atomic(out / f"{name}.json", (json.dumps(facts, indent=2) + "\n").encode())
        print(f"{out / name}.npz .json .png: {lifting.sentence(facts)}")
    return 2 if all(lifting.refused(track) for track in tracks) else 0


def run_validate(args: argparse.Namespace, shown: Callable[..., Any] | None = None) -> int:
    """Compare a lifter with the truth of a source: a table, validation.json and validation.html; `shown` replaces the progress bar."""
    from builder import pipeline
    from builder.validate.run import run

    at_least(args, workers=1, limit=1)
    plan = pipeline.Plan(sources_of(args), args.lifter, recipe.load(args.recipe), args.work, args.limit, options_of(args))
    return run(plan, args.out, args.workers, args.fit, args.quiet, shown or bar)


def sources_of(args: argparse.Namespace) -> tuple[tuple[str, str | None], ...]:
    """(name, root) of every --source, the sample when none is given."""
    return tuple((name, root or None) for name, _, root in (s.partition("=") for s in args.source or ["sample"]))


def at_least(args: argparse.Namespace, **bounds: int) -> None:
    """Raise BuildError for a number that is given and lower than its bound."""
    for name, least in bounds.items():
        value = getattr(args, name)
        if value is not None and value < least:
            raise BuildError(f"--{name}: expected {least} or more, got {value}")


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


@contextmanager
def bar(title: str, total: int, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A progress function (done, total, what): a bar on a terminal, a line now and then elsewhere, nothing when quiet."""
    if quiet:
        yield lambda done, total, what: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done, total, what: progress.update(task, completed=done)
    else:
        step = max(1, total // 10)

        def line(done: int, total: int, what: str) -> None:
            if done % step == 0 or done == total:
                print(f"{title}: {done}/{total}", file=sys.stderr)

        yield line
