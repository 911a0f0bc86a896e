"""python -m demo: opens the app on this machine.  `humanmovevqa demo` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="humanmovevqa demo", description="Upload a clip, see where the person went, ask.")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port to serve on (default: 7860; 0: any free one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to serve on (default: this machine alone)")
    args = parser.parse_args(argv)
    try:
        from demo.serving import serve
    except ImportError as error:
        print(f"humanmovevqa demo: the page needs gradio ({error}); run: pip install 'humanmovevqa[demo]'", file=sys.stderr)
        return 2
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    return serve(args.host, args.port)


if __name__ == "__main__":
    raise SystemExit(main())
