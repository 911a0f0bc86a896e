"""The perturbation sizes of a recipe are fitted to what a lifter got wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixture_validation import R

from builder import motion, plugins
from builder.geometry import yaw_matrix
from builder.robustness import WANDER_S, perturb
from builder.validate import fit, summary

PEOPLE = 120


@pytest.fixture(scope="module")
def truths() -> list[tuple[motion.Sampled, motion.Motion]]:
    """Scripted people, sampled and described."""
    source = plugins.load("sources", "synthetic")
    sampled = [motion.sample(source.reference(clip)[0], R) for clip in source.clips(str(PEOPLE))]
    return [(s, motion.segment(s, R)) for s in sampled]


def injected(truths: Any, sizes: dict[str, float], after: Callable[[int, Any], Any] = lambda k, s: s) -> list[dict[str, Any]]:
    """What one perturbed copy of everybody shows, with errors of these sizes."""
    errs = replace(R, robustness=replace(R.robustness, **sizes))
    return [fit.errors_of(motion.segment(after(k, perturb(s, errs, 3)), R), t) for k, (s, t) in enumerate(truths)]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_known_errors_are_fitted(truths: Any, factor: float):
    sizes = {name: factor * getattr(R.robustness, name) for name in fit.SIZES}
    found, used = fit.fitted(injected(truths, sizes))
    assert {name: round(found[name] / sizes[name], 2) for name in sizes} == pytest.approx(dict.fromkeys(sizes, 1.0), abs=0.25)
    assert used["clips"] == PEOPLE
    assert used["paths"] > PEOPLE / 2


@pytest.mark.parametrize("name", ["drift_per_m", "scale", "anchor_deg"])
def test_one_error_is_not_taken_for_another(truths: Any, name: str):
    """On one straight walk these three look alike."""
    sizes = {n: 1e-4 for n in fit.SIZES} | {name: 2 * getattr(R.robustness, name)}
    found, _ = fit.fitted(injected(truths, sizes))
    assert found[name] == pytest.approx(sizes[name], rel=0.25)
    for other in {"drift_per_m", "scale", "anchor_deg"} - {name}:
        assert found[other] < 0.5 * getattr(R.robustness, other)


def test_failures_do_not_widen_the_errors(truths: Any):
    sizes = {name: getattr(R.robustness, name) for name in fit.SIZES}

    def flipped(k: int, s: motion.Sampled) -> motion.Sampled:
        return replace(s, position_m=s.position_m @ yaw_matrix(170).T, heading_deg=s.heading_deg + 170) if k % 12 == 0 else s

    found, used = fit.fitted(injected(truths, sizes, flipped))
    assert used["left_out"] >= 5
    assert {name: round(found[name] / sizes[name], 2) for name in sizes} == pytest.approx(dict.fromkeys(sizes, 1.0), abs=0.25)


def test_failures_need_not_be_gross_to_be_left_out(truths: Any):
    sizes = {name: getattr(R.robustness, name) for name in fit.SIZES}

    def astray(k: int, s: motion.Sampled) -> motion.Sampled:
        return replace(s, position_m=s.position_m @ yaw_matrix(35).T) if k % 12 == 0 else s

    found, used = fit.fitted(injected(truths, sizes, astray))
    assert used["left_out"] >= 5
    assert found["anchor_deg"] == pytest.approx(sizes["anchor_deg"], rel=0.25)


def test_a_late_track_is_late_and_nothing_else(truths: Any):
    found, _ = fit.fitted(injected(truths, {n: 1e-4 for n in fit.SIZES} | {"timing_s": 0.2}))
    assert found["timing_s"] == pytest.approx(0.2, rel=0.25)
    assert found["heading_deg"] < 0.1 * R.robustness.heading_deg
    assert found["scale"] < 0.2 * R.robustness.scale


def test_what_a_model_takes_of_a_wandering_error_is_given_back():
    from scipy.ndimage import gaussian_filter1d

    hz, n = 60.0, 240  # four seconds, in which little of it averages out
    noise = gaussian_filter1d(np.random.default_rng(0).standard_normal((1000, 700)), WANDER_S * hz, axis=1)[:, 230 : 230 + n]
    noise *= np.sqrt(2 * np.sqrt(np.pi) * WANDER_S * hz)
    model = [np.ones(n), np.linspace(0, 5, n)]
    rest = [fit._wandering(row, model, np.ones(n, dtype=bool), hz) for row in noise]
    assert np.sqrt(np.mean(np.square(rest))) == pytest.approx(1.0, abs=0.08)
    assert fit._wandering(noise[0], model, np.zeros(n, dtype=bool), hz).size == 0


def test_fitted_sizes_are_a_recipe_table():
    import tomllib

    assert tomllib.loads(fit.toml({"scale": 0.04, "timing_s": 0.08})) == {"robustness": {"scale": 0.04, "timing_s": 0.08}}
    assert fit.fitted([]) == ({}, {"clips": 0, "paths": 0, "left_out": 0})


def test_the_interval_is_over_clips():
    low, high = summary.interval([(9, 10)] * 30 + [(1, 10)] * 10, 0) or (0, 0)
    assert low < 0.7 < high
    assert high - low > 0.1
    assert summary.interval([(0, 0)], 0) is None
    assert summary.interval([(3, 3)] * 5, 0) == [1.0, 1.0]
