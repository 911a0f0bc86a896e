"""Runs somebody else's program in its own environment: one at a time, everything it says kept in a file, stopped when we are."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.types import LiftError, NotNowError, SetupError

ENVIRONMENTS = (".venv/bin/python", "venv/bin/python", "env/bin/python")
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")  # of this project's environment, wrong in another
OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED", re.IGNORECASE)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
GRACE_S = 10.0
LAST_LINES = 40
ON_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Program:
    """An installed program: its name for messages, its folder, the script in it, and the interpreter of its environment."""

    name: str
    root: Path
    script: str
    python: Path


def find(name: str, root: str | Path, script: str, python: str | Path | None) -> Program:
    """The program installed in `root`.  Raises SetupError when its script or an interpreter for it is not there."""
    folder = Path(root).expanduser().resolve()
    if not (folder / script).is_file():
        there = "the folder lacks it" if folder.is_dir() else "there is no such folder"
        raise SetupError(f"option root={root}: expected an installation of {name} with {script}, and {there}")
    if python is not None:
        interpreter = Path(python).expanduser().absolute()  # not resolved: an environment's python is a link out of it
        if not os.access(interpreter, os.X_OK) or interpreter.is_dir():
            raise SetupError(f"option python={python}: expected the python of {name}'s environment, and it cannot be run")
        return Program(name, folder, script, interpreter)
    for place in ENVIRONMENTS:
        if os.access(folder / place, os.X_OK):
            return Program(name, folder, script, folder / place)
    raise SetupError(
        f"{name} in {root} has no environment of its own in it; name its interpreter as --option python=PATH, "
        "such as ~/miniconda3/envs/NAME/bin/python"
    )


def run(program: Program, arguments: Sequence[str], log: Path) -> None:
    """Run the program's script to its end, in its folder; what it prints goes to `log`.

    Only one program runs at a time from any of our processes that share `log`'s parent's parent: they share the GPU too.  Raises
    LiftError with the last line that the program left when it fails, NotNowError when it was for want of memory or space.  An
    interrupt ends the program first.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(program.python), program.script, *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment["PATH"] = f"{program.python.parent}{os.pathsep}{environment.get('PATH', '')}"
    with _alone(log.parent.parent / f".{program.name.lower()}.lock"), open(log, "wb") as out:
        out.write(f"{' '.join(command)}\n".encode())
        out.flush()
        try:
            child = subprocess.Popen(
                command, cwd=program.root, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=_die_with_us
            )
        except OSError as error:
            raise SetupError(f"{program.name} cannot be started: {error.strerror}: {program.python}") from None
        try:
            code = child.wait()
        except BaseException:
            _end(child)
            raise
    if code in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    if code:
        raise _why(program.name, code, log)


def _die_with_us() -> None:
    """In the child, before it becomes the program: Ctrl-C reaches it, and it never outlives this process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(ON_PARENTS_DEATH, signal.SIGKILL, 0, 0, 0)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process of ours is inside; the lock goes with its holder, however that ends."""
    with open(lock, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _why(name: str, code: int, log: Path) -> LiftError | NotNowError:
    """What a failed run says of itself, in a line."""
    with open(log, encoding="utf-8", errors="replace") as file:
        last = [line for line in deque(file, LAST_LINES) if line.strip()]
    if code == -signal.SIGKILL:
        return NotNowError(f"{name} was killed, most likely for want of memory; see {log.name}")
    if any(OUT_OF_MEMORY.search(line) for line in last):
        return NotNowError(f"{name} ran out of GPU memory; free the GPU, or cut the clip shorter; see {log.name}")
    if any(NO_SPACE.search(line) for line in last):
        return NotNowError(f"{name} found no space left on the disk; free some; see {log.name}")
    said = "".join(c for c in (last[-1] if len(last) > 1 else "nothing").strip()[:200] if c.isprintable())
    return LiftError(f"{name} failed (exit {code}): {said}; see {log.name}")
