"""Photographs of the demo in a Chromium, for the documents: part of `make gallery`.

A picture of each: a finished example, a question and its answers, an uploaded clip after it was lifted, and a phone.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
UPLOADED = ROOT / "builder" / "clips" / "crouch.mp4"
DESK, PHONE = (1440, 930), (390, 844)
WAIT_MS = 300_000
HALFWAY, QUARTER = ".hmv-marks button[data-part='2']", ".hmv-marks button[data-part='1']"


def photograph_demo() -> None:
    """Write docs/demo-*.jpg.  Needs the extra `dev`, Chromium, and the default lifter with its weights."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = _opened(browser, address, DESK)
        _shown(page, HALFWAY)
        page.screenshot(path=str(HERE / "demo-example.jpg"), type="jpeg", quality=80)

        page.set_input_files("#clip input[type=file]", str(shutil.copy(UPLOADED, Path(folder) / "my clip.mp4")))
        page.wait_for_selector("#note .good")
        page.click("#lift")
        page.wait_for_function("() => document.querySelector('.hmv-title').textContent === 'my clip'")
        _shown(page, HALFWAY)
        page.screenshot(path=str(HERE / "demo-lifted.jpg"), type="jpeg", quality=80)

        page = _opened(browser, address, DESK, "dark")
        _pick(page, "zigzag")
        page.fill("#question textarea", "Which way did they turn first?")
        page.press("#question textarea", "Enter")
        page.wait_for_selector(".turn .said")
        page.locator(".turn").first.scroll_into_view_if_needed()
        page.screenshot(path=str(HERE / "demo-ask.jpg"), type="jpeg", quality=80)

        page = _opened(browser, address, PHONE)
        _pick(page, "loop")
        _shown(page, HALFWAY)
        parts = [page.screenshot()]
        page.click("button[role=tab]:has-text('Quiz')")
        page.click("#begin-quiz")
        page.wait_for_selector("#choice label >> nth=0")
        _to_top(page, "#choice")
        parts.append(page.screenshot())
        page.click("#choice label >> nth=0")
        page.click("#answer")
        page.wait_for_selector(".reveal .badge")
        _to_top(page, ".reveal")
        parts.append(page.screenshot())
        _beside(parts, HERE / "demo-phone.jpg")
        browser.close()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The address of a demo of its own."""
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "demo", "--port", "0"]
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "open http" in line)
            yield line.split("open ")[1].split()[0].rstrip("/")
        finally:
            process.terminate()
            process.wait(30)
            process.stderr.close()


def _opened(browser: Any, address: str, size: tuple[int, int], theme: str = "light") -> Any:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/?__theme={theme}")
    page.wait_for_selector(".hmv[data-ready]")
    return page


def _pick(page: Any, name: str) -> None:
    before = page.inner_text(".hmv-title")
    page.click(f"[data-name={name}]")
    page.wait_for_function("t => document.querySelector('.hmv-title').textContent !== t", arg=before)


def _shown(page: Any, mark: str) -> None:
    """Put the playhead at a mark and wait until clip, map and figure are there."""
    page.click(mark)
    page.wait_for_function("() => { const v = document.querySelector('.hmv video'); return v.readyState >= 2 && !v.seeking; }")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)


def _to_top(page: Any, selector: str) -> None:
    page.evaluate("s => window.scrollBy(0, document.querySelector(s).getBoundingClientRect().top - 260)", selector)
    page.wait_for_timeout(300)


def _beside(parts: list[bytes], to: Path) -> None:
    """Pictures of one size beside each other, as a JPEG."""
    from PIL import Image

    images = [Image.open(io.BytesIO(part)).convert("RGB") for part in parts]
    width, height = images[0].size
    whole = Image.new("RGB", (len(images) * (width + 30) - 30, height), "white")
    for place, image in enumerate(images):
        whole.paste(image, (place * (width + 30), 0))
    whole.save(to, quality=80)
