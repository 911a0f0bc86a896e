"""Doubt: copies are the same everywhere and as perturbed as the recipe says, and what they disagree about is not asked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import motion, recipe, robustness, selection
from builder.motion import Sampled
from builder.performer import Action, Turn, Wait, Walk, perform
from builder.quantities import Measures
from builder.robustness import Copies, doubted, perturb
from builder.types import Question

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = recipe.load()
MANY = 400
QUIET = dict.fromkeys(("drift_per_m", "scale", "anchor_deg", "heading_deg", "height_m", "lean_deg", "timing_s", "threshold"), 0.0)


def sampled(gait: bool = True) -> Sampled:
    return motion.sample(perform([Wait(1), Walk(6), Wait(1)], gait=gait, clip_id="robustness"), DEFAULT)


def fingerprint() -> str:
    """SHA-256 over the first three copies of one track, rounded to a micrometre."""
    copies = [perturb(sampled(), DEFAULT, k) for k in range(3)]
    return hashlib.sha256(b"".join(np.round(c.position_m, 6).tobytes() + np.round(c.heading_deg, 6).tobytes() for c in copies)).hexdigest()


def copies_with(**sizes: float) -> list[Sampled]:
    """Many copies of a straight walk with these errors alone."""
    only = replace(DEFAULT, robustness=replace(DEFAULT.robustness, **{**QUIET, **sizes}))
    return [perturb(sampled(gait=False), only, k) for k in range(MANY)]


def test_copies_are_the_same_in_another_process():
    code = "import sys; sys.path.insert(0, 'tests'); import test_robustness as t; print(t.fingerprint())"
    env = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == fingerprint(), run.stderr


def test_copies_differ_from_each_other_and_by_seed_clip_and_person():
    one = sampled()
    others = [
        perturb(one, DEFAULT, 1),
        perturb(one, replace(DEFAULT, seed=1), 0),
        perturb(replace(one, clip_id="other"), DEFAULT, 0),
        perturb(replace(one, person_id="1"), DEFAULT, 0),
    ]
    found = [perturb(one, DEFAULT, 0), *others]
    assert len({c.position_m.tobytes() for c in found}) == len(found)
    assert perturb(one, DEFAULT, 0).position_m.tobytes() == found[0].position_m.tobytes()


def test_without_doubt_a_copy_is_the_track():
    (one, *_), true = copies_with(), sampled(gait=False)
    assert np.allclose(one.position_m, true.position_m)
    assert np.allclose(one.heading_deg, true.heading_deg)
    assert doubted(replace(DEFAULT, robustness=replace(DEFAULT.robustness, threshold=0.0)), 3).channels == DEFAULT.channels


def end(copy: Sampled) -> Any:
    return copy.position_m[-1] - copy.position_m[0]


def start_s(copy: Sampled) -> float:
    """When the walker has gone half-way."""
    return float(np.interp(3.0, copy.position_m[:, 2], np.arange(len(copy.position_m)))) / DEFAULT.signals.grid_hz


@pytest.mark.parametrize(
    ("name", "size", "measure"),
    [
        ("scale", DEFAULT.robustness.scale, lambda c: np.log(end(c)[2] / 6.0)),
        ("drift_per_m", DEFAULT.robustness.drift_per_m, lambda c: end(c)[0] / 6.0),
        ("drift_per_m", DEFAULT.robustness.drift_per_m, lambda c: end(c)[2] / 6.0 - 1.0),
        ("anchor_deg", DEFAULT.robustness.anchor_deg, lambda c: np.degrees(np.arctan2(end(c)[0], end(c)[2]))),
        ("anchor_deg", DEFAULT.robustness.anchor_deg, lambda c: c.heading_deg.mean()),
        ("heading_deg", DEFAULT.robustness.heading_deg, lambda c: c.heading_deg[180]),
        ("lean_deg", DEFAULT.robustness.lean_deg, lambda c: c.lean_deg[180, 0]),
        ("height_m", DEFAULT.robustness.height_m * np.sqrt(2), lambda c: c.position_m[240, 1] - c.position_m[60, 1]),
        ("timing_s", DEFAULT.robustness.timing_s, start_s),
    ],
    ids=["scale", "drift sideways", "drift ahead", "path", "facing", "heading", "lean", "height", "timing"],
)
def test_errors_are_as_large_as_the_recipe_says(name: str, size: float, measure: Callable[[Sampled], float]):
    found = np.array([measure(c) for c in copies_with(**{name: getattr(DEFAULT.robustness, name)})])
    assert found.std() == pytest.approx(size, rel=0.15)
    assert abs(found.mean() - np.median(found)) < 0.3 * size, "no side is favoured"
    assert name == "timing_s" or abs(found.mean()) < 0.2 * size


def test_errors_wander_and_do_not_flicker():
    for copy in copies_with(heading_deg=3.0, lean_deg=2.5, height_m=0.015)[:20]:
        assert np.abs(np.diff(copy.heading_deg)).max() < 0.5
        assert np.abs(np.diff(copy.position_m[:, 1])).max() < 0.003


def test_bounds_are_doubted_evenly_around_the_recipe():
    least = DEFAULT.channels["rotation_yaw"].minimum
    factors = [doubted(DEFAULT, k).channels["rotation_yaw"].minimum / least for k in range(DEFAULT.robustness.copies)]
    assert np.log(factors).mean() == pytest.approx(0.0, abs=1e-9)
    assert np.log(factors).std() == pytest.approx(DEFAULT.robustness.threshold, rel=0.1)
    assert doubted(DEFAULT, 0).questions == DEFAULT.questions


QUESTION = Question("0" * 16, "clip", "0", "existence", "moves", "left", "whole", "Does it?", ("Yes", "No"), 0, {})


@pytest.mark.parametrize(
    ("lost", "expected"),
    [({}, 1.0), ({7: "No"}, 15 / 16), ({7: None}, 15 / 16), ({2: "No", 15: "No"}, 0.0), ({0: "No", 1: None}, 0.0)],
)
def test_a_question_stays_if_fifteen_of_sixteen_agree(lost: dict[int, str | None], expected: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Copies, "__getitem__", lambda self, index: index)
    copies = Copies(sampled(), DEFAULT)
    assert copies.agreement(QUESTION, lambda q, index: lost.get(index, "Yes")) == expected  # type: ignore[call-overload]


def test_a_copy_is_measured_once_and_with_doubted_bounds():
    copies = Copies(sampled(), DEFAULT)
    assert copies[3] is copies[3]
    assert isinstance(copies[3], Measures)
    assert copies[3].recipe == doubted(DEFAULT, 3)
    assert robustness.Copies is Copies


def about(question: Question, direction: str) -> bool:
    """Does the answer rest on whether one movement of this direction happened?"""
    counting = ("moves", "turns", "count_moves", "count_turns", "more_often_moves", "more_often_turns", "side_in_quarter", "first_onset")
    return question.template.removesuffix("_never") in counting and direction in question.quantity.split("|")


BORDERLINE: list[tuple[str, tuple[Action, ...], str]] = [
    ("turn of 30 degrees", (Wait(2), Turn(30, 1.2), Wait(2)), "turn_left"),
    ("turn of 30 degrees to the right", (Wait(2), Turn(-30, 1.2), Wait(2)), "turn_right"),
    ("side-step of 0.30 m", (Wait(2), Walk(0.30, 90, 0.5), Wait(2)), "left"),
    ("step back of 0.30 m", (Wait(2), Walk(0.30, 180, 0.5), Wait(2)), "backward"),
]


@pytest.mark.parametrize("seed", [None, 1, 2, 3], ids=lambda s: "plain" if s is None else f"gait {s}")
@pytest.mark.parametrize(("script", "direction"), [b[1:] for b in BORDERLINE], ids=[b[0] for b in BORDERLINE])
def test_what_may_or_may_not_be_a_movement_is_not_asked(script: tuple[Action, ...], direction: str, seed: int | None):
    track = perform(script, seed=seed or 0, gait=seed is not None, clip_id=f"borderline {seed}")
    kept = selection.questions_of(track, everything())[1]
    assert [(q.text, q.answer_text, q.robustness) for q in kept if q.window == "whole" and about(q, direction)] == []


@pytest.mark.parametrize("seed", range(3))
def test_a_place_on_the_diagonal_is_neither_ahead_nor_beside(seed: int):
    kept = selection.questions_of(perform([Walk(4, 45), Wait(1)], seed=seed), everything())[1]
    asked = {q.template for q in kept if q.window == "whole"}
    assert "place_at_end" not in asked
    assert "corner_at_end" in asked


def test_a_clear_turn_and_a_clear_side_step_are_asked():
    kept = selection.questions_of(perform([Wait(2), Turn(90, 1.5), Wait(2), Walk(1.5, 90), Wait(2)], seed=1), everything())[1]
    asked = {(q.template, q.quantity): q.answer_text for q in kept if q.window == "whole"}
    assert asked["turns", "turn_left"] == "Yes"
    assert asked["count_turns", "turn_left"] == "1"
    assert asked["moves", "backward"] == "Yes", "left of somebody who has turned left is back where they came from"


def everything() -> recipe.Recipe:
    """The default recipe without a limit on how many robust questions a clip keeps."""
    return replace(DEFAULT, questions=replace(DEFAULT.questions, pool=10_000))
