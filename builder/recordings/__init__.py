"""What datasets of recorded people share: fits of a body in some frame, cameras, image folders; and the way from these to clips
and ground-truth tracks in one +Y-up world.

A source reads its own layout into a `Recording`; everything after that is here.  A recording that cannot be read still becomes a
clip, which carries the reason: a build lists it as skipped and loses nothing else.
"""

from builder.recordings.cutting import FASTEST_M_S, VIDEOS, clips, cut_into_clips, film_of, filmed, need_whole, tracks
from builder.recordings.reading import circles, numbers, read_fits, rigid, root_of, rotation, stamp
from builder.recordings.records import MODELS, Attempts, Broken, Fit, Found, Person, Recording, View, World, attempt

__all__ = [
    "FASTEST_M_S",
    "MODELS",
    "VIDEOS",
    "Attempts",
    "Broken",
    "Fit",
    "Found",
    "Person",
    "Recording",
    "View",
    "World",
    "attempt",
    "circles",
    "clips",
    "cut_into_clips",
    "film_of",
    "filmed",
    "need_whole",
    "numbers",
    "read_fits",
    "rigid",
    "root_of",
    "rotation",
    "stamp",
    "tracks",
]
