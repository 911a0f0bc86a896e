"""Draws docs/gallery.md and its pictures from the packaged clips: `make gallery`.

Paths, movements, questions and evidence are those of the packaged dataset; nothing is chosen by hand.  The pictures of a build's report
and of the demo need Chromium (the extra `dev`); without it the old ones stay.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from builder import cli, motion, plugins, recipe, rows, schema, viz  # noqa: E402
from builder.terminal import bar  # noqa: E402
from builder.types import CATEGORIES, Clip, Motion  # noqa: E402

PAGE = HERE / "gallery.md"
FOLDER = HERE / "gallery"
HEAD = """\
# Gallery

Made by `make gallery` (`docs/gallery.py`) from the packaged clips and their true tracks; how to read an answer is in
[README](../README.md#what-an-answer-means).

- [Kinds of motion](#kinds-of-motion): the path seen from above, and the six channels with the movements found in them
- [One question of each category](#one-question-of-each-category), with what decides it
- [The report of a build](#the-report-of-a-build)
- [The demo](#the-demo)

## Kinds of motion

Left: the floor as the person stood at the start, ahead is up; the line grows thinner from quarter to quarter, arrows show where the body
faces. Right: movements over time, and the channels they are found in.
"""
REPORT = """\
## The report of a build

`humanmovevqa build` leaves `report.html` beside the data: what was built, what flattening dropped, what can be guessed, and paths beside
their questions.

![The top of a report](gallery/report.jpg)
"""
DEMO = """\
## The demo

`humanmovevqa demo`; see [the demo](demo.md).

| | |
|---|---|
| ![An example: the clip, the path from above and the figure in 3D on one playhead, movements and quarters below](demo-example.jpg) \
| ![A question and what the track says to it, on a portrait clip in the dark theme](demo-ask.jpg) |
| ![An uploaded clip, lifted by the default lifter](demo-lifted.jpg) \
| ![On a phone: the pictures, a question of the quiz, and what the track says](demo-phone.jpg) |
"""


def main() -> int:
    """Write the page and every picture."""
    found = [
        (clip, motion.describe(track, recipe.load())) for clip in clips() for track in plugins.load("sources", "sample").reference(clip)
    ]
    FOLDER.mkdir(exist_ok=True)
    with bar("drawing", len(found), False) as progress:
        for done, (clip, seen) in enumerate(found, 1):
            for name, picture in pictures(clip, seen).items():
                (FOLDER / name).write_text(picture, encoding="utf-8")
            progress(done, len(found), clip.clip_id)
    PAGE.write_text(page([clip for clip, _ in found]), encoding="utf-8")
    if importlib.util.find_spec("playwright") and shutil.which("chromium"):
        from demo_pictures import photograph_demo

        photograph(FOLDER / "report.jpg")
        photograph_demo()
    else:
        print("no Chromium: the pictures of the report and of the demo stay as they are", file=sys.stderr)
    return 0


def clips() -> list[Clip]:
    """The packaged clips."""
    return sorted(plugins.load("sources", "sample").clips(), key=lambda clip: clip.clip_id)


def pictures(clip: Clip, seen: Motion) -> dict[str, str]:
    """File name to SVG of one clip: its path, and its channels with their movements."""
    drawn = {"path": viz.path_figure(seen), "channels": viz.channels_figure(seen)}
    return {f"{name_of(clip)}-{what}.svg": re.sub(r"\s*\n\s*", "\n", svg) for what, svg in drawn.items()}


def name_of(clip: Clip) -> str:
    """The clip's name without its source."""
    return clip.clip_id.rpartition("/")[2]


def page(shown: Sequence[Clip]) -> str:
    """The text of gallery.md."""
    out = [HEAD]
    for clip in shown:
        name = name_of(clip)
        out.append(f"### {name}\n\n| path | movements |\n|---|---|")
        out.append(f"| ![Path of {name}](gallery/{name}-path.svg) | ![Movements of {name}](gallery/{name}-channels.svg) |\n")
    out.append(
        "## One question of each category\n\nThe right option is bold; the explanation and the deciding values are the question's own.\n"
    )
    used: set[str] = set()
    items = sorted((i for s in ("train", "test") for i in rows.read(str(rows.SAMPLE), "all", s).items), key=lambda i: i.question.id)
    for category in CATEGORIES:
        item = next(i for i in items if i.question.category == category and i.video_id not in used)
        used.add(item.video_id)
        q, name = item.question, item.video_id.rpartition("/")[2]
        out.append(f"### {category}\n\n{q.text} ([{name}](#{name}))\n")
        for k, option in enumerate(q.options):
            line = f"{schema.LETTERS[k]}. {option}"
            out.append(f"- **{line}**" if k == q.answer else f"- {line}")
        why = plugins.load("questions", category).explain(q)
        out.append(f"\n{why} `{json.dumps(dict(q.evidence), sort_keys=True)}`\n")
    return "\n".join([*out, REPORT, DEMO])


def photograph(to: Path) -> None:
    """The top of the report of a build of the packaged clips, as a JPEG."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "humanmovevqa"
        cli.main(["build", "--lifter", "groundtruth", "--out", str(built), "--work", f"{folder}/work", "--workers", "1", "--quiet"])
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            view = browser.new_page(viewport={"width": 1100, "height": 1400})
            view.goto((built / "report.html").as_uri())
            view.screenshot(path=str(to), type="jpeg", quality=72)
            browser.close()


if __name__ == "__main__":
    raise SystemExit(main())
