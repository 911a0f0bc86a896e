"""The demo without a browser: what the viewer gets, what the page says, what is left behind, and the Space."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import geometry, recipe, schema, store
from builder.asking import Reply, Subject
from builder.performer import Turn, Wait, Walk, perform
from builder.types import BuildError, Question, Track
from demo import answerers, downloads, limits, payload, quiz, scene, words, work
from demo.answerers import Answerer
from demo.line import Line
from demo.sandbox import Refused
from demo.speech import Said
from demo.visit import Visit

ROOT = Path(__file__).resolve().parents[1]


# ---- what the viewer gets


@cache
def walker(way: int = 1) -> Track:
    """Ahead two metres, a quarter turn to the left (way 1) or right, a metre and a half on."""
    script = (Walk(2.0), Wait(0.6), Turn(90.0 * way, 1.4), Wait(0.6), Walk(1.5), Wait(0.6))
    return perform(script, 30.0, seed="demo", clip_id="test/demo")


def encoded(track: Track, **more: Any) -> dict[str, Any]:
    subject = Subject(track, recipe.load())
    return json.loads(payload.encode(track, subject.motion, subject.measures, **more))  # type: ignore[no-any-return]


def unpack(text: str, columns: int = 1) -> Any:
    """(n, columns) numbers that the payload packed, before their step is undone."""
    return np.frombuffer(base64.b64decode(text), "<i2").astype(float).reshape(-1, columns)


def test_payload_keeps_millimetres():
    track = walker()
    data, anchored = encoded(track), geometry.anchor(track)
    path = unpack(data["path"], 3) * data["step_mm"] / 1000
    at = np.arange(data["frames"]) / data["fps"] * track.fps
    exact = np.stack([np.interp(at, np.arange(track.num_frames), c) for c in anchored.position_m.T], axis=1)
    assert np.abs(path - exact).max() <= 0.00051
    heading = unpack(data["heading"])[:, 0] / 10
    exact_heading = np.interp(at, np.arange(track.num_frames), geometry.heading_deg(anchored.body_to_world))
    assert np.abs((heading - exact_heading + 180) % 360 - 180).max() <= 0.051
    assert len(json.dumps(data)) < 40_000


@pytest.mark.parametrize("way", [1, -1])
def test_left_is_left_in_numbers_and_words(way: int):
    data = encoded(walker(way))
    end = unpack(data["path"], 3)[-1] * data["step_mm"] / 1000
    side = "left" if way > 0 else "right"
    assert way * end[0] > 1.2  # the person's left is +x
    assert dict(data["facts"])["Ended"].endswith(f"1.5 m {side} of the start")
    assert next(row["turned"] for row in data["quarters"] if row["turned"] != "no").endswith(side)
    assert data["quarters"][3]["facing"].endswith(side)
    assert [chip[2] for lane in data["lanes"] if lane["name"] == "turn" for chip in lane["chips"]] == [side]


def test_a_track_longer_than_sixteen_bits_is_scaled():
    far = replace(walker(), position_m=walker().position_m * 40.0)
    data = encoded(far)
    assert data["step_mm"] > 1
    assert abs(unpack(data["path"], 3)[-1, 2] * data["step_mm"] / 1000 - 80.0) < 2.0


def test_frames_that_nobody_saw_are_marked_and_warned_about():
    valid = np.ones(walker().num_frames, dtype=bool)
    valid[60:90] = False
    found = scene.make("t", "o", clip_of(walker()), replace(walker(), valid=valid), None)
    assert json.loads(found.shown)["unsure"] == [[2.0, 3.0]]
    assert any("lost for 1.0 s" in w for w in found.warnings)
    assert found.subject is None or found.subject.track.valid.mean() >= 0.9
    assert "visible in" in found.unasked  # under 90 % nothing is asked


def test_a_refused_track_is_shown_and_never_asked():
    bad = replace(walker(), provenance={"verdict": "refuse", "reasons": ["only 20 pixels tall"]})
    found = scene.make("t", "o", clip_of(bad), bad, None)
    assert found.subject is None
    assert found.warnings[0].startswith("Nothing is asked about this track: the lifter itself does not trust")


def clip_of(track: Track) -> Any:
    from builder.types import Clip

    n = track.num_frames
    return Clip(track.clip_id, "folder", "demo", track.fps, 0, n, n, "demo", "qa_only")


def test_every_example_is_ready_and_asked():
    from demo.events.questions import answered

    for name, *_ in scene.EXAMPLES:
        found = scene.example(name)
        assert found.subject is not None
        assert not found.warnings
        assert found.video is not None
        assert found.video.is_file()
        assert len(found.shown) < 60_000
    for text in words.SUGGESTED:
        assert answered(scene.example(scene.FIRST), text).read_as, text


# ---- what the page says


EVIL = '<img src=x onerror="alert(1)">&"\'</script><script>alert(2)</script>'


def question(options: tuple[str, ...] = ("Left", "Right"), answer: int = 0) -> Question:
    return Question("q1", "c", "0", "dominant", "t", "left", "whole", EVIL, options, answer, {})


@pytest.mark.parametrize(
    "html",
    [
        words.note(EVIL, "bad"),
        words.working(EVIL, 0.5),
        words.turn(Reply(EVIL, EVIL, EVIL, EVIL), 0.0, EVIL, Said(EVIL, EVIL, EVIL, 0, True, True)),
        words.turn(Reply(EVIL, EVIL, EVIL, EVIL), 0.0, EVIL, Said(EVIL, EVIL, EVIL)),
        words.turn(Reply(EVIL, "", None, EVIL), 0.0, EVIL),
        words.quiz_head(quiz.Quiz((question(),))),
        words.revealed(quiz.Answered(question((EVIL, "Right")), 0, 1.0, Said(EVIL, EVIL, EVIL)), EVIL, (), 0.0, EVIL),
        words.standing(quiz.Quiz((question(),), (quiz.Answered(question(), 0, 1.0, Said(EVIL, EVIL, EVIL, 0, True, True)),))),
        words.models([Answerer(EVIL, EVIL, EVIL, EVIL)]),
        words.example_cards([{"name": EVIL, "title": EVIL, "camera": EVIL, "map": ""}], EVIL),
    ],
)
def test_nothing_is_written_unescaped(html: str):
    assert "<img" not in html
    assert "<script" not in html
    assert not re.search(r'"[^"]*onerror="', html)


def test_scores_are_free_of_chance():
    assert quiz.normalised([(True, 4), (True, 2)]) == 100
    assert quiz.normalised([(True, 2), (False, 2)]) == 0
    assert quiz.normalised([(False, 4)] * 3 + [(True, 4)]) == pytest.approx(0)
    assert quiz.score([quiz.Answered(question(), 0, 1.0), quiz.Answered(question(), 1, 1.0)]) == (1, 0)


def test_a_quiz_is_one_robust_question_of_each_category_and_always_the_same():
    subject = scene.example(scene.FIRST).subject
    assert subject is not None
    first, again = (quiz.make(subject.questions(3)) for _ in range(2))
    assert first == again
    assert len({q.category for q in first.questions}) == len(first.questions) >= 5
    agree = recipe.load().robustness.agree / recipe.load().robustness.copies
    assert min(q.robustness for q in first.questions) >= agree


# ---- files


def test_downloads_are_what_they_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = scene.example("zigzag")
    assert found.subject is not None
    game = quiz.make(found.subject.questions(2))
    for k, q in enumerate(game.questions):
        game = game.answer(quiz.Answered(q, q.answer if k else (q.answer + 1) % len(q.options), 2.0))
    files = {p.name: p for p in downloads.write(found, tmp_path, game)}
    track, clip = store.read_track(files["track.npz"])
    assert clip is not None
    assert clip.video is None
    assert (track.position_m == found.track.position_m).all()
    rows = list(csv.DictReader(io.StringIO(files["path.csv"].read_text())))
    assert len(rows) == track.num_frames
    assert float(rows[-1]["left_m"]) == pytest.approx(geometry.anchor(track).position_m[-1, 0], abs=1e-3)
    for line in files["questions.jsonl"].read_text().splitlines():
        row = json.loads(line)
        schema.check(row, "sample")
        assert schema.question(row).answer_text == row["answer_text"]
    assert json.loads(files["track.json"].read_text())["lifter"] == "groundtruth"
    assert str(tmp_path) not in "".join(p.read_text() for p in files.values() if p.suffix in (".json", ".csv", ".jsonl"))

    from builder import runs

    with zipfile.ZipFile(files["quiz-run.zip"]) as archive:
        archive.extractall(tmp_path / "unpacked")
    (run,) = runs.read([tmp_path / "unpacked" / "quiz-run"])
    assert [g.choice == g.answer for g in run.graded].count(False) == 1
    assert len(run.graded) == len(game.questions)
    assert runs.results(run)["title"] == "human"
    from builder import cli

    assert cli.main(["score", str(tmp_path / "unpacked" / "quiz-run")]) == 0
    said = capsys.readouterr().out
    assert "human" in said
    assert f"{len(run.graded)}" in said


# ---- what is left behind


def test_the_sweep_takes_what_is_old_and_only_that(tmp_path: Path):
    old, new = tmp_path / "a" / "old.mp4", tmp_path / "b" / "new.mp4"
    for path in (old, new):
        path.parent.mkdir()
        path.write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc/hostname")
    now = time.time()
    for path in (old, old.parent, tmp_path / "link"):
        os.utime(path, (now - 4000, now - 4000), follow_symlinks=False)
    assert work.sweep(tmp_path, 3600.0, now) == 2
    assert sorted(p.name for p in tmp_path.rglob("*")) in (["a", "b", "new.mp4"], ["b", "new.mp4"])
    assert Path("/etc/hostname").exists() or True
    work.sweep(tmp_path, 3600.0, now + 8000)
    work.sweep(tmp_path, 3600.0, now + 16000)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f"{work.PREFIX}{dead.pid}-x" / "y").mkdir(parents=True)
    (tmp_path / f"{work.PREFIX}{os.getpid()}-mine").mkdir()
    root = work.open_root(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([root, tmp_path / f"{work.PREFIX}{os.getpid()}-mine"])


def test_the_line_is_in_order_and_has_an_end():
    line = Line(longest=2, full="2 clips are waiting")
    with line.ticket() as first, line.ticket() as second, line.ticket() as third:
        assert (first(), second(), third()) == (0, 1, 2)
        with pytest.raises(Refused, match="2 clips are waiting"), line.ticket():
            pass
    with Line(0, "", at_once=2).ticket() as again:
        assert again() == 0


# ---- the page and the Space


def test_the_page_is_built_without_a_gpu_weights_or_network(tmp_path: Path):
    code = f"""
import json, pathlib, sys
from demo.app import build
page = build(pathlib.Path({str(tmp_path)!r}))
found = {{}}
for f in page.fns.values():
    found.setdefault(f.api_visibility, []).append(f.api_name)
print(json.dumps([found, [m for m in ("torch", "av", "cv2", "ai_edge_litert") if m in sys.modules]]))
"""
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False", "HUMANMOVEVQA_WEIGHTS": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found, heavy = json.loads(run.stdout)
    assert sorted(found["public"]) == ["ask", "examples", "lift"]
    assert found.keys() == {"public", "private"}
    assert heavy == []


def test_the_viewer_calls_nobody():
    for name in ("viewer.html", "viewer.css", "pictures.js", "viewer.js", "page.css"):
        text = (ROOT / "demo" / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(|\beval\b|innerHTML", text), name


def test_the_space_is_whole(tmp_path: Path):
    from huggingface_hub.repocard import metadata_load

    from demo import space

    out = space.stage(tmp_path / "space", ["qwen3_vl=owner/model"])
    meta = metadata_load(out / "README.md")
    assert meta["sdk"] == "gradio"
    assert meta["python_version"] == "3.12.12"
    assert meta["models"] == ["owner/model"]
    assert len(meta["short_description"]) <= 60
    lines = (out / "requirements.txt").read_text().splitlines()
    assert {"torch==2.11.0", "torchvision==0.26.0", "spaces"} <= set(lines)
    assert "setdefault(\"HUMANMOVEVQA_DEMO_MODELS\", 'qwen3_vl=owner/model')" in (out / "app.py").read_text()
    assert not {"spaces", "transformers"} & {line.partition("=")[0] for line in space.requirements([])}
    assert not [line for line in lines if line.startswith("gradio")]
    assert all(re.fullmatch(r"[a-z0-9-]+(==[0-9][0-9a-z.]*)?", line) for line in lines)
    files = [p for p in out.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 30 * limits.MB
    assert not [p for p in files if re.search(r"smpl|\.pkl|\.pt$|/tests/", str(p.relative_to(out)).lower())]
    from builder.hub import guard

    guard.tree(out, "space")
    with pytest.raises(BuildError, match="expected a new or empty folder"):
        space.stage(out)
    with pytest.raises(BuildError, match="lies on this machine"):
        space.stage(tmp_path / "other", [f"qwen3_vl={out}"])


@pytest.mark.slow
def test_the_space_starts_from_its_own_files(tmp_path: Path):
    """In a process that sees none of the checkout, started from elsewhere; and answers."""
    from gradio_client import Client

    from demo import space

    out = space.stage(tmp_path / "space")
    (tmp_path / "elsewhere").mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", answerers.VARIABLE)} | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": "0",
        "TMPDIR": str(tmp_path / "elsewhere"),
    }
    code = f"""
import runpy, sys
sys.path[:] = [{str(out)!r}] + [p for p in sys.path if p and p != {str(ROOT)!r}]
runpy.run_path({str(out / "app.py")!r}, run_name="__main__")
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path / "elsewhere", env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "open http" in line or "Traceback" in line)
        assert "open http" in said, said + process.stderr.read()
        told = Client(said.split("open ")[1].split()[0], verbose=False).predict("Which way did they turn?", api_name="/ask")
        assert told["answer"] == "To the right"
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()


def test_two_questions_at_once_keep_their_places():
    """A model may still think about the first when the second is asked."""
    visit = Visit.of(None)
    assert visit.say(1, "first: thinking") == ["first: thinking"]
    assert visit.say(2, "second") == ["second", "first: thinking"]
    assert visit.say(1, "first") == ["second", "first"]
    for turn in range(3, 20):
        visit.say(turn, f"{turn}")
    assert len(visit.turns) == limits.TURNS
    assert next(iter(visit.turns)) == 19
