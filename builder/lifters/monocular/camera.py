"""How the camera moved: points of the still background followed from frame to frame, and what their paths say.

A camera that stands still leaves the points where they are; one that only turns moves them as a turn of the rays does, near and
far alike; any other is left to structure from motion (`sfm`) over the same points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.lifters.monocular.records import Camera
from builder.lifters.monocular.root import DEFAULT_FOCAL
from builder.types import Bools, Floats, LiftError

Ints = NDArray[np.int64]

SIDE = 640  # pixels of the longest side of the images in which points are followed; the bounds below are in these pixels
CELL = 20  # new points are the best corners of squares of this side, so that the floor gets its share next to a colourful wall
NEAR = 10  # and lie about so far from the others; of two that come nearer, the older stays
CORNER = 2e-5  # how much of a corner a point must be (smaller eigenvalue, images 0-1): above the noise of a plain wall
INFLATE = 0.25  # of a person's box, outside of which the background begins
LARGE = 0.4  # share of the picture in one box, and of a smaller box in it
RETURN_PX = 0.5  # a point followed forward and back again must come home this near
WINDOW, LEVELS = 15, 3
REST_PX = 0.1  # from where they were last followed to: probes nearer than this say that the camera has not moved since
PROBES = 64

STILL_PX, STILL_SHARE = 0.15, 0.9  # median flow of a still camera, and in how many of the frames
DRIFT_PX = 1.0  # from where it was up to a second ago, which tells a very slow pan from standing still
TURN_PX, TURN_SHARE = 1.2, 0.9  # how near a turn alone must bring how many of the points
TURN_DOUBT = 0.6  # of the points, from which a turn will do where structure from motion fails: a hand that sways by centimetres
KEY_S, KEY_SHARE = 1.5, 0.5  # a key frame serves until so old, or until fewer of its points are left
FEW = 12  # points with which a turn can still be told
ROUNDS = 10
PAN_DEG = 8.0  # a turn from which the focal length shows
FOCAL_RANGE = 0.5, 2.0  # of the longest side


@dataclass(frozen=True, eq=False)
class Paths:
    """Where points of the background were: rows (N,) of frame number, name and place (N, 2), ordered by frame, then name.

    Places are pixels of the processed images from the middle of the picture; `start` (n + 1,) is each frame's first row.
    """

    start: Ints
    name: Ints
    place: Floats
    time_s: Floats
    width: int
    height: int

    @property
    def frames(self) -> int:
        """Number of frames n."""
        return len(self.time_s)

    @property
    def pixel(self) -> float:
        """Processed pixels in one pixel of the images in which points were followed."""
        return max(1.0, max(self.width, self.height) / SIDE)

    def at(self, frame: int) -> tuple[Ints, Floats]:
        """Names (k,) and places (k, 2) of the points seen in a frame."""
        rows = slice(self.start[frame], self.start[frame + 1])
        return self.name[rows], self.place[rows]

    def both(self, a: int, b: int) -> tuple[Floats, Floats]:
        """Places (k, 2) in frame a and in frame b of the points seen in both."""
        names_a, places_a = self.at(a)
        names_b, places_b = self.at(b)
        _, in_a, in_b = np.intersect1d(names_a, names_b, assume_unique=True, return_indices=True)
        return places_a[in_a], places_b[in_b]


class Background:
    """Feed `add` every processed frame in order, then ask for `paths`.  Keeps a few kilobytes per frame and one small image.

    While a few of the points stay where they were last followed to, so does the camera, and the others are not followed at all.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._scale = min(1.0, SIDE / max(width, height))
        self._before: Any = None
        self._places: Any = np.zeros((0, 2), np.float32)
        self._names = np.zeros(0, np.int64)
        self._next = 0
        self._rested = True
        self._kept: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        self._times: list[float] = []

    def add(self, image_rgb: NDArray[np.uint8], time_s: float, boxes_px: Floats) -> None:
        """Follow the background into the next frame (H, W, 3); what is inside people's boxes (P, 4), made larger, is left out."""
        import cv2

        grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        if self._scale < 1:
            size = round(self._width * self._scale), round(self._height * self._scale)
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)  # never to less than half: no pixel is skipped
        free = self._free(grey.shape, boxes_px)
        if not (self._rested and self._rests(grey, free)):
            if len(self._places):
                self._follow(grey, free)
            self._find(grey, free)
            self._before = grey
        column, row = np.rint(self._places).astype(int).T
        shown = free[row, column]
        self._kept.append((self._names[shown].astype(np.int32), self._places[shown]))
        self._times.append(time_s)

    def paths(self) -> Paths:
        """Where the points were, in pixels of the processed images from the middle of the picture."""
        start = np.concatenate([[0], np.cumsum([len(names) for names, _ in self._kept])]).astype(np.int64)
        name = np.concatenate([np.zeros(0, np.int32), *(names for names, _ in self._kept)]).astype(np.int64)
        place = np.concatenate([np.zeros((0, 2), np.float32), *(places for _, places in self._kept)]).astype(np.float64)
        place = (place + 0.5) / self._scale - [self._width / 2, self._height / 2]  # a whole number is the middle of a pixel to OpenCV
        return Paths(start, name, place, np.array(self._times), self._width, self._height)

    def _free(self, shape: tuple[int, int], boxes_px: Floats) -> Bools:
        free = np.ones(shape, dtype=bool)
        for left, top, right, bottom in _believable(np.asarray(boxes_px, dtype=float).reshape(-1, 4) * self._scale, free.size):
            x, y = INFLATE * (right - left), INFLATE * (bottom - top)
            rows, columns = (max(0, int(top - y)), int(bottom + y) + 1), (max(0, int(left - x)), int(right + x) + 1)
            free[slice(*rows), slice(*columns)] = False
        return free

    def _rests(self, grey: Any, free: Bools) -> bool:
        """Whether the background is where it was when it was last followed."""
        import cv2

        column, row = np.rint(self._places).astype(int).T
        shown = self._places[free[row, column]]
        probes = np.ascontiguousarray(shown[:: max(1, len(shown) // PROBES)])
        if len(probes) < FEW:
            return False
        how: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": 0, "criteria": (3, 10, 0.01)}
        there, found, _ = cv2.calcOpticalFlowPyrLK(self._before, grey, probes, np.empty_like(probes), **how)
        off = np.where(found.ravel() == 1, np.linalg.norm(there - probes, axis=1), np.inf)
        return bool(np.median(off) < REST_PX)

    def _follow(self, grey: Any, free: Bools) -> None:
        import cv2

        how: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "criteria": (3, 20, 0.01)}
        there, found, _ = cv2.calcOpticalFlowPyrLK(self._before, grey, self._places, np.empty_like(self._places), **how)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(grey, self._before, there, np.empty_like(self._places), **how)
        home = np.linalg.norm(back - self._places, axis=1) < RETURN_PX
        x, y = np.rint(np.nan_to_num(there, nan=-1.0)).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < grey.shape[1]) & (y < grey.shape[0])
        kept = home & inside & (found.ravel() == 1) & (found_back.ravel() == 1)
        kept[kept] = free[y[kept], x[kept]]
        moved = np.linalg.norm(there[kept] - self._places[kept], axis=1)
        self._rested = bool(np.median(moved) < REST_PX) if len(moved) else False
        places, names = there[kept], self._names[kept]
        square = (places // NEAR).astype(int) @ [1, grey.shape[1]]
        _, oldest = np.unique(square, return_index=True)  # names grow with time, and a long path says more than a short one
        oldest.sort()
        self._places, self._names = places[oldest], names[oldest]

    def _find(self, grey: Any, free: Bools) -> None:
        """New points where there are none: the best corner of each square, if it is one."""
        import cv2

        taken = np.zeros((grey.shape[0] // NEAR + 1, grey.shape[1] // NEAR + 1), dtype=np.uint8)
        column, row = (self._places // NEAR).astype(int).T
        taken[row, column] = 1
        taken = cv2.dilate(taken, np.ones((3, 3), np.uint8)).repeat(NEAR, axis=0).repeat(NEAR, axis=1)[: grey.shape[0], : grey.shape[1]]
        corner = cv2.cornerMinEigenVal(grey.astype(np.float32) / 255, 5)
        corner[~free | (taken > 0)] = 0
        corner[:3], corner[-3:], corner[:, :3], corner[:, -3:] = 0, 0, 0, 0
        rows, columns = grey.shape[0] // CELL, grey.shape[1] // CELL
        squares = corner[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
        squares = squares.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
        best = squares.argmax(axis=2)
        wanted = squares.max(axis=2) > CORNER
        row, column = np.nonzero(wanted)
        inner = best[wanted]
        new = np.stack([column * CELL + inner % CELL, row * CELL + inner // CELL], axis=1).astype(np.float32)
        self._places = np.concatenate([self._places, new])
        self._names = np.concatenate([self._names, np.arange(self._next, self._next + len(new))])
        self._next += len(new)


def _believable(boxes: Floats, picture: float) -> list[Floats]:
    """The boxes (P, 4) without those that fill much of the `picture` (an area) and yet have somebody visible behind them.

    A detector's mistake, before it is found out, would otherwise leave no background at all.
    """
    size = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept = []
    for k, box in enumerate(boxes):
        shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
        behind = (np.prod(np.maximum(shared, 0), axis=1) > LARGE * size) & (size < size[k])
        if not (size[k] > LARGE * picture and behind.any()):
            kept.append(box)
    return kept


class Turning(NamedTuple):
    """A camera that is taken only to turn: rotation (n, 3, 3) to the first frame's axes; inliers (n,), the share of the points that
    this explains, NaN where too few are seen; pairs of key frame and frame."""

    rotation: Floats
    inliers: Floats
    pairs: tuple[tuple[int, int], ...]

    @property
    def share(self) -> float:
        """Mean share of the points that a turn alone explains; 0 when too few are ever seen."""
        return float(np.nanmean(self.inliers)) if np.isfinite(self.inliers).any() else 0.0


def solve(background: Background, focal_px: float | None, focal_source: str, mode: str = "auto") -> Camera:
    """How the camera moved over the frames that `background` was fed.

    focal_px of the processed images, None when unknown; mode "auto", "static" (it stands still) or "moving" (it does not only turn).
    Raises LiftError when the motion cannot be told or is not to be trusted.
    """
    paths = background.paths()
    longest = max(paths.width, paths.height)
    focal = DEFAULT_FOCAL * longest if focal_px is None else focal_px
    if mode == "static" or (mode == "auto" and stands_still(paths)):
        return _turned(paths, "static", focal, focal_source, np.tile(np.eye(3), (paths.frames, 1, 1)), _plain(paths))
    from builder.lifters.monocular.sfm import travelled

    if mode == "moving":
        return travelled(paths, focal, focal_source, known=focal_px is not None)
    turning = turn(paths, focal)
    found = focal_of_turn(paths, turning) if focal_px is None else None
    if found is not None:
        better = turn(paths, found)
        if better.share >= max(turning.share, TURN_SHARE):
            return _turned(paths, "rotating", found, "sfm", better.rotation)
    if turning.share > TURN_SHARE:
        return _turned(paths, "rotating", focal, focal_source, turning.rotation)
    try:
        return travelled(paths, focal, focal_source, known=focal_px is not None)
    except LiftError as error:
        if turning.share < TURN_DOUBT:
            raise
        doubt = f"the camera is taken only to turn, which explains {turning.share:.0%} of the background ({error})"
        return _turned(paths, "rotating", focal, focal_source, turning.rotation, (doubt,))


def _turned(paths: Paths, mode: str, focal: float, source: str, rotation: Floats, reasons: tuple[str, ...] = ()) -> Camera:
    return Camera(mode, focal, source, rotation, np.zeros((paths.frames, 3)), np.zeros((0, 3)), reasons)


def _plain(paths: Paths) -> tuple[str, ...]:
    few = np.mean(np.diff(paths.start) < FEW)
    return (f"the background shows nothing to follow in {few:.0%} of the frames; the camera is taken to stand still",) if few > 0.5 else ()


def stands_still(paths: Paths) -> bool:
    """Whether the background stays where it is, from each frame to the next and over a second; a plain one does."""
    if paths.frames < 2:
        return True
    second = min(paths.frames - 1, max(1, round(1 / max(float(np.median(np.diff(paths.time_s))), 1e-3))))
    for apart, bound in ((1, STILL_PX), (second, DRIFT_PX)):
        still = []
        for k in range(apart, paths.frames, max(1, apart // 5)):
            a, b = paths.both(k - apart, k)
            if len(a) >= FEW:
                still.append(np.median(np.linalg.norm(b - a, axis=1)) < bound * paths.pixel)
        if still and np.mean(still) <= STILL_SHARE:
            return False
    return True


def turn(paths: Paths, focal_px: float) -> Turning:
    """The camera's turning if it does nothing else: each frame against the last key frame, so that errors add up only from key to key."""
    rotation = np.tile(np.eye(3), (paths.frames, 1, 1))
    inliers = np.full(paths.frames, np.nan)
    pairs = []
    key = 0
    for k in range(1, paths.frames):
        a, b = paths.both(key, k)
        old = paths.time_s[k] - paths.time_s[key] > KEY_S
        if k - 1 > key and (old or len(a) < max(FEW, KEY_SHARE * (paths.start[key + 1] - paths.start[key]))):
            key = k - 1
            a, b = paths.both(key, k)
        if len(a) < FEW:
            rotation[k] = rotation[k - 1]
            key = k
            continue
        between, near = rotation_between(_rays(a, focal_px), _rays(b, focal_px), TURN_PX * paths.pixel / focal_px)
        rotation[k], inliers[k] = rotation[key] @ between, near.mean()
        pairs.append((key, k))
    return Turning(rotation, inliers, tuple(pairs))


def _rays(places: Floats, focal_px: float) -> Floats:
    flat = np.concatenate([places, np.full((len(places), 1), focal_px)], axis=1)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


def rotation_between(a: Floats, b: Floats, bound: float) -> tuple[Floats, Bools]:
    """The rotation (3, 3) that takes unit rays b (k, 3) to a (k, 3), and which of them it brings within `bound` (a small angle in radians).

    Iterated weighted least squares; the bound on what counts tightens from round to round, so a minority that moves otherwise is
    left out.
    """
    weight, rotation = np.ones(len(a)), np.eye(3)
    off = np.full(len(a), np.inf)
    for _ in range(ROUNDS):
        u, _, v = np.linalg.svd((a * weight[:, None]).T @ b)
        rotation = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
        off = np.linalg.norm(a - b @ rotation.T, axis=1)
        spread = max(bound / 2, 1.5 * float(np.median(off)))
        weight = 1 / (1 + (off / spread) ** 2) ** 2
    return rotation, off < bound


def focal_of_turn(paths: Paths, turning: Turning) -> float | None:
    """The focal length in pixels under which the points fit a turning camera best; None when it turns too little for that to show."""
    steps = np.linalg.norm(_vectors(turning.rotation), axis=1)
    if steps.max(initial=0.0) < np.radians(PAN_DEG):
        return None
    far = list(_widest(turning))
    places = [paths.both(a, b) for a, b in far]
    longest = max(paths.width, paths.height)

    def miss(focal: float) -> float:
        bound = TURN_PX * paths.pixel / focal
        total = 0.0
        for a, b in places:
            rays_a, rays_b = _rays(a, focal), _rays(b, focal)
            rotation, _ = rotation_between(rays_a, rays_b, bound)
            off = np.linalg.norm(rays_a - rays_b @ rotation.T, axis=1) / bound
            total += float(np.mean(off**2 / (1 + off**2)))
        return total / len(places)

    from scipy.optimize import minimize_scalar

    low, high = (np.log(share * longest) for share in FOCAL_RANGE)
    grid = np.linspace(low, high, 25)
    misses = [miss(float(np.exp(g))) for g in grid]
    best = int(np.argmin(misses))
    if best in (0, len(grid) - 1):
        return None
    within = grid[best - 1], grid[best + 1]
    found = minimize_scalar(lambda g: miss(float(np.exp(g))), bounds=within, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def _widest(turning: Turning) -> Iterator[tuple[int, int]]:
    """Of each key frame's pairs the one with the largest turn; pairs that hardly turn say nothing about the focal length."""
    best: dict[int, tuple[float, int]] = {}
    for a, b in turning.pairs:
        angle = float(np.linalg.norm(_vectors(turning.rotation[a].T @ turning.rotation[b][None])[0]))
        if angle > best.get(a, (0.0, 0))[0]:
            best[a] = angle, b
    wide = sorted(((angle, a, b) for a, (angle, b) in best.items()), reverse=True)
    for angle, a, b in wide[:20]:
        if angle > 0.3 * wide[0][0]:
            yield a, b


def _vectors(rotations: Floats) -> Floats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotations).as_rotvec())
