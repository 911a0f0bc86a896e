"""What the default lifter costs: `python tests/benchmarks/lift.py [--memory]` prints tables; nothing is asserted.

Side by side on packaged clips: the time of a whole lift, and of the pose network alone on the same frames.  With `--memory` also the
peak memory of lifting 15 and 60 seconds of 1080p.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from builder.lifters import monocular  # noqa: E402
from builder.lifters.monocular.blazepose import BlazePose, roi_from_points  # noqa: E402
from builder.lifters.monocular.weights import find  # noqa: E402
from builder.sources import sample  # noqa: E402
from builder.video import read_frames, write_clip  # noqa: E402

ROUNDS = 5  # in turn, the fastest of each counts: a busy moment of the machine would else decide
CLIPS = ("there_and_back", "side_steps", "run_and_stop", "loop", "curve")
PEAK = """
import sys
from pathlib import Path
from builder.lifters import monocular
from builder.sources import folder
tracks = monocular.load(camera="static")(folder.whole(Path(sys.argv[1])))
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print(len(tracks), int(peak.split()[1]) // 1024)  # getrusage would count what the parent held when it started this
"""


def network_seconds(video: Path, network: BlazePose) -> float:
    """The pose network alone, once per frame on a region in the middle of the picture."""
    frames = [frame.image for frame in read_frames(video, longest_side=960)]
    height, width = frames[0].shape[:2]
    roi = roi_from_points(np.array([width / 2, height / 2]), np.array([width / 2, height / 8]))
    started = time.perf_counter()
    for image in frames:
        network.landmarks(image, roi)
    return time.perf_counter() - started


def speed() -> None:
    """Seconds of a lift against those of the network, the least of some rounds of each in turn."""
    network = BlazePose(find(None))
    lift = monocular.load()
    print(f"{'clip':16} {'camera':>10} {'frames':>7} {'network s':>10} {'lift s':>8} {'ratio':>6}")
    for clip in sample.clips():
        if clip.sequence in CLIPS and clip.video is not None:
            alone, whole = [], []
            for _ in range(ROUNDS):
                alone.append(network_seconds(clip.video, network))
                started = time.perf_counter()
                (track, *_) = lift(clip)
                whole.append(time.perf_counter() - started)
            mode = track.provenance["camera_mode"]
            ratio = min(whole) / min(alone)
            print(f"{clip.sequence:16} {mode:>10} {clip.num_frames:>7} {min(alone):>10.2f} {min(whole):>8.2f} {ratio:>6.2f}", flush=True)


def memory() -> None:
    """Peak memory of a process that lifts a long 1080p clip."""
    import cv2

    (source,) = [clip for clip in sample.clips() if clip.sequence == "there_and_back"]
    assert source.video is not None
    large = [cv2.resize(frame.image, (1920, 1080)) for frame in read_frames(source.video)]
    there_and_back = [*large, *large[::-1]]
    for seconds in (15, 60):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "long.mp4"
            write_clip(path, (there_and_back[n % len(there_and_back)] for n in range(30 * seconds)), 30)
            run = subprocess.run([sys.executable, "-c", PEAK, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
        people, peak = run.stdout.split()
        print(f"{seconds} s of 1080p: {people} people, peak {peak} MB")


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    speed()
    if "--memory" in sys.argv:
        memory()
