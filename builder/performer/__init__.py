"""Scripted people: what a body does (`actions`), how it is played at a frame rate (`stage`),
what it is told to do (`scripts`), and many of them as clips (`cast`).

    track = perform([Walk(3), Turn(90, 1.5), Wait(1), Walk(2, direction_deg=180)], fps=30, seed=7)

The truth of such a track is known from its script alone, which is what tests and the open sample need.
"""

from builder.performer.actions import (
    Action,
    Arc,
    Crouch,
    Jump,
    Lean,
    ReturnToStart,
    Run,
    Sit,
    Stairs,
    StandUp,
    Turn,
    Wait,
    Walk,
)
from builder.performer.cast import cast_clips, cast_reference
from builder.performer.scripts import FILMED, Plan, draw_script
from builder.performer.stage import Beat, perform, timeline

__all__ = [
    "FILMED",
    "Action",
    "Arc",
    "Beat",
    "Crouch",
    "Jump",
    "Lean",
    "Plan",
    "ReturnToStart",
    "Run",
    "Sit",
    "Stairs",
    "StandUp",
    "Turn",
    "Wait",
    "Walk",
    "cast_clips",
    "cast_reference",
    "draw_script",
    "perform",
    "timeline",
]
