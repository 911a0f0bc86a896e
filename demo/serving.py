"""Starts and stops the server: its folder, its sweep, its queue and its bounds."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from demo import limits, work

QUEUE = 32  # events of all kinds that may wait; clips have a line of their own
LOOK_S = 0.02  # how often the queue looks for work; gradio's own 0.001 keeps a twentieth of a core busy with nobody there
CLIPS = Path(__file__).resolve().parent.parent / "builder" / "clips"


def settle() -> Path:
    """The process's folder, with everything that gradio writes below it; swept from now on."""
    root = work.open_root()
    os.environ["GRADIO_TEMP_DIR"] = str(root / "served")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    work.keep_swept(root)
    return root


def launch(page: Any, **more: Any) -> Any:
    """Start serving a page without waiting; (app, local address, share address)."""
    from demo.theme import css, theme

    queued = page.queue(max_size=QUEUE, default_concurrency_limit=4, api_open=False)
    queued._queue.sleep_when_free = LOOK_S
    return queued.launch(
        theme=theme(),
        css=css(),
        max_file_size=limits.FILE_BYTES,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        share=False,
        pwa=False,
        quiet=True,
        footer_links=["api"],
        state_session_capacity=limits.VISITS,
        max_threads=limits.WAITING + limits.ASKING + 24,
        prevent_thread_lock=True,
        **more,
    )


def serve(host: str, port: int, fetch: bool = False) -> int:
    """Serve until interrupted; 2 when the port is taken.  `fetch`: get the lifter's weights first where they are not here."""
    import gradio as gr

    from demo import lifters, speech

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            port = port or probe.getsockname()[1]
        except OSError as error:
            print(f"humanmovevqa demo: cannot serve on {host}:{port} ({error.strerror}); pass another --port", file=sys.stderr)
            return 2
    if fetch:
        lifters.fetch()
    if os.environ.get("SPACES_ZERO_GPU"):
        speech.preload()
    root = settle()
    gr.set_static_paths([CLIPS])  # the examples are served where they lie; nothing is ever written there
    from demo.app import build

    page = build(root)
    _, address, _ = launch(page, server_name=host, server_port=port)
    print(f"humanmovevqa demo: open {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))  # so that the folder goes then too
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        page.close()
    return 0
