"""Name every source, lifter, question family, model and recipe."""

from __future__ import annotations

import argparse
import json

from builder import plugins, recipe

HELP = "sources, lifters, question families, models, recipes"
EXAMPLE = "humanmovevqa list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--json", action="store_true", help="print the names as JSON")


def run(args: argparse.Namespace) -> int:
    """Print every plugin and recipe by kind."""
    found = {**{kind: plugins.names(kind) for kind in plugins.PACKAGES}, "recipes": recipe.names()}
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for kind, names in found.items():
            print(f"{kind + ':':11} {', '.join(names) or '(none yet)'}")
    return 0
