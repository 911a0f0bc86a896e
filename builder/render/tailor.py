"""Clothes and limbs as smooth skins about the skeleton: rounded bones melted together, with the bones that move each point.

mannequin-x is a doll with ball joints; these skins hide its trunk, arms and legs, so that what walks looks like a person.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.render.skeleton import INDEX, REST_M
from builder.types import Floats

CELL_M = 0.014
MELT_M = 0.035  # how far bones flow into each other
GRIP_M = 0.022  # how fast a bone loses hold of what is farther from it than another


class Bone(NamedTuple):
    """A rounded rod from `start` to `end` (3,) metres with a radius at either end, moved by one joint; `flat` squeezes its depth."""

    joint: int
    start: Floats
    end: Floats
    radii: tuple[float, float]
    flat: float = 1.0


class Skin(NamedTuple):
    """A closed surface: vertices (V, 3), triangles (F, 3), joints and weights (V, 4)."""

    vertices: Floats
    faces: NDArray[np.int64]
    joints: NDArray[np.int64]
    weights: Floats


def trousers(girth: float) -> list[Bone]:
    """Hips and legs."""
    hips = (REST_M[1] + REST_M[2]) / 2
    bones = [
        _bone(
            "pelvis", hips + np.array([-0.045, 0.035, -0.005]), hips + np.array([0.045, 0.035, -0.005]), 0.112 * girth, 0.112 * girth, 0.92
        ),
        _bone("pelvis", hips + np.array([-0.05, 0.11, 0.0]), hips + np.array([0.05, 0.11, 0.0]), 0.098 * girth, 0.098 * girth, 0.95),
    ]
    for side in ("left", "right"):
        hip, knee, ankle = (REST_M[INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        bones += [_bone(f"{side}_hip", hip + np.array([0, -0.03, 0]), knee, 0.088 * girth, 0.060 * girth)]
        bones += [_bone(f"{side}_knee", knee, ankle + np.array([0, 0.03, 0.0]), 0.060 * girth, 0.052)]
        bones += [
            _bone(f"{side}_knee", knee + np.array([0, -0.09, -0.018]), knee + np.array([0, -0.17, -0.016]), 0.055 * girth, 0.050 * girth)
        ]
    return bones


def shirt(girth: float, long_sleeves: bool) -> list[Bone]:
    """Trunk and sleeves, over the trousers' waist."""
    waist, belly, chest = REST_M[0], REST_M[INDEX["spine1"]], REST_M[INDEX["spine3"]]
    bones = [
        _bone("pelvis", waist + np.array([-0.055, 0.02, 0.0]), waist + np.array([0.055, 0.02, 0.0]), 0.110 * girth, 0.110 * girth, 0.95),
        _bone(
            "spine1", belly + np.array([-0.045, 0.01, 0.012]), belly + np.array([0.045, 0.01, 0.012]), 0.108 * girth, 0.108 * girth, 0.92
        ),
        _bone(
            "spine2", REST_M[6] + np.array([-0.05, 0.0, 0.01]), REST_M[6] + np.array([0.05, 0.0, 0.01]), 0.112 * girth, 0.112 * girth, 0.92
        ),
        _bone("spine3", chest + np.array([-0.065, 0.03, -0.012]), chest + np.array([0.065, 0.03, -0.012]), 0.112, 0.112, 0.92),
        _bone("spine3", chest + np.array([-0.05, 0.10, -0.025]), chest + np.array([0.05, 0.10, -0.025]), 0.075, 0.075, 0.95),
    ]
    for side in ("left", "right"):
        collar, shoulder, elbow, wrist = (REST_M[INDEX[f"{side}_{part}"]] for part in ("collar", "shoulder", "elbow", "wrist"))
        bones += [_bone(f"{side}_collar", collar + np.array([0, 0.05, -0.01]), shoulder + np.array([0, 0.005, 0]), 0.062, 0.060)]
        cuff = elbow if long_sleeves else shoulder + 0.62 * (elbow - shoulder)
        bones += [_bone(f"{side}_shoulder", shoulder, cuff, 0.061, 0.049 if long_sleeves else 0.056)]
        if long_sleeves:
            bones += [_bone(f"{side}_elbow", elbow, elbow + 0.93 * (wrist - elbow), 0.049, 0.040)]
    return bones


def limbs() -> list[Bone]:
    """What the clothes leave bare: neck and arms."""
    neck, head = REST_M[INDEX["neck"]], REST_M[INDEX["head"]]
    bones = [
        _bone("neck", neck + np.array([0, -0.02, -0.005]), neck + 0.55 * (head - neck), 0.058, 0.052),
        _bone("head", head, head, 0.050, 0.050),
    ]
    for side in ("left", "right"):
        shoulder, elbow, wrist = (REST_M[INDEX[f"{side}_{part}"]] for part in ("shoulder", "elbow", "wrist"))
        bones += [_bone(f"{side}_shoulder", shoulder + 0.3 * (elbow - shoulder), elbow, 0.046, 0.040)]
        bones += [_bone(f"{side}_elbow", elbow, wrist + 0.04 * (wrist - elbow), 0.041, 0.029)]
    return bones


def skin(bones: list[Bone]) -> Skin:
    """The surface about bones that flow into each other, each point held by up to four joints."""
    ends = np.concatenate([[b.start, b.end] for b in bones])
    widest = max(max(b.radii) for b in bones) + 2 * CELL_M
    low, high = ends.min(axis=0) - widest, ends.max(axis=0) + widest
    axes = [np.arange(a, b, CELL_M) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = np.zeros(grid.shape[:3])
    for bone in bones:
        field += np.exp(-np.clip(_distance(bone, grid), -0.3, 0.6) / (MELT_M / 2))
    cells, faces = _surface(-np.log(np.maximum(field, 1e-300)))
    vertices = low + cells * CELL_M
    hold: dict[int, Floats] = {}
    for bone in bones:
        near = np.exp(-_distance(bone, vertices) / GRIP_M)
        hold[bone.joint] = np.maximum(hold.get(bone.joint, np.zeros(len(vertices))), near)
    numbers, strength = np.array(list(hold)), np.stack(list(hold.values()), axis=1)
    if len(numbers) < 4:
        numbers, strength = np.pad(numbers, (0, 4 - len(numbers))), np.pad(strength, ((0, 0), (0, 4 - strength.shape[1])))
    best = np.argsort(-strength, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(strength, best, axis=1)
    return Skin(vertices, faces, numbers[best], weights / weights.sum(axis=1, keepdims=True))


def _bone(joint: str, start: Floats, end: Floats, first: float, last: float, flat: float = 1.0) -> Bone:
    return Bone(INDEX[joint], np.asarray(start, dtype=float), np.asarray(end, dtype=float), (first, last), flat)


def _distance(bone: Bone, points: Floats) -> Floats:
    """Metres (...) from points (..., 3) to the bone's surface, negative inside."""
    squeeze = np.array([1.0, 1.0, 1.0 / bone.flat])
    axis, from_start = (bone.end - bone.start) * squeeze, (points - bone.start) * squeeze
    share = np.clip(from_start @ axis / max(float(axis @ axis), 1e-12), 0.0, 1.0)
    radius = bone.radii[0] + share * (bone.radii[1] - bone.radii[0])
    return np.asarray(np.linalg.norm(from_start - share[..., None] * axis, axis=-1) - radius)


def _surface(field: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Where a field (X, Y, Z) changes sign ("surface nets"): points (V, 3) in cells, and triangles (F, 3) facing outwards."""
    shape = np.array(field.shape) - 1
    inside = field < 0
    total, count = np.zeros((*shape, 3)), np.zeros(tuple(shape))
    for axis in range(3):
        for a, b in product((0, 1), repeat=2):
            offset = np.insert([a, b], axis, 0)
            first = _window(field, offset, shape)
            second = _window(field, offset + np.eye(3, dtype=int)[axis], shape)
            crosses = (first < 0) != (second < 0)
            share = first / np.where(crosses, first - second, 1.0)
            total += crosses[..., None] * (offset + share[..., None] * np.eye(3)[axis])
            count += crosses
    used = count > 0
    number = np.full(tuple(shape), -1)
    number[used] = np.arange(int(used.sum()))
    points = np.argwhere(used) + total[used] / count[used][:, None]
    quads: list[Any] = []
    for axis in range(3):
        one, two = ((axis + 1) % 3, (axis + 2) % 3)
        step = np.eye(3, dtype=int)[axis]
        here, there = inside, np.roll(inside, -1, axis=axis)
        edges = np.argwhere(here != there)
        edges = edges[(edges[:, one] > 0) & (edges[:, two] > 0) & (edges < shape).all(axis=1)]
        corners = [edges - a * np.eye(3, dtype=int)[one] - b * np.eye(3, dtype=int)[two] for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
        quad = np.stack([number[tuple(c.T)] for c in corners], axis=1)
        outwards = inside[tuple(edges.T)] & ~inside[tuple((edges + step).T)]
        quads.append(np.where(outwards[:, None], quad, quad[:, ::-1]))
    quad = np.concatenate(quads)
    return points, np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])


def _window(field: Floats, offset: NDArray[Any], shape: NDArray[Any]) -> Floats:
    x, y, z = (slice(int(o), int(o + n)) for o, n in zip(offset, shape, strict=True))
    return field[x, y, z]
