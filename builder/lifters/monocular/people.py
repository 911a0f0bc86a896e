"""Follows several people through the frames of a clip: landmarks from where somebody was last, and the detector now and then.

A false person is worse than a missed one, so a trail must hold its score, its visibility and its bone lengths for a second; and
nobody is carried over more than half a second out of sight: somebody who comes back later is joined only by place, size and colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from scipy.optimize import linear_sum_assignment

from builder.lifters.monocular.blazepose import BlazePose, Image, Pose, overlap, roi_boxes
from builder.lifters.monocular.clothes import median_colours, worn
from builder.lifters.monocular.records import LANDMARKS, Person
from builder.types import Bools, Floats

SHOULDERS, HIPS, KNEES, ANKLES = (11, 12), (23, 24), (25, 26), (27, 28)
BODY = (*SHOULDERS, 13, 14, *HIPS, *KNEES, *ANKLES)  # the landmarks by which two poses are compared
BONES = ((11, 23), (12, 24), (23, 25), (24, 26), (25, 27), (26, 28))

DETECT_EVERY_S = 0.35
WINDOWS = 2  # of the picture that are looked at each time, in turn, while everybody is being followed
LOST_S = 0.5  # out of sight for longer, and whoever comes is somebody new
SCORE_MIN = 0.5
START_SCORE = 0.7
VISIBLE_MIN = 0.6  # mean over the trunk and legs
TRACK_S = 1.0
BONE_SPREAD = 0.15  # people stay under 0.08; furniture taken for somebody changes its bones by a fifth
PRESENT = 0.5  # share of the frames between coming and going: what is now seen and now not is no person
SAME = 0.25  # poses closer than this share of their size are one person seen twice
MATCH = 0.2  # least overlap of a detection with somebody who is followed
REJOIN_S = 2.0
REJOIN_SIZES = 1.5  # how far away, in body sizes
COLOURS_EVERY_S = 0.3


@dataclass(eq=False)
class _Trail:
    """Somebody being followed: the poses by frame, where to look next, and samples of the clothes' colours."""

    roi: Floats
    poses: dict[int, Pose] = field(default_factory=dict)
    boxes: dict[int, Floats] = field(default_factory=dict)
    colours: list[Floats] = field(default_factory=list)
    live: bool = True

    @property
    def last(self) -> int:
        return next(reversed(self.poses))

    @property
    def first(self) -> int:
        return next(iter(self.poses))


@dataclass(frozen=True, eq=False)
class Followed:
    """A person, the median colours (2, 3) of what is worn above and below the waist (RGB, NaN when unseen), and how much of the clip
    they fill."""

    person: Person
    colours: Floats
    weight: float


class Follower:
    """Feed `step` every frame in order, then ask for `people`.  Memory grows by a few kilobytes per person and frame."""

    def __init__(self, network: BlazePose, fps: float) -> None:
        self._network = network
        self._fps = fps
        self._trails: list[_Trail] = []
        self._frame = -1
        self._detected = -(10**9)
        self._turn = 0

    def step(self, image: Image) -> Floats:
        """Follow everybody into the next frame; boxes (P, 4) of who is in it, and of who was a moment ago, in pixels."""
        self._frame += 1
        k = self._frame
        for trail in self._live():
            self._follow(trail, image, trail.roi)
        self._drop_doubles()
        missing = [t for t in self._live() if t.last < k]
        due = k - self._detected >= DETECT_EVERY_S * self._fps
        if due or missing or not self._live():
            self._look(image, thorough=due)
            self._drop_doubles()
        for trail in self._live():
            if k - trail.last > LOST_S * self._fps:
                trail.live = False
            elif trail.last == k and len(trail.poses) % max(1, round(COLOURS_EVERY_S * self._fps)) == 1:
                trail.colours.append(worn(image, trail.poses[k].landmarks_px))
        live = self._live()
        return np.array([t.boxes[t.last] for t in live]).reshape(-1, 4)

    def people(self) -> list[Followed]:
        """Everybody who passes the gates, most prominent (size times duration) first, over all frames so far."""
        trails = _rejoined([t for t in self._trails if t.poses], self._fps)
        whole = [_followed(t, self._frame + 1) for t in trails if _is_somebody(t, self._fps)]
        return sorted(whole, key=lambda f: -f.weight)

    def _live(self) -> list[_Trail]:
        return [t for t in self._trails if t.live]

    def _follow(self, trail: _Trail, image: Image, roi: Floats) -> bool:
        """Look for the person in a region; whether they are there."""
        pose = self._network.landmarks(image, roi)
        height, width = image.shape[:2]
        moved = np.hypot(*(pose.roi[:2] - roi[:2])) > roi[2] or not 0.4 < pose.roi[2] / roi[2] < 2.5
        inside = 0 <= pose.roi[0] < width and -0.2 * height <= pose.roi[1] < 1.2 * height
        wanted = SCORE_MIN if trail.poses else START_SCORE
        if pose.score < wanted or moved or not inside or (not trail.poses and _trunk_visible(pose) < VISIBLE_MIN):
            return False
        trail.poses[self._frame], trail.boxes[self._frame] = pose, _box(pose, width, height)
        trail.roi = pose.roi
        return True

    def _look(self, image: Image, thorough: bool) -> None:
        """Match what the detector sees to those who are followed; whoever is left over is new."""
        rois, scores = self._network.detect(image)
        if thorough:
            self._detected = self._frame
            windows = _windows(*image.shape[1::-1])
            if self._live() and all(t.last == self._frame for t in self._live()):
                at = [(self._turn + k) % len(windows) for k in range(min(WINDOWS, len(windows)))]
                self._turn, windows = at[-1] + 1, [windows[k] for k in at]
            for window in windows:
                more, sure = self._network.detect(image, window)
                rois, scores = np.concatenate([rois, more]), np.concatenate([scores, sure])
        order = np.argsort(-scores, kind="stable")
        rois = rois[order]
        live = self._live()
        seen = np.array([t.roi for t in live]).reshape(-1, 4)
        matched = overlap(roi_boxes(seen), roi_boxes(rois))
        for i, j in zip(*linear_sum_assignment(-matched), strict=True):
            if matched[i, j] >= MATCH and live[i].last < self._frame:
                self._follow(live[i], image, rois[j])
        known = np.array([t.roi for t in live if t.last == self._frame]).reshape(-1, 4)
        for roi in rois:
            if overlap(roi_boxes(roi[None]), roi_boxes(known)).max(initial=0.0) < MATCH:
                trail = _Trail(roi)
                if self._follow(trail, image, roi):
                    self._follow(trail, image, trail.roi)  # once more from the landmarks' own region, which fits better
                    self._trails.append(trail)
                    known = np.concatenate([known, trail.roi[None]])

    def _drop_doubles(self) -> None:
        """Of two trails on one body, the one that jumped there (or else the shorter) loses this frame and stops."""
        here = [t for t in self._live() if t.last == self._frame]
        for i, a in enumerate(here):
            for b in here[i + 1 :]:
                if a.live and b.live and _distance(a.poses[self._frame], b.poses[self._frame]) < SAME:
                    worse = max((a, b), key=lambda t: (_jump(t, self._frame), -len(t.poses)))
                    del worse.poses[self._frame], worse.boxes[self._frame]
                    worse.live = False


def _windows(width: int, height: int) -> list[tuple[int, int, int]]:
    """Overlapping squares (left, top, side) as high as the picture (or as wide), for people who are small in the whole of it."""
    side = round(0.75 * min(width, height))
    starts = [
        np.linspace(0, length - side, int(np.ceil((length - side) / (0.6 * side))) + 1).round().astype(int) for length in (width, height)
    ]
    return [(int(x), int(y), side) for y in starts[1] for x in starts[0]]


def _box(pose: Pose, width: int, height: int) -> Floats:
    """Left, top, right, bottom about the landmarks, with a margin for head, hands and feet, clipped to the picture."""
    low, high = pose.landmarks_px.min(axis=0), pose.landmarks_px.max(axis=0)
    margin = 0.06 * (high - low).max()
    return np.clip(np.concatenate([low - margin, high + margin]), 0, [width, height, width, height])


def _trunk_visible(pose: Pose) -> float:
    return float(pose.visibility[[*SHOULDERS, *HIPS, *KNEES]].mean())


def _distance(a: Pose, b: Pose) -> float:
    """Mean distance of the body's landmarks, as a share of the larger body's region."""
    apart = np.linalg.norm(a.landmarks_px[list(BODY)] - b.landmarks_px[list(BODY)], axis=1)
    return float(apart.mean() / (max(a.roi[2], b.roi[2]) / 2.5))


def _jump(trail: _Trail, frame: int) -> float:
    """How far a trail's last step is from going on as before, in pixels."""
    before = [f for f in islice(reversed(trail.poses), 6) if f < frame][3::-1]
    if len(before) < 2:
        return float("inf")
    at = np.array([trail.poses[f].roi[:2] for f in before])
    velocity = (at[-1] - at[0]) / (before[-1] - before[0])
    return float(np.hypot(*(trail.poses[frame].roi[:2] - at[-1] - velocity * (frame - before[-1]))))


def _is_somebody(trail: _Trail, fps: float) -> bool:
    """Whether a trail is a person: long, visible and sure enough, with bones that keep their lengths."""
    poses = list(trail.poses.values())
    if len(poses) < max(TRACK_S * fps, PRESENT * (trail.last - trail.first + 1)) or np.median([p.score for p in poses]) < START_SCORE:
        return False
    if np.mean([_trunk_visible(p) for p in poses]) < VISIBLE_MIN:
        return False
    metres = np.array([p.landmarks_m for p in poses])
    length = np.stack([np.linalg.norm(metres[:, a] - metres[:, b], axis=1) for a, b in BONES], axis=1)
    spread = np.abs(length - np.median(length, axis=0)) / np.median(length, axis=0)
    return bool(np.median(spread) < BONE_SPREAD)


def _rejoined(trails: Sequence[_Trail], fps: float) -> list[_Trail]:
    """Trails with the pieces of one person put together, in order of their beginnings."""
    out: list[_Trail] = []
    for trail in sorted(trails, key=lambda t: t.first):
        before = [k for k, t in enumerate(out) if 0 < trail.first - t.last <= REJOIN_S * fps and _alike(t, trail)]
        if len(before) == 1:  # else nobody, or it is not sure whom
            whole = out[before[0]]
            out[before[0]] = _Trail(trail.roi, whole.poses | trail.poses, whole.boxes | trail.boxes, whole.colours + trail.colours)
        else:
            out.append(trail)
    return out


def _alike(a: _Trail, b: _Trail) -> bool:
    """Whether b may be a come back: near, of about the same size, and dressed the same."""
    end, start = a.poses[a.last], b.poses[b.first]
    near = np.hypot(*(end.roi[:2] - start.roi[:2])) < REJOIN_SIZES * end.roi[2] / 2.5
    size = 0.7 < start.roi[2] / end.roi[2] < 1.4
    apart = np.abs(median_colours(a.colours) - median_colours(b.colours))
    return bool(near and size and not (apart.max(axis=1) > 60).any())  # unseen colours (NaN) do not speak against it


def _followed(trail: _Trail, frames: int) -> Followed:
    at = list(trail.poses)
    seen: Bools = np.zeros(frames, dtype=bool)
    seen[at] = True

    def rows(values: Sequence[Floats], *shape: int) -> Floats:
        out = np.full((frames, *shape), np.nan)
        out[at] = np.array(values)
        return out

    poses = [trail.poses[f] for f in at]
    score = np.zeros(frames)
    score[at] = [p.score for p in poses]
    person = Person(
        landmarks_px=rows([p.landmarks_px for p in poses], LANDMARKS, 2),
        visibility=rows([p.visibility for p in poses], LANDMARKS),
        landmarks_m=rows([p.landmarks_m for p in poses], LANDMARKS, 3),
        score=score,
        box_px=rows([trail.boxes[f] for f in at], 4),
        seen=seen,
    )
    return Followed(person, median_colours(trail.colours), float(sum(np.sqrt(np.prod(b[2:] - b[:2])) for b in trail.boxes.values())))
