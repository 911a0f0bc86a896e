"""Write a dataset, or results on it, in the form that another tool takes.

Every format takes --out DIR, those of a dataset also --data, --config and --split; `humanmovevqa export FORMAT --help` says more.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from builder import exports
from builder.terminal import Help, busy
from builder.verbs import data_of

HELP = "write a dataset in the form that another tool takes"
EXAMPLE = "humanmovevqa export lmms-eval --data your-name/humanmovevqa --out tasks/humanmovevqa"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per format: `exports/<format>.py` gives HELP, EXAMPLE, `arguments(parser)`, `run(args)`, and describes itself."""
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT", help="what to write; each has its own --help")
    for name in exports.names():
        module = import_module(f"builder.exports.{name.replace('-', '_')}")
        one = formats.add_parser(
            name, help=module.HELP, description=module.__doc__, epilog=f"example:\n{module.EXAMPLE}", formatter_class=Help
        )
        module.arguments(one)
        one.set_defaults(write=module.run, quiet=False)


def run(args: argparse.Namespace) -> int:
    """Write the format that was named."""
    here = True
    if getattr(args, "reads_data", False):
        args.data = data_of(args)
        here = Path(args.data).expanduser().exists()  # the Hub's client has bars of its own
    with busy("writing", args.quiet or not here):
        code: int = args.write(args)
    return code
