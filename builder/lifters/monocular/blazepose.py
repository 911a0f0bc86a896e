"""BlazePose on LiteRT: finds people in a picture (detector) and the landmarks of one person in a turned square (landmark network).

A region of interest is (x, y, side, angle): its centre and side in pixels, and the angle in radians by which the person is turned
clockwise in the picture; upright people have angle 0.  The constants are those of MediaPipe's pose graphs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.lifters.monocular.records import LANDMARKS
from builder.types import Floats, SetupError

DETECTOR_PX, LANDMARK_PX = 224, 256
STRIDES = (8, 16, 32, 32, 32)  # of the detector's layers; every cell of each has two anchors in its middle
SCORE_MIN = 0.5
OVERLAP_MAX = 0.3  # of two detections that are not the same person
ROI_MARGIN = 1.25
HEATMAP_REACH = 3  # cells about a landmark over which its heatmap refines it
HEATMAP_MIN = 0.5
THREADS = 2  # fixed, so that sums are taken in one order on every machine

Image = NDArray[np.uint8]


class Pose(NamedTuple):
    """Landmarks of one person in one picture.

    landmarks_px (33, 2) pixels; visibility (33,) 0-1; landmarks_m (33, 3) metres about the middle of the hips, axes of the
    picture (x right, y down, z away); score 0-1; roi (4,) where to look in the next picture.
    """

    landmarks_px: Floats
    visibility: Floats
    landmarks_m: Floats
    score: float
    roi: Floats


def anchors() -> Floats:
    """Centres (2254, 2) of the detector's anchors, 0-1 across and down, in the order of its outputs."""
    out = []
    for stride in sorted(set(STRIDES)):
        cells = DETECTOR_PX // stride
        middle = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
        out.append(np.repeat(grid, 2 * STRIDES.count(stride), axis=0))
    return np.concatenate(out)


def roi_from_points(centre: Floats, rim: Floats) -> Floats:
    """Regions (..., 4) about `centre` (..., 2) whose half side reaches `rim` (..., 2), a point above the head of an upright person."""
    across, down = np.moveaxis(rim - centre, -1, 0)
    side = 2 * ROI_MARGIN * np.hypot(across, down)
    angle = (np.pi / 2 - np.arctan2(-down, across) + np.pi) % (2 * np.pi) - np.pi
    return np.concatenate([centre, side[..., None], angle[..., None]], axis=-1)


def roi_matrix(roi: Floats) -> Floats:
    """The affine map (2, 3) from the unit square of a region (its own upright picture, 0-1) to pixels of the picture."""
    x, y, side, angle = roi
    c, s = side * np.cos(angle), side * np.sin(angle)
    return np.array([[c, -s, x - (c - s) / 2], [s, c, y - (s + c) / 2]])


def overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4): left, top, right, bottom."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=-1) for box in (a, b))
    return np.asarray(shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9))


def roi_boxes(rois: Floats) -> Floats:
    """Upright boxes (N, 4) of half a region's side each way: about what the body fills."""
    half = rois[:, 2:3] / (2 * ROI_MARGIN)
    return np.concatenate([rois[:, :2] - half, rois[:, :2] + half], axis=1)


def packages() -> tuple[Any, Any]:
    """OpenCV and LiteRT's interpreter.  Raises SetupError without them."""
    try:
        import cv2
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]
    except ImportError as error:
        raise SetupError(f"lifting needs LiteRT and OpenCV ({error}); run: pip install 'humanmovevqa[lift]'") from None
    return cv2, Interpreter


class BlazePose:
    """Both networks, loaded once; calls are pure but not to be made from several threads at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises SetupError without LiteRT or OpenCV."""
        self._cv2, interpreter = packages()
        self._detector = _Network(interpreter, folder / "pose_detection.tflite")
        self._landmarks = _Network(interpreter, folder / "pose_landmark_full.tflite")
        self._anchors = anchors()

    def detect(self, image: Image, window: tuple[int, int, int] | None = None) -> tuple[Floats, Floats]:
        """Regions (N, 4) of the people found and their scores (N,), best first, in a square `window` (left, top, side) of the picture.

        Without a window the whole picture is looked at; people far under a sixth of the window's side in height are missed.
        """
        height, width = image.shape[:2]
        side = max(height, width)
        left, top, side = window or ((width - side) // 2, (height - side) // 2, side)
        scale = side / DETECTOR_PX
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        to_square = np.array([[1 / scale, 0, (x0 - left) / scale], [0, 1 / scale, (y0 - top) / scale]])
        part: Any = image[y0:y1, x0:x1]
        if scale > 1:  # an area filter first, for bilinear samples alone would skip pixels
            small = max(1, round((x1 - x0) / scale)), max(1, round((y1 - y0) / scale))
            to_square[:, :2] *= [(x1 - x0) / small[0], (y1 - y0) / small[1]]
            part = self._cv2.resize(part, small, interpolation=self._cv2.INTER_AREA)
        square = self._cv2.warpAffine(part, to_square, (DETECTOR_PX, DETECTOR_PX))
        outputs = self._detector(square.astype(np.float32) / 127.5 - 1.0)
        raw, logits = outputs[(2254, 12)], outputs[(2254, 1)][:, 0]
        scores = _sigmoid(logits.astype(float))
        good = np.flatnonzero(scores >= SCORE_MIN)
        order = good[np.argsort(-scores[good], kind="stable")]
        values, scores = raw[order].astype(float) / DETECTOR_PX, scores[order].astype(float)
        points = (values.reshape(-1, 6, 2)[:, [0, 2, 3]] + self._anchors[order][:, None]) * side + [left, top]
        extent = values[:, 2:4] * side
        boxes = np.concatenate([points[:, 0] - extent / 2, points[:, 0] + extent / 2], axis=1)
        rois = roi_from_points(points[:, 1], points[:, 2])
        return _suppressed(boxes, rois, scores)

    def landmarks(self, image: Image, roi: Floats) -> Pose:
        """The pose of the person in a region; its score says whether there is one."""
        cv2 = self._cv2
        to_pixels = roi_matrix(roi) / [[LANDMARK_PX, LANDMARK_PX, 1]]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, to_pixels, (LANDMARK_PX, LANDMARK_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        outputs = self._landmarks(crop.astype(np.float32) / 255.0)
        raw = outputs[(195,)].reshape(39, 5).astype(float)
        at = _refined(raw[:, :2] / LANDMARK_PX, outputs[(64, 64, 39)])
        pixels = at @ roi_matrix(roi)[:, :2].T + roi_matrix(roi)[:, 2]
        metres = outputs[(117,)].reshape(39, 3)[:LANDMARKS].astype(float)
        c, s = np.cos(roi[3]), np.sin(roi[3])
        metres[:, :2] = metres[:, :2] @ np.array([[c, s], [-s, c]])
        return Pose(
            landmarks_px=pixels[:LANDMARKS],
            visibility=_sigmoid(np.minimum(raw[:LANDMARKS, 3], raw[:LANDMARKS, 4])),
            landmarks_m=metres,
            score=float(outputs[(1,)][0]),
            roi=roi_from_points(pixels[33], pixels[34]),
        )


class _Network:
    """One tflite model: a picture (H, W, 3) in, its outputs by shape (without the leading 1) out."""

    def __init__(self, interpreter: Any, file: Path) -> None:
        with _without_chatter():
            self._run = interpreter(str(file), num_threads=THREADS)
            self._run.allocate_tensors()
        self._input = self._run.get_input_details()[0]["index"]
        self._outputs = [(d["index"], tuple(int(n) for n in d["shape"][1:])) for d in self._run.get_output_details()]

    def __call__(self, picture: NDArray[np.float32]) -> dict[tuple[int, ...], NDArray[np.float32]]:
        self._run.set_tensor(self._input, picture[None])
        self._run.invoke()
        return {shape: self._run.get_tensor(index)[0] for index, shape in self._outputs}


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep LiteRT's INFO lines, which it writes past Python and has no switch for, from the terminal; all else is let through."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no terminal to keep clean
        yield
        return
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                said.seek(0)
                rest = b"".join(line for line in said if not line.startswith(b"INFO: "))
                os.write(2, rest)
    finally:
        os.close(kept)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -100, 100))))


def _suppressed(boxes: Floats, rois: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """One region and score per person: overlapping detections, best first, are averaged by score."""
    found, kept = [], []
    left = np.arange(len(scores))
    while left.size:
        same = overlap(boxes[left[:1]], boxes[left])[0] > OVERLAP_MAX
        same[0] = True
        group = left[same]
        weight = scores[group] / scores[group].sum()
        near = rois[group]
        near[:, 3] = near[0, 3] + (near[:, 3] - near[0, 3] + np.pi) % (2 * np.pi) - np.pi
        found.append(weight @ near)
        kept.append(scores[left[0]])
        left = left[~same]
    return np.array(found).reshape(-1, 4), np.array(kept)


def _refined(at: Floats, heatmap: NDArray[np.float32]) -> Floats:
    """Landmarks (39, 2), 0-1, moved to the centre of mass of their heatmaps (64, 64, 39) nearby, where these are sure enough."""
    size = heatmap.shape[0]
    cell = np.trunc(at * size).astype(int)
    near = cell[:, None] + np.arange(-HEATMAP_REACH, HEATMAP_REACH + 1)[:, None]  # (39, 7, 2): columns and rows about each
    inside = (near >= 0) & (near < size)
    column, row = np.moveaxis(np.clip(near, 0, size - 1), -1, 0)
    sure = _sigmoid(heatmap[row[:, :, None], column[:, None], np.arange(len(at))[:, None, None]].astype(float))
    sure *= inside[:, :, None, 1] & inside[:, None, :, 0]
    good = ((cell >= 0) & (cell < size)).all(axis=1) & (sure.max(axis=(1, 2)) >= HEATMAP_MIN)
    across, down = sure.sum(axis=1), sure.sum(axis=2)
    centre = np.stack([(across * near[:, :, 0]).sum(axis=1), (down * near[:, :, 1]).sum(axis=1)], axis=1)
    return np.where(good[:, None], centre / np.maximum(sure.sum(axis=(1, 2)), HEATMAP_MIN)[:, None] / size, at)
