"""The difference between two runs over the questions that both answered, with an interval that draws the same videos for both."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.terminal import busy
from builder.types import DataError
from builder.verbs import quiet_option

HELP = "two runs, question by question"
EXAMPLE = "humanmovevqa compare runs/before runs/after"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("first", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("second", type=Path, metavar="RUN", help="the run that is compared with it")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    quiet_option(parser, "the table and errors")


def run(args: argparse.Namespace) -> int:
    """Print second minus first."""
    import json

    from builder import runs, scoring, tables

    try:
        with busy("comparing", args.quiet):
            first, second = (runs.read([folder])[0] for folder in (args.first, args.second))
            found = scoring.compare(first.graded, second.graded)
    except ValueError as error:
        raise DataError(f"{args.first} and {args.second} cannot be compared: {error}") from None
    names = (first.title, second.title) if first.title != second.title else (args.first.name, args.second.name)
    print(json.dumps(found, indent=1) if args.json else tables.compared(names[0], names[1], found).rstrip())
    return 0
