"""Anchored track -> Motion: the six spatial codes (and the distance from the start) cut into events.

An event is a monotone excursion between two turning points that differ by at least the channel's minimum (persistence), so
that gait sway, breathing and jitter never make one, whatever their number.  Every sign is resolved once, in DIRECTIONS.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import find_peaks

from builder import geometry
from builder.recipe import Channel, Recipe
from builder.types import ALL_CHANNELS, CHANNELS, Bools, Event, Floats, Motion, Track

MOVES, ROTATIONS = CHANNELS[:3], CHANNELS[3:]
DIRECTIONS: dict[tuple[str, int], str] = {
    ("displacement_x", 1): "left",
    ("displacement_x", -1): "right",
    ("displacement_y", 1): "up",
    ("displacement_y", -1): "down",
    ("displacement_z", 1): "forward",
    ("displacement_z", -1): "backward",
    ("rotation_yaw", 1): "turn_left",
    ("rotation_yaw", -1): "turn_right",
    ("rotation_pitch", 1): "lean_forward",
    ("rotation_pitch", -1): "lean_backward",
    ("rotation_roll", 1): "lean_left",
    ("rotation_roll", -1): "lean_right",
    ("radial", 1): "away",
    ("radial", -1): "towards",
}
CHANNEL_OF = {name: key for key, name in DIRECTIONS.items()}
REST_LEAN_DEG = 15.0  # a first posture tilted by less is how this body stands; by more, it already leans


@dataclass(frozen=True, eq=False)
class Sampled:
    """A track on the grid before smoothing: position_m (N, 3), heading_deg (N,), lean_deg (N, 2), tilt_deg (N,), anchored."""

    clip_id: str
    person_id: str
    referent: str | None
    position_m: Floats
    heading_deg: Floats
    lean_deg: Floats
    tilt_deg: Floats


def describe(track: Track, recipe: Recipe) -> Motion:
    """The Motion of a track: signals in the person's own first frame, and their events.  Pure and deterministic."""
    return segment(sample(track, recipe), recipe)


def sample(track: Track, recipe: Recipe) -> Sampled:
    """The track anchored and laid on the recipe's time grid.

    Grid samples are `1 / grid_hz` seconds apart, from the first frame to the last.
    """
    cfg = recipe.signals
    track = geometry.fill_invalid(geometry.anchor(track, recipe.anchor.window_s, recipe.anchor.max_range_deg))
    heading = geometry.heading_deg(track.body_to_world)
    first = geometry.anchor_heading_deg(heading, track.fps, recipe.anchor.window_s, recipe.anchor.max_range_deg)
    heading = heading - 360.0 * np.round(first / 360.0)
    lean = geometry.lean_deg(track.body_to_world, heading)
    for k in range(2):
        rest = geometry.anchor_heading_deg(lean[:, k], track.fps, recipe.anchor.window_s, recipe.anchor.max_range_deg / 2)
        lean[:, k] -= rest if abs(rest) <= REST_LEAN_DEG else 0.0

    seconds = np.arange(track.num_frames) / track.fps
    at = np.arange(int(np.floor(seconds[-1] * cfg.grid_hz + 1e-6)) + 1) / cfg.grid_hz

    def on_grid(values: Floats) -> Floats:
        columns = [np.interp(at, seconds, column) for column in values.reshape(len(seconds), -1).T]
        return np.array(columns).T.reshape(len(at), *values.shape[1:])

    return Sampled(
        clip_id=track.clip_id,
        person_id=track.person_id,
        referent=track.referent,
        position_m=on_grid(track.position_m),
        heading_deg=on_grid(heading),
        lean_deg=on_grid(lean),
        tilt_deg=on_grid(geometry.tilt_deg(track.body_to_world)),
    )


def segment(sampled: Sampled, recipe: Recipe) -> Motion:
    """The Motion of a sampled track: smoothed signals and every event in them, sorted by start."""
    cfg = recipe.signals
    position = smooth(sampled.position_m, cfg.sigma_position_s, cfg.grid_hz)
    angles = smooth(np.column_stack([sampled.heading_deg, sampled.lean_deg]), cfg.sigma_angle_s, cfg.grid_hz)
    path = position[:, ::2]
    signals = dict(zip(MOVES, position.T, strict=True)) | dict(zip(ROTATIONS, angles.T, strict=True))
    signals["radial"] = np.hypot(*(path - path[0]).T)
    heading_ok = sampled.tilt_deg <= cfg.max_heading_tilt_deg
    lean_ok = sampled.tilt_deg <= cfg.max_lean_tilt_deg
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    events: list[Event] = []
    for code in ALL_CHANNELS:
        usable = {"rotation_yaw": heading_ok, "rotation_pitch": lean_ok, "rotation_roll": lean_ok}.get(code)
        events += _events(code, signals[code], travelled, usable, recipe.channels[code], cfg.grid_hz)
    events += _compounds(signals, travelled, sampled.tilt_deg, events, recipe)
    return Motion(
        clip_id=sampled.clip_id,
        person_id=sampled.person_id,
        fps=cfg.grid_hz,
        num_frames=len(path),
        events=tuple(sorted(events, key=lambda e: (e.start_frame, e.end_frame, e.code))),
        signals=signals,
        path_m=path,
        heading_deg=angles[:, 0],
        heading_ok=heading_ok,
        lean_ok=lean_ok,
        referent=sampled.referent,
    )


def smooth(values: Floats, sigma_s: float, hz: float) -> Floats:
    """Gaussian smoothing along time; ends are continued by odd reflection (nearest-edge padding shortens walks by 2 %)."""
    sigma = sigma_s * hz
    pad = min(round(4 * sigma), len(values) - 1)
    if pad < 1:
        return values
    rows = values.T  # time runs along memory in what comes out, which is what everything that follows reads
    before, after = 2 * rows[..., :1] - rows[..., pad:0:-1], 2 * rows[..., -1:] - rows[..., -2 : -pad - 2 : -1]
    padded = np.concatenate([before, rows, after], axis=-1)
    return np.asarray(gaussian_filter1d(padded, sigma, mode="nearest")[..., pad : pad + len(values)].T)


def turning_points(signal: Floats, minimum: float) -> list[int]:
    """Indices of alternating lows and highs of (N,) `signal` that differ by at least `minimum` from one to the next."""
    if np.ptp(signal) < minimum:
        return []
    step = np.diff(signal)
    moving = np.flatnonzero(step != 0)
    if moving.size == 0:
        return []
    sign = np.sign(step[moving])
    corners = moving[1:][sign[1:] != sign[:-1]]
    at = np.concatenate([[0], corners, [len(signal) - 1]]).tolist()
    value = signal[at].tolist()
    found: list[int] = []
    low = high = best = 0
    direction = 0
    for i, v in enumerate(value):
        if direction == 0:
            low = i if v <= value[low] else low
            high = i if v >= value[high] else high
            if v - value[low] >= minimum:
                direction, best = 1, i
                found.append(low)
            elif value[high] - v >= minimum:
                direction, best = -1, i
                found.append(high)
        elif direction * (v - value[best]) >= 0:
            best = i
        elif direction * (value[best] - v) >= minimum:
            found.append(best)
            direction, best = -direction, i
    return [at[i] for i in [*found, best]] if direction else []


def _events(code: str, signal: Floats, travelled: Floats, usable: Bools | None, cfg: Channel, hz: float) -> list[Event]:
    """All events of one channel; none rests on frames that are not `usable`."""
    points = turning_points(signal, cfg.minimum)
    if not points:
        return []
    pauses = _pauses(signal, cfg, hz)
    out = []
    for a, b in pairwise(points):
        for start, end in _split(signal, a, b, pauses, cfg):
            if usable is not None and not usable[start : end + 1].all():
                continue
            event = _event(code, signal, start, end, cfg, hz)
            # Straightening up from a forward lean is no backward lean: the lean must end on its own side of upright.
            if code in ROTATIONS[1:] and np.sign(event.amount) * signal[end] < 0.75 * cfg.minimum:
                continue
            walked = travelled[event.end_frame - 1] - travelled[event.start_frame]
            if abs(signal[event.end_frame - 1] - signal[event.start_frame]) >= cfg.cone * walked:
                out.append(event)
    return out


def _event(code: str, signal: Floats, a: int, b: int, cfg: Channel, hz: float) -> Event:
    """The event between turning points a and b, its slow ends trimmed."""
    amount = float(signal[b] - signal[a])
    sign = 1 if amount > 0 else -1
    progress = sign * (signal[a : b + 1] - signal[a])
    cut = min(cfg.trim_share * abs(amount), cfg.trim)
    reached = int(np.argmax(progress >= abs(amount) - cut))
    start = a + int(np.flatnonzero(progress[: reached + 1] <= cut)[-1])
    end = min(max(start + 2, a + reached + 1), len(signal))
    speed = abs(float(signal[end - 1] - signal[start])) * hz / max(1, end - 1 - start)
    return Event(
        code=code,
        direction=DIRECTIONS[code, sign],
        start_frame=start,
        end_frame=end,
        amount=amount,
        speed=speed,
        size=_bin(abs(amount), cfg.sizes, cfg.size_names),
        pace=_bin(speed, cfg.paces, cfg.pace_names),
        span=(a, b),
    )


def _bin(value: float, bounds: tuple[float, ...], labels: tuple[str, ...]) -> str:
    return labels[bisect_right(bounds, value)]


def _pauses(signal: Floats, cfg: Channel, hz: float) -> Bools:
    """Frames (N,) inside any `pause_s` window over which the signal ranges less than `pause_range`."""
    width = round(cfg.pause_s * hz) + 1
    if cfg.pause_s <= 0 or len(signal) < width:
        return np.zeros(len(signal), dtype=bool)
    spread = maximum_filter1d(signal, width) - minimum_filter1d(signal, width)
    still = spread < cfg.pause_range
    half = width // 2
    still[:half] = still[len(signal) - half :] = False
    return np.asarray(maximum_filter1d(still, width))


def _split(signal: Floats, a: int, b: int, pauses: Bools, cfg: Channel) -> list[tuple[int, int]]:
    """The excursion a..b as (start, end) pairs: cut in the middle of every pause, pieces under the minimum left out."""
    moving = _runs(~pauses[a : b + 1]) if pauses[a : b + 1].any() else []
    edges = [a, *(a + (end + start) // 2 for (_, end), (start, _) in pairwise(moving)), b]
    return [(start, end) for start, end in pairwise(edges) if abs(signal[end] - signal[start]) >= cfg.minimum]


def _runs(mask: Bools) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = (np.flatnonzero(mask[1:] != mask[:-1]) + 1).tolist()
    inside = [*([0] if mask[0] else []), *edges, *([len(mask)] if mask[-1] else [])]
    return list(zip(inside[::2], inside[1::2], strict=True))


def _compounds(signals: dict[str, Floats], travelled: Floats, tilt: Floats, events: list[Event], recipe: Recipe) -> list[Event]:
    """The named movements: each is built on the events and simple physics, with bounds from `recipe.compound`."""
    cfg, hz = recipe.compound, recipe.signals.grid_hz
    n = len(travelled)
    if n < 4:
        return []
    floor = smooth(np.column_stack([signals["displacement_x"], signals["displacement_z"]]), 0.25, hz)
    speed = np.hypot(*np.gradient(floor, axis=0).T) * hz
    height = signals["displacement_y"]
    climb = np.gradient(smooth(height, 0.15, hz)) * hz
    turning = np.abs(np.gradient(signals["rotation_yaw"])) * hz
    upright = tilt <= 50.0

    def named(name: str, start: int, end: int, amount: float, pace: str = "") -> Event:
        seconds = max(1, end - start) / hz
        return Event(name, name, start, end, amount, abs(amount) / seconds, "", pace, (start, end - 1))

    jumps = [named("jump", a, b + 1, rise) for a, b, rise in _jumps(height, cfg.jump_rise, cfg.jump_s, cfg.jump_gravity, hz)]
    aloft = np.zeros(n, dtype=bool)
    for jump in jumps:
        aloft[jump.start_frame : jump.end_frame] = True

    out = list(jumps)
    for name, mask, least_s, least_m in (
        ("walk", (speed >= cfg.walk_speed) & upright, cfg.walk_s, cfg.walk_distance),
        ("run", (speed >= cfg.run_speed) & upright, cfg.run_s, 0.0),
        ("still", (speed < cfg.still_speed) & (np.abs(climb) < 0.1) & (turning < 20.0) & ~aloft, cfg.still_s, 0.0),
    ):
        for start, end in _runs(mask):
            distance = float(travelled[end - 1] - travelled[start])
            if (end - start) / hz < least_s or distance < least_m:
                continue
            if name != "walk" or not (aloft[start:end].any() or (speed[start:end] >= cfg.run_speed).mean() > 0.5):
                out.append(named(name, start, end, distance))
    for e in events:
        a, b = e.start_frame, e.end_frame - 1
        low = abs(e.amount) >= cfg.crouch_drop and travelled[b] - travelled[a] <= cfg.crouch_travel * abs(e.amount)
        if e.direction == "down" and low and not aloft[e.start_frame : e.end_frame].any():
            out.append(named("crouch", e.start_frame, e.end_frame, e.amount))
        if e.direction == "up" and low and not aloft[e.start_frame : e.end_frame].any():
            out.append(named("stand_up", e.start_frame, e.end_frame, e.amount))
        if e.code == "rotation_yaw" and abs(e.amount) >= cfg.turn_around:
            out.append(named("turn_around", e.start_frame, e.end_frame, e.amount))
    return out


def _jumps(height: Floats, rise: float, within_s: float, gravity: float, hz: float) -> list[tuple[int, int, float]]:
    """(start, end, rise in metres) of every jump: up and down within a second or so, nearly in free fall at the top."""
    width = round(within_s * hz)
    peaks, found = find_peaks(height, prominence=rise, wlen=2 * (width // 2) + 1)
    if not peaks.size:
        return []
    fall = -np.gradient(np.gradient(height)) * hz * hz
    out = []
    for peak, a, b, prominence in zip(peaks, found["left_bases"], found["right_bases"], found["prominences"], strict=True):
        top = slice(max(0, peak - 3), peak + 4)
        if fall[top].mean() >= gravity:
            out.append((int(a), int(b), float(prominence)))
    return out
