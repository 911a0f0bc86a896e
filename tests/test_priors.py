"""The blind solvers find what is planted and nothing else; a build's questions leave them nothing to find."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import cli, corpus, pipeline, priors, recipe
from builder.types import CATEGORIES, Question

RECIPE = recipe.load()
CFG = RECIPE.priors
WORDS = ("Left", "Right", "Forward", "Backward")


def corpus_of(clips: int, answer: Callable[[random.Random, Sequence[str]], str], seed: int = 0, per_clip: int = 6) -> list[Question]:
    """Questions of several categories, whose answer a function picks from their options."""
    rng, out = random.Random(seed), []
    for clip in range(clips):
        for number in range(per_clip):
            category = CATEGORIES[number % 3]
            options = tuple(rng.sample(WORDS, 4) if number % 3 else rng.sample(("Yes", "No"), 2))
            out.append(
                Question(
                    id=f"{seed}-{clip}-{number}",
                    clip_id=f"{seed}-clip-{clip}",
                    person_id="0",
                    category=category,
                    template=f"template {number}",
                    quantity=("left", "right")[number % 2],
                    window="whole",
                    text=f"Question {number}: which way, {category}?",
                    options=options,
                    answer=options.index(answer(rng, options)),
                    evidence={},
                )
            )
    return out


def coin(rng: random.Random, options: Sequence[str]) -> str:
    return rng.choice(list(options))


def leak(rng: random.Random, options: Sequence[str]) -> str:
    """One word is right whenever it is offered."""
    return next((o for o in options if o in ("Forward", "Yes")), options[0])


def test_a_planted_leak_is_found():
    for table in priors.blind_report(corpus_of(100, leak, 1), corpus_of(60, leak, 2), CFG, 0).values():
        assert table["mean"]["score"] > 95
        assert table["guessed"] == sorted(CATEGORIES[:3])
        assert table["verdict"].startswith("can be guessed without watching: ")
        assert set(table["by_category"]) == set(CATEGORIES[:3])


def test_a_leak_in_one_category_is_named_alone():
    def one(rng: random.Random, options: Sequence[str]) -> str:
        return "Yes" if "Yes" in options else coin(rng, options)

    for table in priors.blind_report(corpus_of(150, one, 1), corpus_of(150, one, 2), CFG, 0).values():
        assert table["guessed"] == [CATEGORIES[0]]
        assert table["by_category"][CATEGORIES[0]]["score"] > 95


def test_a_leak_that_is_only_a_tendency_is_measured():
    """Right in 40 % instead of 25 %: 20 points of chance-normalised score."""

    def often(rng: random.Random, options: Sequence[str]) -> str:
        return "Forward" if "Forward" in options and rng.random() < 0.2 else coin(rng, options)

    for table in priors.blind_report(corpus_of(300, often, 1), corpus_of(300, often, 2), CFG, 0).values():
        for category in CATEGORIES[1:3]:
            found = table["by_category"][category]
            assert 5 < found["low"] <= 20 <= found["high"]


def test_coin_flips_cannot_be_guessed():
    outside = 0
    for seed in range(4):
        for table in priors.blind_report(corpus_of(60, coin, 2 * seed), corpus_of(120, coin, 2 * seed + 1), CFG, 0).values():
            assert table["verdict"] == "cannot be guessed without watching"
            assert table["guessed"] == []
            assert abs(table["mean"]["score"]) < 10
            outside += not table["mean"]["low"] <= 0 <= table["mean"]["high"]
    assert outside <= 2, "a 95 % interval misses the truth about once in twenty"


def test_chance_is_nought_and_right_is_one():
    two, four = (next(q for q in corpus_of(1, coin) if len(q.options) == n) for n in (2, 4))
    for q, n in ((two, 2), (four, 4)):
        points = [priors.normalised(q, choice) for choice in range(n)]
        assert sum(points) == pytest.approx(0)
        assert max(points) == points[q.answer] == 1
        assert priors.normalised(q, None) == min(points)


def test_solvers_do_not_see_the_answer():
    """The test side's own answers change nothing in what is chosen."""
    train, test = corpus_of(60, leak, 1), corpus_of(40, coin, 2)
    other = [replace(q, answer=(q.answer + 1) % len(q.options)) for q in test]
    for solver in priors.SOLVERS.values():
        assert list(solver(train, test)) == list(solver(train, other))


def test_too_few_say_so():
    train = corpus_of(50, leak, 1)
    few = corpus_of(33, leak, 2)
    assert len(few) == CFG.min_test - 2
    for train_, test in ((train, few), (train, []), ([], few), ([], [])):
        for table in priors.blind_report(train_, test, CFG, 0).values():
            assert table["n"] == len(test)
            assert table["verdict"] == f"too few to tell ({len(test)} test questions; {CFG.min_test} needed)"
            assert not table["guessed"], "nothing is accused on so little"
    enough = corpus_of(34, leak, 2)
    assert all(t["guessed"] for t in priors.blind_report(train, enough, CFG, 0).values())
    assert all("too few" not in t["verdict"] for t in priors.blind_report([], enough, CFG, 0).values())


def test_the_interval_is_clustered_by_clip():
    """Asking the same of a clip ten times tells nothing more about other clips."""
    train, test = corpus_of(50, coin, 1), corpus_of(50, coin, 2)
    tenfold = [replace(q, id=f"{q.id}-{copy}") for q in test for copy in range(10)]
    spread = [replace(q, clip_id=q.id) for q in tenfold]
    reports = [priors.blind_report(train, questions, CFG, 0) for questions in (test, tenfold, spread)]
    for solver in priors.SOLVERS:
        once, often, free = (report[solver] for report in reports)
        assert often["n"] == 10 * once["n"]
        for name in once["by_category"]:
            for bound in ("score", "low", "high"):
                assert often["by_category"][name][bound] == pytest.approx(once["by_category"][name][bound], abs=0.02)
        wide, narrow = (t["mean"]["high"] - t["mean"]["low"] for t in (often, free))
        assert narrow < 0.5 * wide, "as many clips of their own would tell more"


def test_the_order_of_questions_changes_nothing():
    train, test = corpus_of(60, coin, 1), corpus_of(60, coin, 2)
    mixed = random.Random(0).sample(train, len(train))
    for solver in priors.SOLVERS.values():
        assert list(solver(train, test)) == list(solver(mixed, test))


def test_what_solvers_are_shown_comes_back_sorted_as_it_was_asked():
    questions = [replace(q, id=f"{number:016x}") for number, q in enumerate(corpus_of(30, coin))]
    shown = corpus.Shown()
    for q in random.Random(1).sample(questions, len(questions)):
        shown.add(q)
    assert [tuple(getattr(q, name) for name in priors.Asked._fields) for q in questions] == list(shown)


def test_solvers_see_whole_clips_and_no_more_than_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """The first clips by a hash, whoever else is there; people of one clip count together."""
    monkeypatch.setattr(priors, "MOST", 100)
    clips = [f"clip {n}" for n in range(40) for _ in range(1 + n % 2)]
    turns = np.array([priors.turn_of(clip) for clip in clips], np.uint64)
    last = priors.last_turn(turns, np.full(len(clips), 7))
    shown = {clip for clip, turn in zip(clips, turns.tolist(), strict=True) if turn <= last}
    assert 100 - 14 < 7 * sum(clip in shown for clip in clips) <= 100
    assert priors.last_turn(turns, np.ones(len(clips))) == max(turns)
    assert priors.last_turn(turns, np.full(len(clips), 101)) == -1


# ---- a whole build -----------------------------------------------------------------------------------------------------


def silent(done: int, total: int, what: str) -> None:
    """No progress."""


def people_of(count: int, work: Path, with_recipe: recipe.Recipe) -> list[pipeline.Asked]:
    plan = pipeline.Plan((("synthetic", str(count)),), "", with_recipe, work)
    clips = pipeline.clips_of(plan)
    pipeline.process(clips, plan, 2, silent)
    people, skipped, missing = pipeline.gather(clips, plan)
    assert (len(people), skipped, missing) == (count, [], [])
    return people


def assert_rich(info: dict[str, Any]) -> None:
    """Enough questions of every kind."""
    assert info["generated"]["questions_per_track_mean"] >= 40
    for split in ("train", "test"):
        assert set(info["counts"]["synthetic"][split]) == set(CATEGORIES)


def test_what_can_be_guessed_fails_a_strict_build_and_the_default_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The same people twice: hardly flattened (everything may stay as it is), and as the default recipe has it."""
    text = (recipe.FOLDER / "default.toml").read_text()
    assert "flatness = 0.25" in text
    (tmp_path / "loose.toml").write_text(text.replace("flatness = 0.25", "flatness = 50"))
    people = people_of(150, tmp_path / "work", recipe.load(tmp_path / "loose.toml"))

    options = ["build", "--source", "synthetic=150", "--recipe", str(tmp_path / "loose.toml"), "--work", str(tmp_path / "work")]
    options += ["--workers", "1", "--no-report", "--quiet", "--out", str(tmp_path / "out")]
    assert cli.main([*options, "--strict"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "--strict: " in said[0]
    assert "can be guessed without watching" in said[0]
    assert not (tmp_path / "out").exists()
    assert cli.main(options) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert warnings
    assert all(line.startswith("WARNING: blind solver ") and line.endswith("can be guessed without watching") for line in warnings)
    blind = json.loads((tmp_path / "out" / "build_info.json").read_text())["blind"]
    guessed = {(s, c) for s in blind for c in blind[s]["synthetic"]["guessed"]}
    assert len(warnings) == len(guessed)
    for solver, category in guessed:
        assert blind[solver]["synthetic"]["by_category"][category]["low"] > CFG.max_blind

    info = corpus.build(people, [], RECIPE, tmp_path).info
    assert_rich(info)
    assert corpus.complaints(info) == []
    for solver in priors.SOLVERS:
        table = info["blind"][solver]["synthetic"]
        assert table["n"] >= CFG.min_test
        assert table["mean"]["low"] <= 3
        assert all(t["low"] <= CFG.max_blind for t in table["by_category"].values())
        assert table["mean"]["score"] < blind[solver]["synthetic"]["mean"]["score"]


@pytest.mark.slow
def test_a_thousand_people_cannot_be_guessed(tmp_path: Path):
    info = corpus.build(people_of(1000, tmp_path / "work", RECIPE), [], RECIPE, tmp_path).info
    assert_rich(info)
    assert corpus.complaints(info) == []
    for solver in priors.SOLVERS:
        table = info["blind"][solver]["synthetic"]
        scores = {name: t["score"] for name, t in table["by_category"].items()}
        assert set(scores) == set(CATEGORIES)
        assert max(scores.values()) <= 5, (solver, scores)
        assert table["mean"]["score"] <= 3, (solver, table["mean"])
