"""Lift every clip of a source that knows the truth, and compare: drift, heading, events, and the answers to the questions
that would be published.

Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder import recipe
from builder.terminal import bar
from builder.verbs import at_least, lifter_options, options_of, quiet_option, sources_of

HELP = "a lifter against ground truth: drift, heading, and how many answers change"
EXAMPLE = "humanmovevqa validate --source synthetic=60@7:filmed --lifter monocular --out validation"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--source", action="append", required=True, metavar="NAME[=ROOT]", help="a source with ground truth; repeatable")
    parser.add_argument("--lifter", default="monocular", metavar="NAME", help="the lifter to validate (default: monocular)")
    lifter_options(parser)
    parser.add_argument("--recipe", default="default", metavar="NAME|FILE", help="the recipe whose questions are asked (default: default)")
    parser.add_argument("--out", type=Path, default=Path("validation"), metavar="DIR", help="for the results (default: ./validation)")
    parser.add_argument("--work", type=Path, default=Path("work"), metavar="DIR", help="keeps what was lifted (default: ./work)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1; a lifter may use several cores itself)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--fit", action="store_true", help="also print the [robustness] sizes that these errors call for")
    quiet_option(parser, "the table, warnings and errors")


def run(args: argparse.Namespace, shown: Callable[..., Any] | None = None) -> int:
    """Compare a lifter with the truth of a source: a table, validation.json and validation.html; `shown` replaces the progress bar."""
    from builder import pipeline
    from builder.validate.run import run as compare

    at_least(args, workers=1, limit=1)
    plan = pipeline.Plan(sources_of(args), args.lifter, recipe.load(args.recipe), args.work, args.limit, options_of(args))
    return compare(plan, args.out, args.workers, args.fit, args.quiet, shown or bar)
