"""One file per verb of the command line, and here the options that several of them share.

A verb is a module with HELP (a line), EXAMPLE (a command), a docstring that describes it, `arguments(parser)` and `run(args)`,
which returns the exit code.  Its name stands in `cli.VERBS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.terminal import busy
from builder.types import BuildError, SourceError

if TYPE_CHECKING:
    from builder.rows import Rows

BUILT_OR_SAMPLE = "(default: ./humanmovevqa, else the packaged sample)"


def quiet_option(verb: argparse.ArgumentParser, left: str = "results, warnings and errors") -> None:
    """Add --quiet; `left` is what is still printed."""
    verb.add_argument("--quiet", action="store_true", help=f"no progress, nothing but {left}")


def data_of(args: argparse.Namespace) -> str:
    """The dataset that --data names, else the one that is meant without it; which that is, is said on stderr."""
    from builder import rows

    if args.data:
        return str(args.data)
    data, why = rows.meant()
    if not args.quiet:
        print(f"using {data} ({why})", file=sys.stderr)
    return data


def read(args: argparse.Namespace, columns: Mapping[str, str] | None = None) -> Rows:
    """The questions that --data, --config and --split name.  Raises DataError."""
    from builder import rows

    data = data_of(args)
    here = Path(data).expanduser().exists()  # the Hub's client has bars of its own
    with busy("reading the questions", args.quiet or not here):
        return rows.read(data, args.config, args.split, columns)


def lifter_options(verb: argparse.ArgumentParser) -> None:
    """Add --option."""
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


def sources_of(args: argparse.Namespace) -> tuple[tuple[str, str | None], ...]:
    """(name, root) of every --source, the sample when none is given."""
    return tuple((name, root or None) for name, _, root in (s.partition("=") for s in args.source or ["sample"]))


def at_least(args: argparse.Namespace, **bounds: int) -> None:
    """Raise BuildError for a number that is given and lower than its bound."""
    for name, least in bounds.items():
        value = getattr(args, name)
        if value is not None and value < least:
            raise BuildError(f"--{name.replace('_', '-')}: expected {least} or more, got {value}")


def licensed(text: str) -> tuple[str, str, Path]:
    """Name, root as given and its absolute folder of a SOURCE=ROOT whose source reads a licensed copy.  Raises SourceError."""
    from builder import plugins, recordings

    name, _, root = text.partition("=")
    source = plugins.load("sources", name, ("ABOUT", "clips"))
    if not hasattr(source, "film_of"):
        able = [n for n in plugins.names("sources") if hasattr(plugins.load("sources", n), "film_of")]
        raise SourceError(f"source {name}: expected one of licensed recordings, {', '.join(able)}; this one needs no such step")
    return name, root, recordings.root_of(name, root or None)
