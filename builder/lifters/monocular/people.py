"""Follows several people through the frames of a clip: landmarks from where somebody was last, and the detector now and then.

A false person is worse than a missed one, so a trail must hold its score, its visibility and its bone lengths for a second; and
nobody is carried over more than half a second out of sight: somebody who comes back later is joined only by place, size and colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from builder.lifters.monocular.blazepose import BlazePose, Image, Pose, overlap, roi_boxes
from builder.lifters.monocular.records import LANDMARKS, Person
from builder.types import Bools, Floats

NOSE, EARS, SHOULDERS, HIPS, KNEES, ANKLES = 0, (7, 8), (11, 12), (23, 24), (25, 26), (27, 28)
BODY = (*SHOULDERS, 13, 14, *HIPS, *KNEES, *ANKLES)  # the landmarks by which two poses are compared
BONES = ((11, 23), (12, 24), (23, 25), (24, 26), (25, 27), (26, 28))

DETECT_EVERY_S = 0.35
LOST_S = 0.5  # out of sight for longer, and whoever comes is somebody new
SCORE_MIN = 0.5
START_SCORE = 0.7
VISIBLE_MIN = 0.6  # mean over the trunk and legs
TRACK_S = 1.0
BONE_SPREAD = 0.25
SAME = 0.25  # poses closer than this share of their size are one person seen twice
MATCH = 0.2  # least overlap of a detection with somebody who is followed
UNLIKE = 45.0  # colours nearer than this are not told apart in words
REJOIN_S = 2.0
REJOIN_SIZES = 1.5  # how far away, in body sizes
COLOURS_EVERY_S = 0.3

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (25, 25, 28),
    "dark grey": (70, 70, 72),
    "grey": (128, 128, 128),
    "light grey": (190, 190, 190),
    "white": (240, 240, 240),
    "red": (185, 35, 40),
    "dark red": (100, 25, 32),
    "orange": (225, 115, 35),
    "yellow": (225, 200, 60),
    "beige": (205, 185, 150),
    "brown": (105, 70, 45),
    "green": (50, 130, 60),
    "dark green": (30, 65, 45),
    "light green": (150, 200, 130),
    "teal": (35, 130, 135),
    "light blue": (140, 185, 225),
    "blue": (45, 90, 175),
    "dark blue": (30, 40, 85),
    "purple": (110, 60, 140),
    "pink": (225, 140, 170),
}


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
        return max(self.poses)


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
                trail.colours.append(_worn(image, trail.poses[k]))
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
            for window in _windows(*image.shape[1::-1]):
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
    before = [f for f in sorted(trail.poses) if f < frame][-4:]
    if len(before) < 2:
        return float("inf")
    at = np.array([trail.poses[f].roi[:2] for f in before])
    velocity = (at[-1] - at[0]) / (before[-1] - before[0])
    return float(np.hypot(*(trail.poses[frame].roi[:2] - at[-1] - velocity * (frame - before[-1]))))


def _is_somebody(trail: _Trail, fps: float) -> bool:
    """Whether a trail is a person: long, visible and sure enough, with bones that keep their lengths."""
    poses = list(trail.poses.values())
    if len(poses) < TRACK_S * fps or np.median([p.score for p in poses]) < START_SCORE:
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
    for trail in sorted(trails, key=lambda t: min(t.poses)):
        first = min(trail.poses)
        before = [t for t in out if 0 < first - t.last <= REJOIN_S * fps and _alike(t, trail)]
        if len(before) != 1:  # nobody, or not sure whom
            out.append(trail)
            continue
        whole = before[0]
        whole.poses.update(trail.poses)
        whole.boxes.update(trail.boxes)
        whole.colours += trail.colours
    return out


def _alike(a: _Trail, b: _Trail) -> bool:
    """Whether b may be a come back: near, of about the same size, and dressed the same."""
    end, start = a.poses[a.last], b.poses[min(b.poses)]
    near = np.hypot(*(end.roi[:2] - start.roi[:2])) < REJOIN_SIZES * end.roi[2] / 2.5
    size = 0.7 < start.roi[2] / end.roi[2] < 1.4
    apart = np.abs(_median_colours(a) - _median_colours(b))
    return bool(near and size and not (apart.max(axis=1) > 60).any())  # unseen colours (NaN) do not speak against it


def _followed(trail: _Trail, frames: int) -> Followed:
    at = sorted(trail.poses)
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
    return Followed(person, _median_colours(trail), float(sum(np.sqrt(np.prod(b[2:] - b[:2])) for b in trail.boxes.values())))


def _median_colours(trail: _Trail) -> Floats:
    if not trail.colours:
        return np.full((2, 3), np.nan)
    samples = np.array(trail.colours)
    return np.stack(
        [np.median(part, axis=0) if len(part := c[np.isfinite(c[:, 0])]) else np.full(3, np.nan) for c in samples.swapaxes(0, 1)]
    )


def _worn(image: Image, pose: Pose) -> Floats:
    """Median colours (2, 3) over the trunk and over the thighs in one picture; NaN outside of it."""
    at = pose.landmarks_px
    left, right, hip_l, hip_r = at[11], at[12], at[23], at[24]
    share = np.linspace(0.2, 0.8, 5)
    trunk = [(left + a * (right - left)) * (1 - d) + (hip_l + a * (hip_r - hip_l)) * d for a in share for d in share]
    thighs = [hip + d * (knee - hip) for hip, knee in ((hip_l, at[25]), (hip_r, at[26])) for d in np.linspace(0.25, 0.85, 8)]
    return np.stack([_median_at(image, np.array(points)) for points in (trunk, thighs)])


def _median_at(image: Image, points: Floats) -> Floats:
    column, row = np.rint(points).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < image.shape[1]) & (row < image.shape[0])
    return np.median(image[row[inside], column[inside]], axis=0) if inside.any() else np.full(3, np.nan)


def colour_name(rgb: Floats) -> str | None:
    """The nearest plain colour word, None for NaN; lightness counts less than hue, because shade changes it."""
    if not np.isfinite(rgb).all():
        return None
    words = list(COLOURS)
    return words[int(np.argmin(((_opponent(np.array(list(COLOURS.values()), float)) - _opponent(rgb)) ** 2).sum(axis=-1)))]


def _opponent(rgb: Floats) -> Floats:
    """Lightness, red-green and yellow-blue, the colours weighed up."""
    r, g, b = np.moveaxis(np.asarray(rgb, float), -1, 0)
    return np.stack([0.6 * (0.3 * r + 0.6 * g + 0.1 * b), r - g, (r + g) / 2 - b], axis=-1)


def referents(colours: Sequence[Floats], people: Sequence[Person], width: int) -> list[str | None]:
    """Words that single out each of several people: clothes nobody else wears, else the side of the picture where they first appear.

    None for one person alone, who needs none, and for people who cannot be told apart in words.
    """
    if len(people) < 2:
        return [None] * len(people)
    worn = [tuple(colour_name(part) for part in c) for c in colours]
    firsts = [p.landmarks_px[int(p.seen.argmax()), list(HIPS), 0].mean() / width for p in people]
    places = ["left" if x < 0.38 else "right" if x > 0.62 else "middle" for x in firsts]
    out: list[str | None] = []
    for k in range(len(people)):
        others = [j for j in range(len(people)) if j != k]
        text = None
        for part, garment in ((0, "top"), (1, "trousers")):
            clear = all(_unlike(colours[k][part], colours[j][part]) for j in others)
            if text is None and worn[k][part] and clear and all(worn[k][part] != worn[j][part] for j in others):
                text = f"the person in the {worn[k][part]} top" if garment == "top" else f"the person with the {worn[k][part]} {garment}"
        if text is None and places.count(places[k]) == 1:
            text = f"the person who first appears {'in the middle' if places[k] == 'middle' else f'on the {places[k]}'} of the picture"
        out.append(text)
    return out


def _unlike(a: Floats, b: Floats) -> bool:
    """Whether two colours differ enough for words; an unseen one differs from nothing."""
    return bool(np.linalg.norm(_opponent(a) - _opponent(b)) > UNLIKE)
