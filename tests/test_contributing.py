"""CONTRIBUTING.md's walks, walked: its files are put where it says, in a copy of the project, and its commands are run there."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import documents
import pytest

from builder import rows
from builder.sources import synthetic
from builder.store import write_track
from builder.types import CATEGORIES

ROOT = documents.ROOT
TEXT = documents.text("CONTRIBUTING.md")
BLOCKS = documents.blocks(TEXT)
FILES = {code.split()[1]: code.partition("\n")[2] for language, code in BLOCKS if language == "python"}
SHOWN = documents.commands(TEXT)
QUIETLY = ["--no-report", "--workers", "1"]


class Clone:
    """A copy of the project with every file that CONTRIBUTING.md prints, and a folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.project, self.here = folder / "project", folder / "here"
        skip = shutil.ignore_patterns("__pycache__", "clips")
        for name in ("builder", "cards"):
            shutil.copytree(ROOT / name, self.project / name, ignore=skip)
        shutil.copy(ROOT / "humanmovevqa.py", self.project)
        self.here.mkdir()
        for path, code in FILES.items():
            assert not (ROOT / path).exists(), "the walk would overwrite a file of the project"
            (self.project / path).write_text(code, encoding="utf-8")
        (change,) = [code for language, code in BLOCKS if language == "diff"]
        before, after = ("".join(line[1:] + "\n" for line in change.splitlines() if line[0] in keep) for keep in (" ", " +"))
        types = self.project / "builder" / "types.py"
        text = types.read_text(encoding="utf-8")
        assert text.count(before) == 1, "the diff of CONTRIBUTING.md does not apply"
        types.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        """A command that CONTRIBUTING.md shows, run in the working folder."""
        assert command in SHOWN, "CONTRIBUTING.md shows no such command"
        words = [sys.executable, str(self.project / "humanmovevqa.py"), *command.split()[1:], *more]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(self.here)}
        done = subprocess.run(words, cwd=self.here, capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("clone"))
    (made.here / "paths").mkdir()
    for name, bend in (("ann", 12.0), ("ben", -20.0)):
        heading = [bend * math.sin(i / 90) for i in range(360)]
        left, forward, lines = 0.0, 0.0, ["left_m,forward_m,heading_deg"]
        for degrees in heading:
            lines.append(f"{left},{forward},{degrees}")
            left, forward = left + 0.03 * math.sin(math.radians(degrees)), forward + 0.03 * math.cos(math.radians(degrees))
        (made.here / "paths" / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def built(clone: Clone) -> tuple[dict[str, int], list[rows.Item]]:
    """Questions by category of the folder that was just built, and its rows."""
    info = json.loads((clone.here / "humanmovevqa" / "build_info.json").read_text(encoding="utf-8"))
    return info["generated"]["after"], [
        item for splits in info["counts"].values() for split in splits for item in _rows(clone.here / "humanmovevqa", split)
    ]


def _rows(folder: Path, split: str) -> list[rows.Item]:
    return list(rows.read(str(folder), "all", split).items)


def test_the_page_prints_one_file_of_each_kind():
    assert sorted(path.split("/")[1] for path in FILES) == ["lifters", "models", "questions", "sources"]
    assert all(f"tests/{name}" in TEXT for name in ("test_contributing.py", "test_questions.py"))


def test_a_source_of_ones_own(clone: Clone):
    clone.run("humanmovevqa build --source floorpath=paths", *QUIETLY)
    found, items = built(clone)
    assert sum(found.values()) > 0
    assert {i.source for i in items} == {"floorpath"}
    assert {i.video_id for i in items} <= {"floorpath/ann", "floorpath/ben"}


def test_a_lifter_of_ones_own(clone: Clone):
    for clip in synthetic.clips("2@3"):
        (track,) = synthetic.reference(clip)
        name = {"0": "ann", "1": "ben"}[str(clip.meta["person"])]
        write_track(clone.here / "lifted" / "floorpath" / f"{name}.npz", track)
    clone.run("humanmovevqa build --source floorpath=paths --lifter npz_folder --option tracks=lifted", *QUIETLY)
    info = json.loads((clone.here / "humanmovevqa" / "build_info.json").read_text(encoding="utf-8"))
    assert "npz_folder" in json.dumps(info)


def test_a_question_family_of_ones_own(clone: Clone):
    clone.run("humanmovevqa build --source synthetic=30", *QUIETLY)
    found, items = built(clone)
    assert set(found) == {*CATEGORIES, "extent"}
    mine = [i.question for i in items if i.question.category == "extent"]
    assert len(mine) >= 3
    assert {len(q.options) for q in mine} == {3}
    assert len({q.answer_text for q in mine}) >= 2
    listed = subprocess.run([sys.executable, "humanmovevqa.py", "list"], cwd=clone.project, capture_output=True, text=True, timeout=60)
    assert "extent" in listed.stdout


def test_a_model_of_ones_own(clone: Clone):
    shutil.rmtree(clone.here / "humanmovevqa", ignore_errors=True)
    done = clone.run("humanmovevqa evaluate --model first_option --limit 8", "--out", "first")
    assert "first_option" in done.stdout
    replies = [json.loads(line) for line in (clone.here / "first" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["reply"] for r in replies] == ["A"] * 8


def test_the_same_from_a_package_of_ones_own(clone: Clone):
    package = clone.here / "mypackage"
    package.mkdir()
    (package / "__init__.py").touch()
    for path in FILES:
        if path.startswith(("builder/lifters", "builder/models")):
            shutil.move(clone.project / path, package)
    clone.run("humanmovevqa build --source floorpath=paths --lifter mypackage.npz_folder --option tracks=lifted", *QUIETLY)
    assert {i.source for i in built(clone)[1]} == {"floorpath"}
    shutil.rmtree(clone.here / "humanmovevqa")
    clone.run("humanmovevqa evaluate --model mypackage.first_option --limit 8", "--out", "outside")
    assert len((clone.here / "outside" / "samples.jsonl").read_text(encoding="utf-8").splitlines()) == 8
