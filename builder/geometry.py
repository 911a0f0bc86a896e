"""Rotations, facing, the first-frame anchor, mirror images and resampling.  Radians stay inside this file.

Conventions: body_to_world columns are the body's left (+X), up (+Y) and forward (+Z) axes in a +Y-up world.  Heading is
`atan2(f_x, f_z)` of the forward axis f: zero along +Z and growing to the person's left (counter-clockwise from above).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from builder.types import Bools, Floats, Track, TrackError

AXES_TO_Y_UP: dict[str, Floats] = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),  # (x, y, z) -> (x, z, -y), AMASS and RICH worlds
    "-y": np.diag([1.0, -1.0, -1.0]),  # OpenCV cameras and SLAHMR worlds
}
FACING_MIN = 0.5  # horizontal part of the forward axis under which it faces nowhere
MIRROR = np.diag([-1.0, 1.0, 1.0])


def yaw_matrix(degrees: float | Floats) -> Floats:
    """Rotations by `degrees` about +Y, shape (..., 3, 3); positive turns +Z towards +X, the person's left."""
    a = np.radians(np.asarray(degrees, dtype=float))
    out = np.zeros((*a.shape, 3, 3))
    out[..., 0, 0] = out[..., 2, 2] = np.cos(a)
    out[..., 0, 2], out[..., 2, 0] = np.sin(a), -np.sin(a)
    out[..., 1, 1] = 1.0
    return out


def matrices_from_rotvec(rotvec: Floats) -> Floats:
    """Rotation matrices (T, 3, 3) of axis-angle vectors (T, 3) in radians, the form body models store."""
    return np.asarray(Rotation.from_rotvec(np.asarray(rotvec, dtype=float)).as_matrix())


def heading_deg(body_to_world: Floats) -> Floats:
    """Facing direction (T,) in degrees, unwrapped along time, positive to the left; several full turns add up.

    Where the forward axis points within 30 degrees of straight up or down (lying, flips) there is no facing: the last one
    is held (at the start, the first one to come), and turns are counted from there.
    """
    forward = body_to_world[:, :, 2]
    raw = np.arctan2(forward[:, 0], forward[:, 2])
    defined = np.flatnonzero(np.hypot(forward[:, 0], forward[:, 2]) >= FACING_MIN)
    if defined.size == 0:
        return np.degrees(np.unwrap(raw))
    last = np.searchsorted(defined, np.arange(len(raw)), side="right") - 1
    return np.degrees(np.unwrap(raw[defined]))[np.maximum(last, 0)]


def tilt_deg(body_to_world: Floats) -> Floats:
    """Angle (T,) in degrees between the body's up axis and the vertical, 0 (upright) to 180 (upside down)."""
    return np.degrees(np.arccos(np.clip(body_to_world[:, 1, 1], -1.0, 1.0)))


def lean_deg(body_to_world: Floats, heading: Floats) -> Floats:
    """How far the body's up axis tilts forward and to the left of the current `heading` (T,), shape (T, 2), degrees.

    The tilt angle is split along its direction (an exponential map), so it stays smooth while the body lies flat, where
    Euler angles would swap.
    """
    up = np.einsum("tij,tj->ti", yaw_matrix(-heading), body_to_world[:, :, 1])
    flat = np.hypot(up[:, 0], up[:, 2])
    scale = tilt_deg(body_to_world) / np.maximum(flat, 1e-12)
    return np.stack([up[:, 2] * scale, up[:, 0] * scale], axis=1)


def anchor_heading_deg(heading: Floats, fps: float, window_s: float, max_range_deg: float) -> float:
    """The heading that the clip starts with: the mean over the first `window_s` seconds.

    One stride swings the pelvis by 10-20 degrees, so a single frame would turn a straight walk into a side-step.  The mean
    stops as soon as the headings in it span more than `max_range_deg`, so a person who turns at once keeps the first facing.
    `window_s = 0` gives the first frame alone.
    """
    count = max(1, round(window_s * fps) + 1) if window_s > 0 else 1
    first = heading[:count]
    span = np.maximum.accumulate(first) - np.minimum.accumulate(first)
    within = int(np.argmax(span > max_range_deg)) if (span > max_range_deg).any() else len(first)
    return float(first[: max(1, within)].mean())


def anchor(track: Track, window_s: float = 1.0, max_range_deg: float = 25.0) -> Track:
    """The same track in the person's own frame at its first valid frame; earlier invalid frames are dropped.

    Origin at the root, +Z where the person faces, +X to their left, +Y up.  Anchoring an anchored track changes nothing.
    """
    if track.frame == "anchored":
        return track
    first = int(np.argmax(track.valid))
    track = crop(track, first, track.num_frames)
    headings = heading_deg(track.body_to_world[track.valid])
    turn = yaw_matrix(-anchor_heading_deg(headings, track.fps, window_s, max_range_deg))
    return replace(transform(track, turn, -turn @ track.position_m[0]), frame="anchored")


def crop(track: Track, start: int, end: int) -> Track:
    """Frames [start, end) of a track."""
    cut = slice(start, end)
    per_frame = {k: v[cut] if v.shape[:1] == (track.num_frames,) else v for k, v in track.extra.items()}
    return replace(
        track,
        valid=track.valid[cut],
        body_to_world=track.body_to_world[cut],
        position_m=track.position_m[cut],
        frame_ids=track.frame_ids[cut],
        joints_m=None if track.joints_m is None else track.joints_m[cut],
        camera_to_world=None if track.camera_to_world is None else track.camera_to_world[cut],
        extra=per_frame,
    )


def transform(track: Track, rotation: Floats, offset: Floats) -> Track:
    """The track after the rigid change of world `p -> rotation @ p + offset` (metres)."""
    camera = track.camera_to_world
    if camera is not None:
        rigid = np.eye(4)
        rigid[:3, :3], rigid[:3, 3] = rotation, offset
        camera = rigid @ camera
    return replace(
        track,
        body_to_world=rotation @ track.body_to_world,
        position_m=track.position_m @ rotation.T + offset,
        joints_m=None if track.joints_m is None else track.joints_m @ rotation.T + offset,
        camera_to_world=camera,
    )


def mirror(track: Track) -> Track:
    """The left-right mirror image of a track (camera and raw parameters are left out: they have no mirror image)."""
    return replace(
        track,
        body_to_world=MIRROR @ track.body_to_world @ MIRROR,
        position_m=track.position_m @ MIRROR,
        joints_m=None if track.joints_m is None else track.joints_m @ MIRROR,
        camera_to_world=None,
        extra={},
    )


def fill_invalid(track: Track) -> Track:
    """The track with invalid frames filled between their valid neighbours (held at the ends); `valid` keeps the marks."""
    if track.valid.all():
        return track
    at = np.arange(track.num_frames, dtype=float)
    good = at[track.valid]
    position, rotation = _interpolate(good, track.position_m[track.valid], track.body_to_world[track.valid], at)
    return replace(track, position_m=position, body_to_world=rotation)


def resample(track: Track, fps: float) -> Track:
    """The track at another frame rate, over the same time: positions linear, rotations along the shortest arc.

    Joints, cameras and raw parameters belong to the source's own frames and are left out.
    """
    if fps <= 0:
        raise TrackError(f"cannot resample track {track.clip_id} to {fps} frames per second; expected a positive rate")
    seconds = np.arange(track.num_frames) / track.fps
    at = np.arange(int(np.floor(seconds[-1] * fps + 1e-6)) + 1) / fps
    filled = fill_invalid(track)
    position, rotation = _interpolate(seconds, filled.position_m, filled.body_to_world, at)
    nearest = np.clip(np.rint(at * track.fps).astype(int), 0, track.num_frames - 1)
    return replace(
        track,
        fps=fps,
        valid=track.valid[nearest],
        body_to_world=rotation,
        position_m=position,
        frame_ids=np.arange(len(at), dtype=np.int64),
        joints_m=None,
        camera_to_world=None,
        extra={},
    )


def _interpolate(seconds: Floats, position: Floats, rotation: Floats, at: Floats) -> tuple[Floats, Floats]:
    at = np.clip(at, seconds[0], seconds[-1])
    moved = np.stack([np.interp(at, seconds, position[:, k]) for k in range(3)], axis=1)
    if len(seconds) == 1:
        return moved, np.repeat(rotation, len(at), axis=0)
    return moved, np.asarray(Slerp(seconds, Rotation.from_matrix(rotation))(at).as_matrix())


def upright(body_to_world: Floats, max_tilt_deg: float) -> Bools:
    """Frames (T,) in which facing is defined: the body tilts at most `max_tilt_deg` from the vertical."""
    return tilt_deg(body_to_world) <= max_tilt_deg
