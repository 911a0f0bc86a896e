"""What a visitor may bring, and what it may cost: one table for the checks, the page's words and the tests."""

from __future__ import annotations

from typing import NamedTuple

MB = 1024 * 1024
FILE_BYTES = 50 * MB
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm")
TRACK_SUFFIXES = (".npz",)
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")
CONTAINERS = ("mov", "matroska")  # how ffmpeg calls mp4 and mov, and webm
SECONDS = (1.0, 30.0)
READ_SECONDS = 600.0  # of a longer clip the first 30 s can be taken, of a still longer one nothing
FPS = (10.0, 120.0)
SIDE = 2560
PIXELS = 2560 * 1440
SHOWN_SIDE = 960  # the longest side of the copy that is lifted and shown; the lifter looks at no more
SHOWN_PRESET = "ultrafast"  # of x264, for that copy: of the processor time that a lift takes, "medium" would cost a third more
TRACK_MEMBERS = 64
TRACK_BYTES = 64 * MB  # unpacked
TRACK_FRAMES = 14_400
TRACK_SECONDS = 120.0
PEOPLE = 4
TURNS = 8  # questions that the page keeps
WAITING = 8  # clips in the line behind the one that is lifted
ASKING = 16  # questions in the line before one model
SILENT_S = 300.0  # how long a model may say nothing, loading included
VISITS = 64  # visitors whose clip is kept in memory
KEPT_S = 3600.0  # how long anything of a visitor stays on disk
SWEEP_S = 60.0


class Bound(NamedTuple):
    """What a process of ours may use: seconds by the clock, seconds of processor, bytes of memory."""

    wall_s: float
    cpu_s: int
    memory: int


BOUNDS = {
    "check": Bound(20.0, 20, 2048 * MB),
    "track": Bound(30.0, 30, 2048 * MB),
    "prepare": Bound(90.0, 150, 3072 * MB),
    "lift": Bound(420.0, 900, 8192 * MB),
}
