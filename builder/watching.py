"""What a model is shown: one clip, once, with all the questions about it; and what it replies.

A model plugin gives `load(checkpoint, **options)`, which returns a callable `(Watch, prompts) -> replies`.  It is called once
per clip, may keep what it made of the frames for all prompts, and yields at most one Reply per prompt, in any order, each as
soon as it is known.  It never sees which option is right.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from builder import plugins
from builder.types import Floats, Question, Track

SEES = ("video", "frames", "file", "track", "text", "nothing")  # what a model's ABOUT may say that it sees
SHOWN_FRAMES = ("video", "frames")
MODES = ("video", "blind", "shuffled", "reversed", "first-frame", "track-text")
FRAMES, PIXELS = 64, 65_536  # as in the paper's training: 64 frames of at most 256 x 256 pixels
VARIABLE = "HUMANMOVEVQA_VIDEO_DIR"
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class Watch:
    """One clip as a model is shown it.

    `frames` (N, H, W, 3) uint8 RGB and `times_s` (N,), seconds after the clip's first frame, ascending; None in modes without a
    picture.  `fps` and `duration_s` are the file's.  `video` is the file, for models that a file is shown.  `tracks` has the
    track of each person, for models that see tracks.
    """

    video_id: str
    frames: NDArray[np.uint8] | None = None
    times_s: Floats | None = None
    fps: float = 0.0
    duration_s: float = 0.0
    video: Path | None = None
    tracks: Mapping[str, Track] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a model said to the prompt `key`.  `finish`: "stop", "length" (cut off), "refused" or "error".

    `scores` are log-probabilities of the shown options where they were measured; `tokens` are those read and written.
    """

    key: str
    text: str
    finish: str = "stop"
    scores: tuple[float, ...] | None = None
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class Prompt:
    """One question as it is put: `system` and `text` (options included), the `options` as shown, and the question without its
    answer and evidence (`answer` is -1)."""

    key: str
    system: str
    text: str
    options: tuple[str, ...]
    question: Question

    def reply(self, text: str, finish: str = "stop", **more: Any) -> Reply:
        """A Reply to this prompt."""
        return Reply(self.key, text, finish, **more)


Model = Callable[[Watch, Sequence[Prompt]], Iterable[Reply]]


def sealed(question: Question, rotation: int = 0) -> Question:
    """The question without its answer and evidence, its options turned by `rotation`."""
    return replace(question, answer=-1, evidence={}, options=rotated(question.options, rotation))


def rotated(options: Sequence[str], rotation: int) -> tuple[str, ...]:
    """The options from place `rotation` on, the first ones behind the last."""
    return (*options[rotation:], *options[:rotation])


@dataclass(frozen=True)
class Shown:
    """How clips are shown: the mode, the number of frames, and the most pixels of one frame."""

    mode: str = "video"
    frames: int = FRAMES
    pixels: int = PIXELS


@dataclass(frozen=True)
class Footage:
    """A clip's file and the part of it that is the clip, in seconds (None: to the end)."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None


def footage(items: Iterable[Any], root: Path | None) -> tuple[dict[str, Footage], dict[str, str]]:
    """(video_id -> where its clip is, video_id -> where it was looked for in vain).

    A clip lies at its `video_path` under `root`; the packaged sample's own clips serve where there is none.
    """
    found: dict[str, Footage] = {}
    missing: dict[str, str] = {}
    packaged = {clip.clip_id: clip for clip in plugins.load("sources", "sample").clips()}
    for item in items:
        if item.video_id in found or item.video_id in missing:
            continue
        path = (root or Path()) / item.video_path  # an absolute path stays what it is
        clip = packaged.get(item.video_id) if item.source == "sample" else None
        if (root is not None or path.is_absolute()) and path.is_file():
            found[item.video_id] = Footage(path)
        elif clip is not None and clip.video is not None and item.start_frame is not None and item.end_frame is not None:
            first, last = (item.start_frame - clip.start_frame) / clip.fps, (item.end_frame - clip.start_frame) / clip.fps
            found[item.video_id] = Footage(clip.video, first, None if item.end_frame == clip.end_frame else last)
        else:
            missing[item.video_id] = str(path)
    return found, missing


def look(video_id: str, where: Footage, shown: Shown) -> Watch:
    """Decode a clip as `shown`: frames evenly from its first to its last, each at most `shown.pixels`.  Raises VideoError."""
    from builder import video

    info = video.probe(where.path)
    end_s = info.duration_s if where.end_s is None else min(where.end_s, info.duration_s)
    last_s = max(where.start_s, end_s - 1.0 / info.fps)
    there = max(1, round((last_s - where.start_s) * info.fps) + 1)
    count = 1 if shown.mode == "first-frame" else min(shown.frames, there)
    scale = math.sqrt(shown.pixels / (info.width * info.height))
    longest = max(1, math.floor(scale * max(info.width, info.height))) if scale < 1 else None
    frames, times_s = video.sample_frames(where.path, np.linspace(where.start_s, last_s, count).tolist(), longest)
    return Watch(video_id, ordered(frames, shown.mode, video_id), times_s - where.start_s, info.fps, end_s - where.start_s, where.path)


def ordered(frames: NDArray[np.uint8], mode: str, video_id: str) -> NDArray[np.uint8]:
    """The frames in the order that the mode shows them in; times stay where they are.  Shuffling is seeded by the clip."""
    if mode == "reversed":
        return np.ascontiguousarray(frames[::-1])
    if mode == "shuffled":
        seed = int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:8], "big")
        return frames[np.random.default_rng(seed).permutation(len(frames))]
    return frames


def prefetched(jobs: Sequence[A], work: Callable[[A], B], ahead: int = 1) -> Iterator[tuple[A, Callable[[], B]]]:
    """Each job with a function that waits for its result, while a thread already works on the next `ahead`."""
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as pool:
        try:
            for n, job in enumerate(jobs):
                while n + len(waiting) < min(len(jobs), n + ahead + 1):
                    waiting.append(pool.submit(work, jobs[n + len(waiting)]))
                yield job, waiting.popleft().result
        finally:
            for future in waiting:
                future.cancel()
