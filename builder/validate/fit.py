"""The sizes of `[robustness]` that a lifter's measured errors call for: `robustness.perturb` read backwards.

A perturbed copy is  p' = e^s R(a) p + d * way  on the floor, with s, a and d one draw each per copy, plus errors of heading, height
and lean that wander with a correlation time, all of it shifted in time by one draw.  So per clip
* the shift that lays the two motions on each other best is its timing error, and is taken out first;
* where both cameras are known the first heading's error a is measured as it is, as the 68th percentile of its size;
* crouching moves somebody along the floor in proportion to the height lost; by how much is regressed in clips with such a change;
* a, s and d cannot be told apart on one straight walk, so their variances are estimated over all clips at once (EM for variance
  components): each clip's floor error is regressed on all three, with the other clips as its prior;
* wandering errors are what is left of a difference after what its model takes out of it (a constant, and for height the way), which
  takes part of the wandering as well; by how much follows from the correlation time, and is given back.
Clips that no such error explains (flips, lost tracks) are left out and counted: no perturbation is meant to stand for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from builder.motion import smooth
from builder.robustness import WANDER_S
from builder.types import Floats, Motion

SIZES = ("drift_per_m", "scale", "anchor_deg", "heading_deg", "height_m", "height_shift", "lean_deg", "timing_s")
LOWERED_M = 0.25  # range of height from which it shows how far crouching moves somebody along the floor
ONE_SIGMA = 0.6827
NORMAL = 1.4826  # median absolute value -> standard deviation of a normal error
MOST_LAG_S = 0.5
MOVES = (0.1, 10.0, 0.1)  # spread of floor speed (m/s), turning (deg/s) and climbing (m/s) from which a time shift shows
AT = 8  # moments of a clip at which its floor error is read
LEAST_REACH_M = 1.0  # of a path that shows direction and scale
LEAST_CLIPS = 8
PRECISION_M = 0.005
GROSS_DEG, GROSS_SCALE = 45.0, 0.5  # beyond them a lifter has failed, not erred
RARE = 1e-4
ROUNDS = 300


def errors_of(lifted: Motion, truth: Motion) -> dict[str, Any]:
    """What one clip shows of each kind of error, JSON-ready, for `fitted`.

    `timing_s` or None; `floor`: the true place (AT, 2), the way to it (AT,) and the lifted minus the true place (AT, 2), or None for
    somebody who stays; `heading_off_deg` the heading's constant error; lists of what wanders, inflated for what its model took.
    """
    hz, n = truth.fps, min(lifted.num_frames, truth.num_frames)
    lag = _lag_s(lifted, truth, n)
    at = np.clip(np.arange(n) - (lag or 0.0) * hz, 0, n - 1)

    def off(ours: Floats, theirs: Floats) -> Floats:
        return np.interp(at, np.arange(n), ours[:n]) - theirs[:n]

    path = truth.path_m[:n] - truth.path_m[0]
    seen = np.stack([np.interp(at, np.arange(n), c[:n]) for c in (lifted.path_m - lifted.path_m[0]).T], axis=1)
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(smooth(path, 0.25, hz), axis=0).T))])
    height_now = truth.signals["displacement_y"][:n]
    shift = _height_shift(path, seen - path, height_now)
    if shift:
        seen = seen - (height_now - height_now[0])[:, None] * np.array(shift)
    rows = np.rint((n - 1) * np.arange(1, AT + 1) / AT).astype(int)
    floor = {"place": path[rows].tolist(), "way": way[rows].tolist(), "off": (seen - path)[rows].tolist()}
    turned = (off(lifted.heading_deg, truth.heading_deg) + 180.0) % 360.0 - 180.0
    known = lifted.heading_ok[:n] & truth.heading_ok[:n]
    upright = lifted.lean_ok[:n] & truth.lean_ok[:n]
    one, sparse = np.ones(n), slice(None, None, max(1, round(hz / 2)))
    height = off(lifted.signals["displacement_y"], truth.signals["displacement_y"])
    leans = [off(lifted.signals[c], truth.signals[c])[upright][sparse] for c in ("rotation_pitch", "rotation_roll")]
    return {
        "height_shift": shift,
        "timing_s": lag,
        "floor": floor if np.hypot(*path.T).max() >= LEAST_REACH_M else None,
        "heading_off_deg": float(np.median(turned[known])) if known.any() else None,
        "heading_deg": _wandering(turned, [one], known, hz)[sparse].tolist(),
        "height_m": _wandering(height, [one, way] if way[-1] >= LEAST_REACH_M else [one], np.ones(n, dtype=bool), hz)[sparse].tolist(),
        "lean_deg": np.concatenate(leans).tolist(),
    }


def _height_shift(path: Floats, off: Floats, height: Floats) -> list[float]:
    """Metres of floor error (left, forward) per metre of height, in the sudden changes of height; [] where there are none."""
    if np.ptp(height) < LOWERED_M:
        return []
    up, still = height - np.median(height), np.ones(len(height))
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    design = np.stack([up, still, path[:, 0], path[:, 1], way], axis=1)  # what scale, anchor and drift explain is theirs
    return [float(v) for v in np.linalg.lstsq(design, off, rcond=None)[0][0]]


def _lag_s(lifted: Motion, truth: Motion, n: int) -> float | None:
    """Seconds by which the lifted motion runs ahead of the truth, from floor speed, turning and climbing; None where nothing moves."""
    hz = truth.fps
    edge = round(MOST_LAG_S * hz)
    if n < 4 * edge:
        return None
    miss = np.zeros(2 * edge + 1)
    for bound, of in zip(MOVES, (_speed, _turning, _climbing), strict=True):
        ours, theirs = (of(m)[:n] for m in (lifted, truth))
        spread = float(theirs[edge:-edge].std())
        if spread >= bound:
            inner = np.lib.stride_tricks.sliding_window_view(theirs, n - 2 * edge)
            miss += ((inner - ours[edge : n - edge]) ** 2).mean(axis=1) / spread**2
    best = int(np.argmin(miss))
    if not miss.any():
        return None
    bend = 0.0
    if 0 < best < 2 * edge:
        before, here, after = miss[best - 1 : best + 2]
        bend = 0.5 * (before - after) / max(before - 2 * here + after, 1e-12)
    return float((best + bend - edge) / hz)


def _speed(m: Motion) -> Floats:
    return np.asarray(np.hypot(*np.gradient(smooth(m.path_m, 0.2, m.fps), axis=0).T) * m.fps)


def _turning(m: Motion) -> Floats:
    return np.asarray(np.gradient(m.heading_deg) * m.fps)


def _climbing(m: Motion) -> Floats:
    return np.asarray(np.gradient(m.signals["displacement_y"]) * m.fps)


def _wandering(difference: Floats, model: Sequence[Floats], known: Any, hz: float) -> Floats:
    """What is left of a difference (N,) after `model` at known samples, as large as it would be had the model taken nothing of it."""
    rows = np.flatnonzero(known)
    if rows.size < 2 * len(model):
        return np.zeros(0)
    few = rows[:: max(1, rows.size // 200)]  # enough to see how far the errors are correlated
    seconds = few / hz
    together = np.exp(-((seconds[:, None] - seconds) ** 2) / (4 * WANDER_S**2))
    basis = np.stack([column[few] for column in model], axis=1)
    took, _ = np.linalg.qr(basis)
    left = 1.0 - float(np.einsum("ik,ij,jk->", took, together, took)) / len(few)
    weights = np.linalg.lstsq(basis, difference[few], rcond=None)[0]
    rest = difference[rows] - np.stack([column[rows] for column in model], axis=1) @ weights
    return np.asarray(rest / np.sqrt(max(left, 0.05)))


def fitted(clips: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, int]]:
    """(size of each kind that the clips show, numbers: `clips`, `paths` used, `left_out`), from `errors_of` of every clip."""
    sizes: dict[str, float] = {}
    floors = [c["floor"] for c in clips if c["floor"] is not None]
    usable = [f for f in floors if not _gross(f)]
    used = 0
    if len(usable) >= LEAST_CLIPS:
        deviations, used = _components(usable)
        sizes = dict(zip(("scale", "anchor_deg", "drift_per_m"), deviations, strict=True))
    for name in ("heading_deg", "height_m", "lean_deg"):
        sizes[name] = _spread([v for c in clips for v in c[name]])
    shifts = [v for c in clips for v in c["height_shift"]]
    sizes["height_shift"] = float(np.quantile(np.abs(shifts), ONE_SIGMA)) if shifts else float("nan")
    sizes["timing_s"] = _spread([c["timing_s"] for c in clips if c["timing_s"] is not None])
    first = [c["anchor_deg"] for c in clips if c.get("anchor_deg") is not None]
    if len(first) >= LEAST_CLIPS:  # both cameras known: the first heading's error is seen and need not be inferred from paths
        sizes["anchor_deg"] = float(np.quantile(np.abs(first), ONE_SIGMA))
    if "anchor_deg" not in sizes:
        sizes["anchor_deg"] = _spread([c["heading_off_deg"] for c in clips if c["heading_off_deg"] is not None])
    return (
        {name: float(f"{sizes[name]:.2g}") for name in SIZES if np.isfinite(sizes.get(name, np.nan))},
        {"clips": len(clips), "paths": used, "left_out": len(floors) - used if used else 0},
    )


def _spread(values: Sequence[float]) -> float:
    return NORMAL * float(np.median(np.abs(values))) if len(values) else float("nan")


def _complex(floor: Mapping[str, Any], name: str) -> Any:
    left, forward = np.array(floor[name]).T
    return forward + 1j * left  # times e^(i a) turns it left by a


def _gross(floor: Mapping[str, Any]) -> bool:
    place = _complex(floor, "place")
    factor = 1 + np.vdot(place, _complex(floor, "off")) / np.vdot(place, place)
    return bool(abs(np.degrees(np.angle(factor))) > GROSS_DEG or abs(np.log(np.abs(factor))) > GROSS_SCALE)


def _components(floors: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, float, float], int]:
    """((scale, anchor in degrees, drift per metre) as standard deviations, clips used), by EM; clips beyond RARE are left out."""
    designs, targets, noises = [], [], []
    for floor in floors:
        place, way, off = _complex(floor, "place"), np.array(floor["way"]), _complex(floor, "off")
        columns = np.stack([place, 1j * place, way + 0j, 1j * way], axis=1)
        design, target = np.concatenate([columns.real, columns.imag]), np.concatenate([off.real, off.imag])
        rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        designs.append(design)
        targets.append(target)
        noises.append(max(float(rest @ rest) / (len(target) - 4), PRECISION_M**2))
    b, y, noise = np.array(designs), np.array(targets), np.array(noises)
    prior = _first_guess(floors)  # by medians: failures must not be part of what they are judged by
    use = np.zeros(len(y), dtype=bool)
    for _ in range(6):
        spread = (b * prior[None, None]) @ b.transpose(0, 2, 1) + noise[:, None, None] * np.eye(y.shape[1])
        unlikely = np.einsum("ni,ni->n", y, np.linalg.solve(spread, y[..., None])[..., 0]) - (y.shape[1] - 4)
        likely = unlikely <= chi2.isf(RARE, 4)
        if (likely == use).all() or likely.sum() < LEAST_CLIPS:
            break
        use = likely
        prior = _em(b[use], y[use], noise[use], prior)
    return (float(np.sqrt(prior[0])), float(np.degrees(np.sqrt(prior[1]))), float(np.sqrt(prior[2]))), int(use.sum())


def _first_guess(floors: Sequence[Mapping[str, Any]]) -> Floats:
    """Variances (4,) of scale, anchor and drift to both sides, each as if the others were nothing."""
    factors, drifts = [], []
    for floor in floors:
        place, off = _complex(floor, "place"), _complex(floor, "off")
        factor = np.vdot(place, off) / np.vdot(place, place)
        factors.append((factor.real, factor.imag))
        rest = (off - factor * place)[-1] / max(floor["way"][-1], LEAST_REACH_M)
        drifts += [rest.real, rest.imag]
    scale, anchor = (_spread(column) for column in zip(*factors, strict=True))
    return np.maximum(np.array([scale, anchor, *2 * [_spread(drifts)]]), 1e-3) ** 2


def _em(b: Floats, y: Floats, noise: Floats, prior: Floats) -> Floats:
    """Variances (4,) of scale, anchor (radians) and drift to both sides (one value), from designs (C, 2 AT, 4) and errors (C, 2 AT)."""
    seen = b.transpose(0, 2, 1) @ b / noise[:, None, None]
    pull = np.einsum("cij,ci->cj", b, y) / noise[:, None]
    for _ in range(ROUNDS):
        covariance = np.linalg.inv(seen + np.diag(1.0 / np.maximum(prior, 1e-10)))
        mean = np.einsum("cij,cj->ci", covariance, pull)
        prior = (mean**2 + np.einsum("cii->ci", covariance)).mean(axis=0)
        prior[2:] = prior[2:].mean()
    return prior


def toml(sizes: Mapping[str, float]) -> str:
    """The fitted sizes as they stand in a recipe."""
    return "\n".join(["[robustness]", *(f"{name} = {sizes[name]:g}" for name in SIZES if name in sizes)])
