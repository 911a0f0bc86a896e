"""True under doubt: perturbed copies of a motion, and which questions keep their answer in nearly all of them.

A copy has the errors that a lifter makes (drift, scale, first heading, heading, height, crouching, lean, timing) and slightly other
bounds for what counts as a movement, since no viewer draws that line sharply either.  Sizes stand in the recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from builder.geometry import yaw_matrix
from builder.motion import Sampled, segment, smooth
from builder.quantities import Measures
from builder.recipe import Channel, Recipe
from builder.types import Floats, Question

WANDER_S = 0.7  # correlation time of heading, height and lean errors: lifters err over several frames, not in each


class Copies:
    """The perturbed copies of one sampled track; each is measured when first needed and kept."""

    def __init__(self, sampled: Sampled, recipe: Recipe) -> None:
        self.sampled, self.recipe = sampled, recipe
        self._measures: dict[int, Measures] = {}

    def __getitem__(self, index: int) -> Measures:
        if index not in self._measures:
            recipe = doubted(self.recipe, index)
            self._measures[index] = Measures(segment(perturb(self.sampled, self.recipe, index), recipe), recipe)
        return self._measures[index]

    def agreement(self, question: Question, answer: Callable[[Question, Measures], str | None]) -> float:
        """Share of copies (0-1) that give the question's own answer; 0 as soon as too few can."""
        cfg = self.recipe.robustness
        lost = 0
        for index in range(cfg.copies):
            lost += answer(question, self[index]) != question.answer_text
            if lost > cfg.copies - cfg.agree:
                return 0.0
        return 1.0 - lost / cfg.copies


def perturb(sampled: Sampled, recipe: Recipe, index: int) -> Sampled:
    """Copy `index` of a sampled track: the same copy in every process, whatever else is built."""
    cfg, hz = recipe.robustness, recipe.signals.grid_hz
    identity = f"{recipe.seed}|{sampled.clip_id}|{sampled.person_id}|copy {index}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big"))
    n = len(sampled.heading_deg)

    def wander(size: float, columns: int) -> Floats:
        pad = round(4 * WANDER_S * hz)  # cut off again: the ends must not wander more or less than the middle
        noise = gaussian_filter1d(rng.standard_normal((n + 2 * pad, columns)), WANDER_S * hz, axis=0)[pad : pad + n]
        return np.asarray(size * noise * np.sqrt(2 * np.sqrt(np.pi) * WANDER_S * hz))

    anchor = cfg.anchor_deg * rng.standard_normal()
    position = sampled.position_m @ yaw_matrix(anchor).T * np.exp(cfg.scale * rng.standard_normal())
    floor = smooth(position[:, [0, 2]], 0.25, hz)
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(floor, axis=0).T))])
    position = position + travelled[:, None] * cfg.drift_per_m * rng.standard_normal(3) * [1.0, 0.3, 1.0]
    heights = wander(cfg.height_m, 1)
    lowered = position[:, 1:2] - position[0, 1]  # who crouches or sits seems to a lifter to move along the floor
    position[:, 1] += heights[:, 0] - heights[0, 0]
    heading = sampled.heading_deg + anchor + wander(cfg.heading_deg, 1)[:, 0]
    lean = sampled.lean_deg + wander(cfg.lean_deg, 2)

    at = np.clip(np.arange(n) + cfg.timing_s * hz * rng.standard_normal(), 0, n - 1)
    position[:, [0, 2]] += lowered * cfg.height_shift * rng.standard_normal(2)

    def shifted(values: Floats) -> Floats:
        return np.stack([np.interp(at, np.arange(n), column) for column in values.T], axis=1)

    angles = shifted(np.column_stack([heading, lean, sampled.tilt_deg]))
    return replace(sampled, position_m=shifted(position), heading_deg=angles[:, 0], lean_deg=angles[:, 1:3], tilt_deg=angles[:, 3])


SCALED = ("walk_speed", "walk_distance", "run_speed", "still_speed", "jump_rise", "jump_gravity", "crouch_drop", "turn_around")
SCALED_BACK = ("still_s",)  # who lets a faster sway pass for standing still also lets a shorter stop pass


def doubted(recipe: Recipe, index: int) -> Recipe:
    """The recipe of copy `index`: bounds of what counts as a movement spread evenly around the recipe's own."""
    cfg = recipe.robustness
    factor = float(np.exp(cfg.threshold * norm.ppf((index + 0.5) / cfg.copies)))

    def scaled(channel: Channel) -> Channel:
        sizes = tuple(s * factor for s in channel.sizes)
        return replace(channel, minimum=channel.minimum * factor, sizes=sizes, cone=channel.cone * factor)

    return replace(
        recipe,
        channels={name: scaled(channel) for name, channel in recipe.channels.items()},
        compound=replace(
            recipe.compound,
            **{name: getattr(recipe.compound, name) * factor for name in SCALED},
            **{name: getattr(recipe.compound, name) / factor for name in SCALED_BACK},
        ),
    )
