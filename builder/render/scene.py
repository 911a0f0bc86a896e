"""Places to be filmed in: a floor, walls and things about the path, each with a texture of its own that repeats nowhere.

A repeated (tiled) texture can be asked for: it is what fools the structure from motion, so that tests can see it refused.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builder.performer.stage import generator
from builder.types import Floats

FLOOR_M = 22.0
FLOOR_PX, WALL_PX = 2048, (1024, 4096)  # the walls share one picture: rows and columns
CLEAR_M = 1.1  # things keep this far from the path and from the line of sight
PROPS = (10, 16)
STOOL_M = 0.36
ATLAS_BANDS = 4


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles with a picture on them: vertices (V, 8) as x, y, z, normal and u, v; texture (H, W, 3) uint8."""

    vertices: NDArray[np.float32]
    texture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scene:
    """Floor, walls and things, the direction towards the sun (3,), and the colours of sky, sun and shade (3,), 0-1."""

    surfaces: tuple[Surface, ...]
    to_sun: Floats
    sky: Floats
    sunlight: Floats
    shade: Floats


def build_scene(path_m: Floats, camera_m: Floats, *identity: object, seats_m: Floats, tiled: bool = False) -> Scene:
    """The scene of this identity about a floor path (T, 3), with nothing between camera places (T, 3) and the path.

    `seats_m` (S, 4) are stools: x, height, z and yaw in degrees.
    """
    rng = generator("scene", *identity)
    indoor = rng.random() < 0.5
    both = np.concatenate([path_m, camera_m])[:, [0, 2]]
    centre = (both.min(axis=0) + both.max(axis=0)) / 2
    half = np.maximum((both.max(axis=0) - both.min(axis=0)) / 2 + rng.uniform(0.8, 3.0, 2), 4.0)
    half = np.minimum(half, FLOOR_M / 2)
    floor = _canvas(rng, FLOOR_PX, FLOOR_PX, _colour(rng, 0.35, (0.45, 0.75)), patches=260)
    if tiled:
        cell = floor[:256, :256]
        floor = np.tile(cell, (FLOOR_PX // 256, FLOOR_PX // 256, 1))
    atlas = np.concatenate([_canvas(rng, WALL_PX[0], WALL_PX[1], _colour(rng, 0.4, (0.5, 0.9)), patches=110) for _ in range(ATLAS_BANDS)])
    _pictures(rng, atlas)
    if tiled:
        cell = atlas[:256, :256]
        atlas = np.tile(cell, (len(atlas) // 256, atlas.shape[1] // 256, 1))
    tall = rng.uniform(2.8, 3.6) if indoor else rng.uniform(2.0, 5.0)
    boxes = _walls(centre, half, tall) + _props(rng, centre, half, path_m, camera_m)
    for x, height, z, yaw in seats_m:
        boxes += _box(rng, np.array([x, 0.0, z]), np.array([STOOL_M, height, STOOL_M]), float(np.radians(yaw)))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(40, 70))
    to_sun = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    sky = np.array([0.75, 0.74, 0.72]) if indoor else np.array([0.55, 0.70, 0.90]) * rng.uniform(0.8, 1.05)
    warm = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.82, 1.0)])
    sun = (0.45 if indoor else 0.75) * warm
    return Scene(
        (_floor(centre, floor), Surface(np.concatenate(boxes), atlas)),
        to_sun,
        np.clip(sky, 0, 1),
        sun,
        np.full(3, 0.62 if indoor else 0.45),
    )


def _colour(rng: np.random.Generator, saturation: float, value: tuple[float, float]) -> Floats:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, saturation), rng.uniform(*value)))


def _noise(rng: np.random.Generator, rows: int, columns: int, cell: int) -> NDArray[np.float32]:
    """Smooth random values about 0 with a grain of `cell` pixels."""
    small = rng.standard_normal((rows // cell + 2, columns // cell + 2), dtype=np.float32)

    def steps(n: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        at = np.arange(n, dtype=np.float32) / cell
        whole = at.astype(np.intp)
        return whole, (at - whole).astype(np.float32)

    (i, a), (j, b) = steps(rows), steps(columns)
    wide = small[:, j] * (1 - b) + small[:, j + 1] * b
    return np.asarray(wide[i] * (1 - a)[:, None] + wide[i + 1] * a[:, None], dtype=np.float32)


def _canvas(rng: np.random.Generator, rows: int, columns: int, colour: Floats, patches: int) -> NDArray[np.uint8]:
    """A painted surface: grain of many sizes, patches of other colours, and scratches; no part of it looks like another."""
    light = np.zeros((rows, columns), dtype=np.float32)
    for cell, strength in ((256, 0.08), (64, 0.07), (16, 0.06), (6, 0.07), (2, 0.05)):
        light += strength * _noise(rng, rows, columns, cell)
    picture = np.empty((rows, columns, 3), dtype=np.uint8)
    for channel in range(3):
        tint = 1 + light if channel else 1 + light + 0.04 * _noise(rng, rows, columns, 128)
        picture[..., channel] = np.clip(tint * colour[channel] * 255, 0, 255)
    for _ in range(patches):
        h, w = (rng.integers(10, 150, 2)).tolist()
        top, left = int(rng.integers(0, rows - h)), int(rng.integers(0, columns - w))
        part = picture[top : top + h, left : left + w]
        ink, strength = rng.uniform(0, 255, 3), rng.uniform(0.25, 0.8)
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        shape = (x**2 + y**2 < 1) if rng.random() < 0.5 else (np.abs(x + rng.uniform(-0.6, 0.6) * y) < 0.7)
        part[shape] = (part[shape] * (1 - strength) + ink * strength).astype(np.uint8)
    for _ in range(patches):
        length, slope = int(rng.integers(30, 300)), rng.uniform(0, 2 * np.pi)
        start = rng.uniform(0, 1, 2) * (rows, columns)
        at = (start[:, None] + np.outer([np.sin(slope), np.cos(slope)], np.arange(length))).astype(int)
        for wide in range(int(rng.integers(1, 5))):
            picture[np.clip(at[0] + wide, 0, rows - 1), np.clip(at[1], 0, columns - 1)] = rng.uniform(0, 255, 3)
    return picture


def _pictures(rng: np.random.Generator, atlas: NDArray[np.uint8]) -> None:
    """Framed pictures on the walls, painted into their texture."""
    for _ in range(28):
        h, w = rng.integers(120, 330, 2).tolist()
        top = int(rng.integers(0, len(atlas) // WALL_PX[0])) * WALL_PX[0] + int(rng.integers(100, WALL_PX[0] - h - 300))
        left = int(rng.integers(0, atlas.shape[1] - w))
        atlas[top : top + h, left : left + w] = rng.choice([25, 60, 200], 1)
        atlas[top + 10 : top + h - 10, left + 10 : left + w - 10] = _canvas(rng, h - 20, w - 20, _colour(rng, 0.9, (0.4, 1.0)), patches=0)
        for _ in range(12):
            y, x = int(rng.integers(top + 12, top + h - 60)), int(rng.integers(left + 12, left + w - 60))
            atlas[y : y + int(rng.integers(8, 48)), x : x + int(rng.integers(8, 48))] = rng.uniform(0, 255, 3)


def _quad(corner: Floats, along: Floats, up: Floats, uv: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Two triangles from `corner`, with u, v going from (u0, v1) there to (u1, v0) at the opposite corner."""
    normal = np.cross(along, up)
    normal = normal / np.linalg.norm(normal)
    u0, v0, u1, v1 = uv
    corners = [(corner, u0, v1), (corner + along, u1, v1), (corner + along + up, u1, v0), (corner + up, u0, v0)]
    rows = [np.concatenate([place, normal, [u, v]]) for place, u, v in corners]
    return np.asarray([rows[k] for k in (0, 1, 2, 0, 2, 3)], dtype=np.float32)


def _floor(centre: Floats, texture: NDArray[np.uint8]) -> Surface:
    half = FLOOR_M / 2
    corner = np.array([centre[0] - half, 0.0, centre[1] + half])
    return Surface(_quad(corner, np.array([FLOOR_M, 0, 0]), np.array([0, 0, -FLOOR_M]), (0, 0, 1, 1)), texture)


def _walls(centre: Floats, half: Floats, tall: float) -> list[NDArray[np.float32]]:
    """Four walls that look inwards, each with its own band of the picture."""
    (x0, z0), (x1, z1) = centre - half, centre + half
    sides = (((x0, z0), (x1, z0)), ((x1, z0), (x1, z1)), ((x1, z1), (x0, z1)), ((x0, z1), (x0, z0)))
    walls = []
    for band, (start, end) in enumerate(sides):
        along = np.array([end[0] - start[0], 0.0, end[1] - start[1]])
        # as many metres to a texel across as up
        u, v = min(float(np.linalg.norm(along)) / 22.0, 1.0), min(tall / 5.5, 1.0)
        top = (band + 1 - v) / ATLAS_BANDS
        walls.append(_quad(np.array([start[0], 0.0, start[1]]), along, np.array([0.0, tall, 0.0]), (0.0, top, u, (band + 1) / ATLAS_BANDS)))
    return walls


def _props(rng: np.random.Generator, centre: Floats, half: Floats, path_m: Floats, camera_m: Floats) -> list[NDArray[np.float32]]:
    """Boxes and pillars in free places."""
    out: list[NDArray[np.float32]] = []
    share = np.linspace(0, 1, 25)[:, None, None]
    sight = (camera_m[::5, [0, 2]] * (1 - share) + path_m[::5, [0, 2]] * share).reshape(-1, 2)
    for _ in range(int(rng.integers(*PROPS)) * 3):
        size = np.array([rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.6), rng.uniform(0.3, 1.2)])
        if rng.random() < 0.25:
            size = np.array([0.35, rng.uniform(2.0, 2.8), 0.35])
        place, turn = centre + rng.uniform(-1, 1, 2) * (half - 0.5), rng.uniform(0, np.pi / 2)
        if np.linalg.norm(sight - place, axis=1).min() < CLEAR_M + max(size[0], size[2]) * 0.7 or len(out) >= 5 * PROPS[1]:
            continue
        out += _box(rng, np.array([place[0], 0.0, place[1]]), size, float(turn))
    return out


def _box(rng: np.random.Generator, place: Floats, size: Floats, turn: float) -> list[NDArray[np.float32]]:
    """A box (width, height, depth) that stands at `place`, turned by `turn` radians, with bits of the walls' picture on it."""
    c, s = np.cos(turn), np.sin(turn)
    x, z, up = np.array([c, 0, -s]) * size[0], np.array([s, 0, c]) * size[2], np.array([0, size[1], 0])
    low = place - (x + z) / 2
    out = []
    for corner, along, rise in ((low + z, x, up), (low + x, -x, up), (low, z, up), (low + x + z, -z, up), (low + up + z, x, -z)):
        h, w = float(np.linalg.norm(rise)) / 5.5 / ATLAS_BANDS, float(np.linalg.norm(along)) / 22.0
        u, v = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        out.append(_quad(corner, along, rise, (u, v, u + w, v + h)))
    return out
