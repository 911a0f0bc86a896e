"""Open the demo in a browser: a clip, where its person went, and answers about it.

The demo is a program of its own, started here as one: nothing in builder/ depends on it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from builder.types import SetupError
from builder.verbs import at_least

HELP = "open the demo: upload a clip, see where the person went, ask"
EXAMPLE = "humanmovevqa demo --port 7860"
PROGRAM = "demo"
ROOT = Path(__file__).resolve().parents[2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port to serve on (default: 7860; 0: any free one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to serve on (default: this machine alone)")


def run(args: argparse.Namespace) -> int:
    """Become the demo's process.  Raises SetupError when gradio is missing, BuildError for an impossible port."""
    at_least(args, port=0)
    if importlib.util.find_spec("gradio") is None:
        raise SetupError("the demo needs gradio; run: pip install 'humanmovevqa[demo,lift]'")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", PROGRAM, "--port", str(args.port), "--host", args.host]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, os.environ | {"PYTHONPATH": path})
