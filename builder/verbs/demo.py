"""Open the demo in a browser: a clip, where its person went, and answers about it.

The demo is a program of its own, started here as one: nothing in builder/ depends on it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from builder.types import BuildError, SetupError
from builder.verbs import at_least

HELP = "open the demo: upload a clip, see where the person went, ask"
EXAMPLE = "humanmovevqa demo --port 7860"
PROGRAM = "demo"
LAST_PORT = 65535
ROOT = Path(__file__).resolve().parents[2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port to serve on (default: 7860; 0: any free one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to serve on (default: this machine alone)")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=CHECKPOINT",
        help="a model that may be asked, options behind commas; repeatable",
    )
    parser.add_argument("--lifter", default="", metavar="NAME", help="video to track (default: monocular)")
    parser.add_argument("--stage", metavar="DIR", help="write the demo as a Hugging Face Space into DIR instead of opening it")


def run(args: argparse.Namespace) -> int:
    """Become the demo's process.  Raises SetupError when gradio is missing, BuildError for an impossible port."""
    at_least(args, port=0)
    if args.port > LAST_PORT:
        raise BuildError(f"--port {args.port}: expected a port from 0 to {LAST_PORT}")
    given = ["--port", str(args.port), "--host", args.host, *(word for spec in args.model for word in ("--model", spec))]
    given += ["--lifter", args.lifter] if args.lifter else []
    given += ["--stage", args.stage] if args.stage else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, *program(given))


def program(given: list[str]) -> tuple[list[str], dict[str, str]]:
    """(command, environment) of the demo's program with these options.  Raises SetupError when gradio is missing."""
    if importlib.util.find_spec("gradio") is None:
        raise SetupError("the demo needs gradio; run: pip install 'humanmovevqa[demo,lift]'")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return [sys.executable, "-m", PROGRAM, *given], {**os.environ, "PYTHONPATH": path}


def staged(out: Path) -> Path:
    """The demo written as a Space into `out`, by its own program.  Raises SetupError with the line that the program said."""
    command, environment = program(["--stage", str(out)])
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SetupError((done.stderr.strip().splitlines() or ["the demo cannot be staged"])[-1].removeprefix("humanmovevqa demo: "))
    return out
