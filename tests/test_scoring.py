"""Scores against numbers worked out by hand, and intervals against what they must contain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from builder import priors, scoring
from builder.scoring import Graded
from builder.types import CATEGORIES, Question


def answers(right: int, wrong: int, k: int, category: str = "numerical", video: str = "v", source: str = "s") -> list[Graded]:
    """`right` right and `wrong` wrong answers to questions with k options."""
    return [Graded(f"{source}/{video}/{category}/{k}/{i}", source, video, category, k, int(i >= right), 0) for i in range(right + wrong)]


def many(rng: np.random.Generator, skill: float, videos: int = 60, per: int = 20) -> list[Graded]:
    """Answers in all categories: right with probability `skill`, else guessed uniformly."""
    out = []
    for v in range(videos):
        for i in range(per):
            k = (2, 3, 4)[i % 3]
            answer = int(rng.integers(k))
            choice = answer if rng.random() < skill else int(rng.integers(k))
            out.append(Graded(f"{v}/{i}", f"s{v % 3}", f"v{v}", CATEGORIES[i % 7], k, choice, answer))
    return out


@pytest.mark.parametrize(
    ("right", "wrong", "k", "points"),
    [
        (6852, 3148, 4, 58.03),  # 68.52 % of four
        (4974, 5026, 5, 37.18),  # 49.74 % of five
        (804, 196, 2, 60.8),
        (300, 700, 3, -5.0),
        (140, 860, 4, -14.67),
        (10, 0, 4, 100.0),
        (0, 10, 4, -33.33),
        (0, 10, 2, -100.0),
    ],
)
def test_a_share_of_right_answers_in_points(right: int, wrong: int, k: int, points: float):
    found = scoring.report(answers(right, wrong, k))
    assert found["score_macro"] == found["score_micro"] == points
    assert found["n"] == right + wrong
    assert found["accuracy"] == round(100 * right / (right + wrong), 2)


def test_mixed_numbers_of_options_by_hand():
    some = answers(2, 1, 2, "existence") + answers(1, 2, 4, "numerical") + answers(1, 0, 3, "numerical", video="w")
    found = scoring.report(some)
    existence = (1 + 1 - 1) / 3
    numerical = (1 - 1 / 3 - 1 / 3 + 1) / 4  # four options: 1 or -1/3; three: 1
    assert found["by_category"]["existence"]["score"] == round(100 * existence, 2)
    assert found["by_category"]["numerical"]["score"] == round(100 * numerical, 2)
    assert found["score_macro"] == round(100 * (existence + numerical) / 2, 2)
    assert found["score_micro"] == round(100 * (1 + 4 / 3) / 7, 2)
    assert found["by_category"]["numerical"]["num_options"] == [3, 4]
    assert list(found["by_category"]) == ["numerical", "existence"]


def test_sources_by_hand():
    some = answers(1, 0, 2, "existence", source="a") + answers(0, 1, 2, "existence", source="b") + answers(1, 0, 4, source="b", video="w")
    found = scoring.report(some)
    assert (found["by_source"]["a"]["score"], found["by_source"]["b"]["score"]) == (100.0, 0.0)
    assert found["score_source_macro"] == 50.0
    assert found["score_macro"] == 50.0  # existence 0, numerical 100
    assert found["by_source"]["b"]["by_category"]["existence"] == {"score": -100.0, "n": 1}
    assert found["by_source"]["a"]["by_category"]["numerical"] == {"score": None, "n": 0}


def test_guessing_is_zero_and_skill_is_its_share():
    guesses = scoring.report(many(np.random.default_rng(1), 0.0))
    low, high = guesses["interval"]
    assert low < 0 < high
    assert high - low < 20
    skilled = scoring.report(many(np.random.default_rng(2), 0.6))
    low, high = skilled["interval"]
    assert low < 60 < high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """60 runs of a guesser whose luck is shared within a video: an interval over questions would miss far more often."""
    hits = naive = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        some = []
        for v in range(30):
            lucky = rng.random() < 0.5
            some += [Graded(f"{v}/{i}", "s", f"v{v}", "existence", 2, int(not lucky), 0) for i in range(20)]
        low, high = scoring.score(some, resamples=400).interval
        hits += low <= 0 <= high
        alone = [replace(a, video_id=a.question_id) for a in some]
        low, high = scoring.score(alone, resamples=400).interval
        naive += low <= 0 <= high
    assert hits >= 52
    assert naive < hits - 15


def test_unread_replies_are_wrong_and_reported():
    some = answers(3, 1, 4)
    lost = [replace(some[0], choice=None), *some[1:]]
    found = scoring.report(lost)
    assert found["score_macro"] == round(100 * (2 - 2 / 3) / 4, 2)
    assert found["invalid_rate"] == found["by_category"]["numerical"]["invalid_rate"] == 25.0
    assert found["score_valid_only"] == round(100 * (2 - 1 / 3) / 3, 2)


def test_nothing_answered_and_one_video_say_so():
    empty = scoring.report([])
    assert (empty["n"], empty["score_macro"], empty["interval"]) == (0, None, None)
    assert scoring.report(answers(1, 1, 2))["interval"] is None
    assert math.isnan(scoring.score(answers(1, 1, 2)).interval[0])


def test_order_does_not_matter_and_the_seed_does():
    some = many(np.random.default_rng(3), 0.3)
    assert scoring.report(some) == scoring.report(some[::-1])
    assert scoring.report(some, seed=1)["interval"] != scoring.report(some, seed=2)["interval"]


def test_a_paired_difference_is_narrower_than_two_intervals():
    some = many(np.random.default_rng(4), 0.4)
    better = [replace(a, choice=a.answer) if i % 10 == 0 else a for i, a in enumerate(some)]
    found = scoring.compare(some, better)
    first, second = scoring.report(some), scoring.report(better)
    low, high = found["macro"]["interval"]
    assert (found["macro"]["first"], found["macro"]["second"]) == (first["score_macro"], second["score_macro"])
    assert found["macro"]["difference"] == pytest.approx(second["score_macro"] - first["score_macro"], abs=0.011)
    assert 0 < low < found["macro"]["difference"] < high
    assert high - low < 0.6 * (first["interval"][1] - first["interval"][0])
    assert found["macro"]["better"] == 1.0
    assert found["only_first_right"] == 0 < found["only_second_right"]
    assert scoring.compare(some, some)["macro"] == found["macro"] | {
        "second": first["score_macro"],
        "difference": 0.0,
        "interval": [0.0, 0.0],
        "better": 0.0,
    }


def test_only_shared_questions_are_compared_and_must_be_the_same():
    some = answers(5, 5, 4) + answers(5, 5, 4, video="w")
    found = scoring.compare(some[:15], some[5:])
    assert (found["n"], found["only_in_first"], found["only_in_second"]) == (10, 5, 5)
    with pytest.raises(ValueError, match="share no question"):
        scoring.compare(some[:10], some[10:])
    with pytest.raises(ValueError, match="not the same in both"):
        scoring.compare(some, [replace(a, num_options=3) for a in some])


def test_rotations_count_once_in_the_score_and_together_in_circular():
    steady = [Graded("q", "s", "v", "dominant", 4, 2, 2, r) for r in range(4)]
    by_letter = [Graded("p", "s", "w", "dominant", 4, r, 2, r) for r in range(4)]  # always says A
    found = scoring.report(steady + by_letter)
    assert found["n"] == 2
    assert found["score_micro"] == round(100 * (1 - 1 / 3) / 2, 2)
    assert found["circular"]["all_right"] == 50.0
    assert found["circular"]["accuracy"] == 62.5
    assert found["circular"]["chance_all_right"] == round(100 / 256, 2)
    assert found["circular"]["letters"]["A"] == {"right": 2, "found": 2, "chosen": 5}
    assert found["circular"]["letters"]["B"] == {"right": 2, "found": 1, "chosen": 1}


def test_a_question_is_worth_what_the_build_says():
    q = Question("q", "c", "0", "numerical", "t", "x", "whole", "?", ("a", "b", "c"), 1, {})
    for choice in (0, 1, None):
        assert priors.normalised(q, choice) == pytest.approx(Graded("q", "s", "c", "numerical", 3, choice, 1).points)


def test_the_paper_s_size_takes_seconds():
    rng = np.random.default_rng(5)
    large = many(rng, 0.4, videos=97, per=105)
    found = scoring.report(large)
    assert found["n"] == 10185
    assert len(found["by_category"]) == 7
