"""The packaged sample: a dozen short films of every kind of motion and camera, with their truth.

python -m builder.render.sample [NAME ...]     # writes builder/clips/<name>.mp4 and .npz, all of them by default
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder.performer import Action, Arc, Crouch, Jump, Lean, ReturnToStart, Run, Sit, StandUp, Turn, Wait, Walk, perform
from builder.render.cameras import picture_size
from builder.render.film import film, truth
from builder.store import write_track
from builder.types import Clip

FOLDER = Path(__file__).resolve().parent.parent / "clips"
FPS, CRF = 30.0, 30.0
# name: the kind of camera, and what the person does
FILMS: dict[str, tuple[str, tuple[Action, ...]]] = {
    "there_and_back": ("static", (Wait(0.6), Walk(2.4), Turn(180, 2.0), Walk(2.4), Wait(0.8))),
    "side_steps": ("static", (Wait(1.0), Walk(1.3, 90, 0.8), Wait(0.8), Walk(1.9, -90, 0.8), Wait(0.8), Turn(90, 1.4), Wait(0.6))),
    "sit_down": ("static", (Walk(1.5), Turn(90, 1.4), Wait(0.5), Sit(1.5), StandUp(), Wait(0.4), Walk(1.2), Wait(0.6))),
    "backing_away": ("panning", (Wait(0.8), Walk(2.2, 180, 0.9), Wait(0.7), Turn(-90, 1.4), Walk(2.0), Wait(0.7))),
    "jumps": (
        "panning",
        (Walk(1.6), Wait(0.6), Jump(0.35), Wait(0.6), Jump(0.3, 0.7, 0), Wait(0.5), Turn(-120, 1.8), Walk(1.4), Wait(0.5)),
    ),
    "run_and_stop": ("panning", (Wait(0.7), Run(4.5, 2.6), Wait(0.8), Turn(180, 1.8), Walk(2.0), Wait(0.7))),
    "loop": ("handheld", (Wait(0.6), Arc(6.0, 360, 1.1), Wait(0.6), Walk(1.5), Wait(0.6))),
    "leans": ("handheld", (Walk(1.2), Wait(0.6), Lean(pitch_deg=42), Wait(0.6), Lean(roll_deg=36), Wait(0.6), Walk(1.3), Wait(0.5))),
    "zigzag": ("handheld", (Walk(1.8), Turn(90, 1.3), Walk(1.6), Turn(-90, 1.3), Walk(1.6), Wait(0.6))),
    "curve": ("following", (Wait(0.5), Walk(1.6), Arc(2.6, -180, 1.0), Walk(1.6), Wait(0.6))),
    "crouch": ("following", (Walk(2.2), Wait(0.5), Crouch(0.5, 0.9), Wait(0.5), Turn(135, 1.8), Walk(1.8), Wait(0.5))),
    "home_again": ("following", (Walk(2.6), Turn(-90, 1.3), Walk(1.8), Wait(0.6), ReturnToStart(1.2), Wait(0.6))),
}


def make(name: str, folder: Path = FOLDER) -> None:
    """Film one of `FILMS` into `folder`, with its truth beside it.  Raises SetupError, VideoError."""
    kind, script = FILMS[name]
    clip_id = f"sample/{name}"
    track = perform(script, FPS, seed=clip_id, clip_id=clip_id)
    width, height = picture_size(kind, clip_id)
    clip = Clip(
        clip_id=clip_id,
        source="sample",
        sequence=name,
        fps=FPS,
        start_frame=0,
        end_frame=track.num_frames,
        num_frames=track.num_frames,
        group=clip_id,
        redistribution="open",
        width=width,
        height=height,
        camera="static" if kind == "static" else "moving",
        meta={"camera_kind": kind},
    )
    film(track, clip, folder / f"{name}.mp4", crf=CRF)
    true = truth(track, clip)
    assert true.joints_m is not None
    write_track(folder / f"{name}.npz", replace(true, joints_m=true.joints_m.astype(np.float32).astype(float).round(4)), clip)


if __name__ == "__main__":
    for name in sys.argv[1:] or FILMS:
        make(name)
        print(FOLDER / f"{name}.mp4", file=sys.stderr)
