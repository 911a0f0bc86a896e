"""The command line: every verb is a file in `verbs/`.  A user's mistake prints one line and exits with 2; a bug keeps its traceback."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from builder import __version__, terminal
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
EXAMPLES = """\
humanmovevqa build
humanmovevqa evaluate --model blind
humanmovevqa lift holiday.mp4"""
EXIT_CODES = """\
exit codes:
  0    done
  1    a bug, with its traceback: please report it
  2    a mistake in the command or its files, said in one line, or a bar that
       was not met (build --strict, check, verify, a clip that is refused)
  130  interrupted: everything finished is kept, the same command goes on"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code, as EXIT_CODES says."""
    args = parser().parse_args(argv)
    try:
        if getattr(args, "quiet", False) or not sys.stderr.isatty():
            from builder import hub

            hub.no_bars()
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
    top = argparse.ArgumentParser(
        prog="humanmovevqa",
        description="Where did the person go, and which way did they turn?  `humanmovevqa VERB --help` says more of each verb.",
        epilog=f"examples:\n{EXAMPLES}\n\n{EXIT_CODES}",
        formatter_class=terminal.Help,
    )
    top.add_argument("--version", action="version", version=__version__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        module = import_module(f"builder.verbs.{name}")
        verb = verbs.add_parser(
            name, help=module.HELP, description=module.__doc__, epilog=f"example:\n{module.EXAMPLE}", formatter_class=terminal.Help
        )
        module.arguments(verb)
        verb.set_defaults(run=module.run)
    return top
