"""What the track reader is told of a person's motion: five tables of numbers near one.

They hold what `quantities.Measures` measures (counts, amounts, places, facings by window), the movements in order, and the track
itself in short stretches.  The reader has to learn what a question asks for, where to look, and what the numbers are worth under a
lifter's errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, degrees, hypot, log

import numpy as np
from numpy.typing import NDArray

from builder.motion import CHANNEL_OF, ROTATIONS
from builder.quantities import CONCEPTS, FLOOR, LEANS, OPPOSITE, TURNS, Measures
from builder.recipe import Recipe
from builder.types import Event, Floats, Motion

STRETCHES, EVENTS = 32, 40  # stretches of a clip (8 a quarter), and movements at most
KINDS = (*CHANNEL_OF, *CONCEPTS)
WINDOWS = ("whole", "q1", "q2", "q3", "q4", "h1", "h2")
GROUPS = (FLOOR, TURNS, LEANS)
SEQUENCES = ((*FLOOR, *TURNS), FLOOR, ("up", "down", *LEANS))  # among what questions of order count
SCALES = {"displacement_x": 2.0, "displacement_y": 0.5, "displacement_z": 2.0, "radial": 2.0, **dict.fromkeys(ROTATIONS, 90.0)}
SCALES |= {"rotation_pitch": 40.0, "rotation_roll": 40.0}
METRES = np.log([0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 14.0, 19.0, 26.0])
TURNED = np.arange(0.0, 721.0, 90.0)
MOMENTS = (np.arange(12) + 0.5) / 12
SIDES = 90.0 * np.arange(4)

Halves = NDArray[np.float16]
Told = tuple[Halves, ...]  # one table for each name of TABLES
TABLES = ("sums", "onsets", "places", "movements", "stretches")


def told(motion: Motion, recipe: Recipe) -> Told:
    """The tables (rows, columns) of one motion, in the order of TABLES; only `movements` differs in length between motions."""
    m = Measures(motion, recipe)
    tables = (_sums(m), _onsets(m), _places(m), _movements(m), _stretches(m))
    return tuple(np.clip(table, -8.0, 8.0).astype(np.float16) for table in tables)


def hidden(tables: Told) -> Told:
    """The same clip with its track hidden: nothing is known of it."""
    return tuple(np.zeros_like(t) if name != "movements" else t[:0] for name, t in zip(TABLES, tables, strict=True))


def _bumps(value: float, centres: Floats, width: float) -> list[float]:
    """How near a number is to each centre: 1 at it, 0 from `width` away."""
    return np.maximum(0.0, 1.0 - np.abs(centres - value) / width).tolist()


def _hot(number: int, size: int) -> list[float]:
    """One-hot, whatever is beyond in the last place."""
    return [float(min(number, size - 1) == k) for k in range(size)]


def _metres(value: float) -> list[float]:
    return _bumps(log(max(value, 0.2)), METRES, 0.35)


def _degrees(value: float) -> list[float]:
    return _bumps(value, TURNED, 90.0)


def _ratio(own: float, other: float, least: float) -> float:
    """log(own / other), both raised by `least`, so that it is 0 where both are small."""
    return log((own + least) / (other + least))


def _sums(m: Measures) -> Floats:
    """(KINDS x WINDOWS, F): how often and how much each movement is seen in each window, beside its opposite and its rivals."""
    own: dict[str, NDArray[np.float64]] = {}
    for kind in KINDS:
        rows = []
        for window in WINDOWS:
            seen = m.seen(kind, window)
            best = max(seen, key=lambda pair: pair[1], default=None)
            sizes = sum(inside for _, inside in seen)
            rows.append(
                [
                    len(seen),
                    sum(inside >= m.channel(kind).sizes[0] for _, inside in seen) if kind in CHANNEL_OF else 0,
                    sizes,
                    best[1] if best else 0.0,
                    m.excursion(kind, window) if kind in CHANNEL_OF else 0.0,
                    best[0].speed if best else 0.0,
                    max((e.speed for e, _ in seen), default=0.0),
                    m.defined(kind, window),
                    m.absent(kind, window),
                ]
            )
        own[kind] = np.array(rows, dtype=float)
    nothing = np.zeros((len(WINDOWS), 9))
    out = []
    for kind in KINDS:
        code = CHANNEL_OF[kind][0] if kind in CHANNEL_OF else ""
        turns, scale, least = code in ROTATIONS, SCALES.get(code, 1.0), m.minimum(kind) or 0.3
        other = own.get(OPPOSITE.get(kind, ""), nothing)
        group = next((g for g in GROUPS if kind in g), ())
        rivals = np.max([own[r] for r in group if r != kind], axis=0) if group else nothing
        for k in range(len(WINDOWS)):
            count, big, total, largest, excursion, speed, fastest, defined, absent = own[kind][k]
            quarters = max((own[kind][j][2] for j in range(1, 5) if j != k), default=0.0) if 1 <= k <= 4 else total
            out.append(
                [
                    *_hot(int(count), 7),
                    count / 3,
                    *_hot(int(big), 5),
                    total / scale / 2,
                    largest / scale,
                    excursion / scale,
                    excursion >= 0.75 * least,
                    speed / scale,
                    fastest / scale,
                    defined,
                    absent,
                    *([0.0] * 26 if turns else _metres(total) + _metres(largest)),
                    *(_degrees(total) + _degrees(largest) if turns else [0.0] * 18),
                    np.clip(count - other[k][0], -1, 1),
                    other[k][0] > 0,
                    _ratio(total, other[k][2], least),
                    _ratio(largest, other[k][3], least),
                    _ratio(excursion, other[k][4], least),
                    _ratio(speed, other[k][5], 0.1 * scale),
                    np.clip(count - rivals[k][0], -1, 1),
                    _ratio(total, rivals[k][2], least),
                    _ratio(largest, rivals[k][3], least),
                    _ratio(excursion, rivals[k][4], least),
                    _ratio(fastest, rivals[k][6], 0.1 * scale),
                    _ratio(total, quarters, least),
                ]
            )
    return np.array(out)


def _onsets(m: Measures) -> Floats:
    """(KINDS, F): when each movement first and last starts, where its largest lies, how fast the first is, and which start earlier."""
    n, gap = m.motion.num_frames - 1, m.hz
    firsts = {kind: m.events(kind)[0].start_frame if m.events(kind) else None for kind in KINDS}
    out = []
    for kind in KINDS:
        events = m.events(kind)
        if not events:
            out.append([0.0] * (3 * 4 + 2 * len(MOMENTS) + 7 + len(KINDS)))
            continue
        scale = SCALES.get(events[0].code, 1.0)
        by_size = sorted(events, key=lambda e: -abs(e.amount))
        paces = m.channel(kind).paces if kind in CHANNEL_OF else ()
        row: list[float] = [1.0, len(events) / 4, events[0].speed / scale]
        row += _hot(sum(events[0].speed >= bound for bound in paces), 4)
        for event in (events[0], events[-1], by_size[0]):
            row += _hot(int(4 * event.start_frame / n), 4)
        for event in (events[0], events[-1]):
            row += _bumps(event.start_frame / n, MOMENTS, 1 / 12)
        mine = events[0].start_frame
        row += [0.0 if at is None else float(np.clip((at - mine) / gap, -1, 1)) for at in firsts.values()]
        out.append(row)
    return np.array(out)


def _angle(value: float | None) -> list[float]:
    """An angle in degrees, or none: sine, cosine, nearness to the four sides and the four diagonals, and whether there is one."""
    if value is None:
        return [0.0] * 11
    off = np.abs((value - np.concatenate([SIDES, SIDES + 45.0]) + 180.0) % 360.0 - 180.0)
    return [float(np.sin(np.radians(value))), float(np.cos(np.radians(value))), *np.maximum(0.0, 1.0 - off / 90.0).tolist(), 1.0]


def _places(m: Measures) -> Floats:
    """(WINDOWS, F): where the person is, faces and has been, and what they spend a window on; ratios to the other windows."""
    path, motion = m.motion.path_m - m.motion.path_m[0], m.motion
    rows, sizes = [], []
    for window in WINDOWS:
        a, b = m.bounds(window)
        left, forward = m.place(window)
        distance, facing, seconds = hypot(left, forward), m.facing(window), max(1, b - a) / m.hz
        angle = degrees(atan2(left, forward)) if distance > 0.2 else None
        back = None if angle is None or facing is None else angle + 180.0 - facing
        x, z = path[a : b + 1].T
        extents = [max(0.0, float(v)) for v in (z.max(), x.max(), -z.min(), -x.min())]
        off = np.abs((motion.heading_deg[a : b + 1] + 180.0) % 360.0 - 180.0)
        near = np.abs((motion.heading_deg[a : max(b, a + 1), None] - SIDES + 180.0) % 360.0 - 180.0) <= 45.0
        moving, turning = m.speed[a:b] >= 0.3, m.turn_rate[a:b] >= 20.0
        staying = (m.speed[a:b] < 0.15) & (m.turn_rate[a:b] < 12.0)
        activity = [float(mask.mean()) for mask in (moving, turning & ~moving, staying)] if b > a else [0.0] * 3
        across, along = (sum(m.total(d, window) for d in pair) for pair in (("left", "right"), ("forward", "backward")))
        away, homeward = m.count("away", window), m.count("towards", window)
        radial = motion.signals["radial"][a : b + 1]
        far = radial >= 1.0
        nearest = float(radial[int(far.argmax()) :].min()) if far.any() else 1.0
        least = [m.path(window), m.turning(window) / 90.0, m.still_s(window), m.furthest(window), float(m.speed[a : b + 1].max()), *extents]
        sizes.append(least)
        rows.append(
            [
                *_metres(m.path(window)),
                *_metres(distance),
                *_metres(m.furthest(window)),
                *_degrees(m.turning(window)),
                *([0.0] * len(TURNED) if facing is None else _degrees(abs(facing))),
                *_angle(angle),
                distance >= 0.8,
                *_angle(facing),
                *_angle(back),
                *(v / 2 for v in extents),
                *(_ratio(v, max(extents[:k] + extents[k + 1 :]), 0.3) for k, v in enumerate(extents)),
                *near.mean(axis=0),
                off.max() / 90.0,
                (off.max() - 140.0) / 20.0,
                bool(motion.heading_ok[a : b + 1].all()),
                *activity,
                *(_ratio(v, max(activity[:k] + activity[k + 1 :]), 0.1) for k, v in enumerate(activity)),
                m.still_s(window) / seconds,
                _ratio(across, along, 0.3),
                *(float(motion.signals[c][b] - motion.signals[c][a]) / 1.0 for c in ("displacement_x", "displacement_z")),
                *(v / 2 for v in least[:4]),
                *_hot(away, 4),
                *_hot(homeward, 4),
                distance / max(0.3, m.furthest(window)),
                *(float(np.clip(6 * log(max(0.05, m.furthest(window)) / limit), -3, 3)) for limit in (1.0, 2.0, 3.0)),
                far.any(),
                nearest,
                nearest <= 0.5,
                seconds / 20.0,
            ]
        )
    shape = [4 * np.pi * m.area() / max(m.path("whole"), 0.5) ** 2, m.area() / 10.0]
    table = np.array(sizes)
    for k, row in enumerate(rows):
        for column in table.T:
            rivals = [column[j] for j in range(1, 5) if j != k] if 1 <= k <= 4 else [column[k]]
            row += [_ratio(column[k], max(rivals), 0.3), _ratio(column[k], min(rivals), 0.3)]
        for column in table[:, :3].T:
            row += [_ratio(column[k], v, 0.3) for v in column]
        row += [*shape, abs(shape[0]) - 0.2]
    return np.array(rows, dtype=float)


def _movements(m: Measures) -> Floats:
    """(E, F): the movements in order of their start, E at most EVENTS: what, when, how much, and what starts before and after."""
    n = m.motion.num_frames - 1
    events = sorted((e for e in m.motion.events if e.direction in KINDS), key=lambda e: (e.start_frame, e.code))
    place = {id(e): k for kind in KINDS for k, e in enumerate(m.events(kind))}
    lists = [[e for e in events if e.direction in among] for among in SEQUENCES]
    at = [{id(e): k for k, e in enumerate(found)} for found in lists]
    out = []
    for e in events[:EVENTS]:
        scale = SCALES.get(e.code, 1.0)
        row = [float(e.direction == kind) for kind in KINDS]
        row += [*_hot(place[id(e)], 4), float(e is m.events(e.direction)[-1])]
        row += _hot(int(4 * e.start_frame / n), 4) + _bumps(e.start_frame / n, MOMENTS, 1 / 12)
        row += [e.start_frame / n, e.end_frame / n, abs(e.amount) / scale, e.speed / scale]
        for among, found, places in zip(SEQUENCES, lists, at, strict=True):
            row += _neighbours(e, among, found, places, n)
        out.append(row)
    return np.array(out, dtype=float).reshape(-1, COLUMNS[3])


def _neighbours(event: Event, among: Sequence[str], found: Sequence[Event], places: dict[int, int], n: int) -> list[float]:
    """Which movement of a sequence starts just before and just after; which in it this one is, its last, the first of a quarter."""
    k = places.get(id(event))
    if k is None:
        return [0.0] * (2 * len(among) + 7)
    row: list[float] = []
    for j in (k - 1, k + 1):
        row += [float(0 <= j < len(found) and found[j].direction == name) for name in among]
    opens = k == 0 or int(4 * event.start_frame / n) != int(4 * found[k - 1].start_frame / n)
    return [*row, *_hot(k, 5), float(k == len(found) - 1), float(opens)]


def _stretches(m: Measures) -> Floats:
    """(STRETCHES, F): the signals at the middle of each equal stretch of the clip, and how they change over it."""
    n = m.motion.num_frames
    edges = np.linspace(0, n - 1, STRETCHES + 1)
    middles, grid = (edges[:-1] + edges[1:]) / 2, np.arange(n)
    columns = []
    for name, scale in SCALES.items():
        signal = m.motion.signals[name] / scale
        at = np.interp(edges, grid, signal)
        columns += [np.interp(middles, grid, signal), np.diff(at)]
    heading = np.radians(np.interp(middles, grid, m.motion.heading_deg))
    columns += [np.sin(heading), np.cos(heading), np.interp(middles, grid, m.speed)]
    columns += [np.floor(4 * (np.arange(STRETCHES) + 0.5) / STRETCHES) == k for k in range(4)]
    return np.stack(columns, axis=1)


ROWS = (len(KINDS) * len(WINDOWS), len(KINDS), len(WINDOWS), EVENTS, STRETCHES)
COLUMNS = (
    7 + 1 + 5 + 8 + 2 * len(METRES) + 2 * len(TURNED) + 12,
    7 + 12 + 2 * len(MOMENTS) + len(KINDS),
    3 * len(METRES) + 2 * len(TURNED) + 33 + 1 + 8 + 4 + 3 + 6 + 1 + 1 + 2 + 4 + 8 + 1 + 3 + 4 + 2 * 9 + 3 * len(WINDOWS) + 3,
    len(KINDS) + 5 + 4 + len(MOMENTS) + 4 + sum(2 * len(among) + 7 for among in SEQUENCES),
    2 * len(SCALES) + 7,
)
