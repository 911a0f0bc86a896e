"""python -m demo: opens the app on this machine.  `humanmovevqa demo` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from builder.types import HumanMoveError


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C, or write it as a Space."""
    parser = argparse.ArgumentParser(prog="humanmovevqa demo", description="Upload a clip, see where the person went, ask.")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port to serve on (default: 7860; 0: any free one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to serve on (default: this machine alone)")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=CHECKPOINT", help="a model that may be asked; repeatable")
    parser.add_argument("--lifter", default="", metavar="NAME", help="video to track (default: monocular)")
    parser.add_argument("--stage", type=Path, metavar="DIR", help="write the demo as a Hugging Face Space into DIR instead")
    args = parser.parse_args(argv)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        print(f"humanmovevqa demo: the page needs gradio ({error}); run: pip install 'humanmovevqa[demo]'", file=sys.stderr)
        return 2
    if args.lifter:
        os.environ["HUMANMOVEVQA_DEMO_LIFTER"] = args.lifter
    try:
        from demo import answerers, lifters

        lifters.check_name()
        for spec in args.model:
            answerers.parse(spec)
        if args.stage:
            from demo.space import stage

            print(f"{stage(args.stage, args.model)}: a Space; publish it with: humanmovevqa push OWNER/NAME --space {args.stage}")
            return 0
        if args.model:
            os.environ[answerers.VARIABLE] = " ".join(args.model)
        answerers.choices()
        from demo.serving import serve

        return serve(args.host, args.port)
    except HumanMoveError as error:
        print(f"humanmovevqa demo: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
