"""The command line: every verb is a file in `verbs/`.  A user's mistake prints one line and exits with 2; a bug keeps its traceback."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from builder import __version__
from builder.types import HumanMoveError, one_line, passes

VERBS = (
    "list",
    "check",
    "videos",
    "build",
    "status",
    "lift",
    "validate",
    "verify",
    "push",
    "evaluate",
    "score",
    "compare",
    "train",
    "export",
    "demo",
)  # as --help shows them


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
    except (MemoryError, OSError) as error:
        if not passes(error):
            raise
        print(f"humanmovevqa {args.verb}: {one_line(error)}; everything finished is kept, run the same command to go on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nhumanmovevqa {args.verb}: interrupted; everything finished is kept, run the same command to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of every verb: `verbs/<verb>.py` gives HELP, EXAMPLE, `arguments(parser)`, `run(args)`, and describes itself."""
    top = argparse.ArgumentParser(prog="humanmovevqa", description="Where did the person go, and which way did they turn?")
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        module = import_module(f"builder.verbs.{name}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__, epilog=f"example: {module.EXAMPLE}")
        module.arguments(verb)
        verb.set_defaults(run=module.run)
    return top
