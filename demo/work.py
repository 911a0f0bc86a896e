"""The demo's folder on disk: everything of every visitor lies in it, and nothing in it grows old.

Uploads, the copies that the page serves and the files of downloads all lie under one folder of this process.  Whatever is older
than `KEPT_S` is deleted, empty folders too; the whole folder goes when the process ends, and what a killed one left at the next start.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from demo.limits import KEPT_S, SWEEP_S

PREFIX = "humanmovevqa-demo-"


def open_root(parent: Path | None = None) -> Path:
    """A fresh folder of this process, after those of processes that are gone have been deleted; it is deleted at exit."""
    parent = parent or Path(tempfile.gettempdir())
    for old in parent.glob(f"{PREFIX}*"):
        pid = old.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def room(root: Path) -> Path:
    """A new empty folder for one piece of work, whose name nobody can guess."""
    return Path(tempfile.mkdtemp(prefix="work-", dir=root))


def sweep(root: Path, older_than_s: float = KEPT_S, now: float | None = None) -> int:
    """Delete files under `root` that were last written more than so many seconds ago, then empty folders; how many files went."""
    gone, before = 0, (time.time() if now is None else now) - older_than_s
    for folder, names, files in os.walk(root, topdown=False):
        for name in files:
            with suppress(OSError):
                path = os.path.join(folder, name)
                if os.lstat(path).st_mtime <= before:
                    os.unlink(path)
                    gone += 1
        for name in names:
            with suppress(OSError):
                path = os.path.join(folder, name)
                if os.lstat(path).st_mtime <= before:
                    os.rmdir(path)  # only empty ones go
    return gone


def keep_swept(root: Path, every_s: float = SWEEP_S, older_than_s: float = KEPT_S) -> threading.Event:
    """Sweep in the background until the returned event is set."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(every_s):
            sweep(root, older_than_s)

    threading.Thread(target=loop, name="demo-sweep", daemon=True).start()
    return stop


def drop(paths: Iterable[str | Path]) -> None:
    """Delete files and folders now, whatever is still there of them."""
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                os.unlink(path)
