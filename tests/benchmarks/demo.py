"""What the demo costs: `python tests/benchmarks/demo.py [speed] [visitors]` prints tables; nothing is asserted.

In a Chromium, an upload of ten seconds at 720p: from choosing the file to its first map, beside the lifter's own time on the same
file in a process of its own.  `visitors`: eight who lift such clips at once: the peak memory of the server and all its
processes, how many lift at a time, and what the page says to those who wait.

Both need psutil, Playwright and /usr/bin/chromium.  Measured on two quiet cores in three rounds: 13.4 to 14.3 s for the lifter
alone, 16.9 to 17.6 s from the file to its map, which is 1.23 to 1.27 times as long; in processor seconds 18.4 to 19.6 and 22.2 to 22.7,
1.16 to 1.20 times.  Of those, making the copy takes 3.5: 1.7 to read and shrink the upload, 1.3 to encode it.
Eight at once: 167 s for all, one of them refused, and 550 MB at most, server and all processes together.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from builder.video import read_frames, write_clip  # noqa: E402
from demo.sandbox import HANDED_ON, QUIET  # noqa: E402
from tests.demo_server import browser, served  # noqa: E402

NAMES = ("home_again", "curve", "loop", "zigzag", "run_and_stop", "side_steps", "leans", "there_and_back")
LIFT = """
import sys
from pathlib import Path
from builder.lifters import monocular
from builder.sources import folder
monocular.load()(folder.whole(Path(sys.argv[1])))
"""
ROUNDS = 3
READY = ".hmv[data-ready]"


def film(name: str, out: Path, seconds: float) -> Path:
    """So many seconds of a packaged clip, played to and fro where it is shorter, at 720p."""
    import cv2

    frames = [cv2.resize(f.image, (1280, 720)) for f in read_frames(ROOT / "builder" / "clips" / f"{name}.mp4", end_s=seconds)]
    wanted = round(30 * seconds)
    longer = (frames + frames[::-1]) * (1 + wanted // (2 * len(frames)))
    write_clip(out, iter(longer[:wanted]), 30.0)
    return out


def opened(chromium: Any, address: str) -> Any:
    """A new visitor's page."""
    page = chromium.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(900_000)
    page.goto(address)
    page.wait_for_selector(READY)
    return page


def upload_to_map(page: Any, upload: Path) -> tuple[float, float]:
    """(seconds from choosing the file, seconds from the click) to the map of an upload, on an open page."""
    began = time.perf_counter()
    page.set_input_files("#clip input[type=file]", str(upload))
    page.wait_for_selector("#note .good")
    clicked = time.perf_counter()
    page.click("#lift")
    page.wait_for_function("t => document.querySelector('.hmv').dataset.ready === t", arg=upload.stem)
    done = time.perf_counter()
    return done - began, done - clicked


def used(process: Any) -> float:
    """Processor seconds of a process and of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def speed(folder: Path) -> None:
    """The demo beside the lifter alone, in turns, because other work on the machine comes and goes; also in processor seconds."""
    import psutil

    upload = film("home_again", folder / "upload.mp4", 10.0)
    environment = {k: os.environ[k] for k in HANDED_ON if k in os.environ} | QUIET | {"PYTHONPATH": str(ROOT)}  # as the demo lifts
    own = psutil.Process()
    head = ("lifter alone s", "file to map s", "click to map s", "ratio", "lifter cpu s", "demo cpu s", "ratio")
    print("".join(f"{name:>16}" for name in head))
    with browser() as chromium, served(folder / "tmp") as address:
        (server,) = [p for p in own.children() if "demo" in p.cmdline()]
        for _ in range(ROUNDS):
            began, before = time.perf_counter(), used(own)
            subprocess.run([sys.executable, "-c", LIFT, str(upload)], env=environment, check=True, capture_output=True)
            alone, alone_cpu = time.perf_counter() - began, used(own) - before
            page = opened(chromium, address)
            before = used(server)
            whole, click = upload_to_map(page, upload)
            cpu = used(server) - before
            page.context.close()
            print("".join(f"{v:16.2f}" for v in (alone, whole, click, whole / alone, alone_cpu, cpu, cpu / alone_cpu)), flush=True)


def memory(process: Any) -> int:
    """Bytes that a process shares with nobody, 0 for one that is gone."""
    import psutil

    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def ended(page: Any, name: str) -> bool:
    """Whether a visitor's clip is on the map, or was refused."""
    return bool(page.locator(READY).get_attribute("data-ready") == name or page.locator("#status .bad").count())


def visitors(folder: Path) -> None:
    """Eight at once."""
    import psutil

    uploads = [film(name, folder / f"{name}.mp4", 10.0) for name in NAMES]
    with browser() as chromium, served(folder / "tmp") as address:
        (server,) = [p for p in psutil.Process().children() if "demo" in p.cmdline()]
        pages = [opened(chromium, address) for _ in uploads]
        before = memory(server)
        for page, upload in zip(pages, uploads, strict=True):
            page.set_input_files("#clip input[type=file]", str(upload))
        for page in pages:
            page.wait_for_selector("#note .good")
        began = time.perf_counter()
        for page in pages:
            page.click("#lift")
        most, workers, said = 0, 0, set()
        while not all(ended(page, upload.stem) for page, upload in zip(pages, uploads, strict=True)):
            found = [server, *server.children(recursive=True)]
            most, workers = max(most, sum(memory(p) for p in found)), max(workers, len(found) - 1)
            said |= {page.inner_text("#status").split("\n")[0] for page in pages}
            time.sleep(0.5)
        took = time.perf_counter() - began
    print(f"8 clips of 10 s at 720p: {took:.0f} s; server {before / 2**20:.0f} MB before; at most {workers} process beside it;")
    print(f"peak of all together {most / 2**20:.0f} MB; said: {'; '.join(sorted(said - {''}))}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for name, measure in (("speed", speed), ("visitors", visitors)):
            if name in sys.argv[1:] or not sys.argv[1:]:
                measure(Path(made))
