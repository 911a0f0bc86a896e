"""Name every source, lifter, question family, model and recipe."""

from __future__ import annotations

import argparse

from builder import plugins, recipe

HELP = "sources, lifters, question families, models, recipes"
EXAMPLE = "humanmovevqa list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(args: argparse.Namespace) -> int:
    """Print every plugin and recipe by kind."""
    for kind in plugins.PACKAGES:
        print(f"{kind + ':':11} {', '.join(plugins.names(kind)) or '(none yet)'}")
    print(f"{'recipes:':11} {', '.join(recipe.names())}")
    return 0
