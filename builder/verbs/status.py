"""How far the build in a work folder is: clips done, failed, waiting and pending in each stage, how fast it goes and how long it will
take, why things failed, and why something is stale and will be made again.

It reads the artefacts alone, so it can be asked while builds run, on this machine or others that share the folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from builder.terminal import busy
from builder.verbs import at_least, quiet_option

HELP = "what of a build is done, failed or stale, and why"
EXAMPLE = "humanmovevqa status work"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("work", type=Path, metavar="WORK", help="the work folder of a build (its --work)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes to reckon with (default: as many as the build was begun with)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    quiet_option(parser, "the table and errors")


def run(args: argparse.Namespace) -> int:
    """Print the standing of every stage."""
    from builder import pipeline, plans, standing

    at_least(args, workers=1)
    plan, workers = plans.recall(args.work)
    with busy("looking at what is done", args.quiet):
        found = standing.look(pipeline.clips_of(plan), plan, args.workers or workers)
    print(json.dumps(found, indent=1) if args.json else "\n".join(standing.lines(found)))
    return 0
