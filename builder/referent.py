"""Words by which a question says whom it means when several people are in view."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = 0.38, 0.62  # of the picture's width: left of the one, right of the other, and the middle between them
APART = 0.1  # of the picture's width between two people on one side whom their places tell apart
WORDS = {
    "left": "the person who first appears on the left of the picture",
    "middle": "the person who first appears in the middle of the picture",
    "right": "the person who first appears on the right of the picture",
    "lefter": "the person who first appears further to the left",
    "righter": "the person who first appears further to the right",
}


def by_place(places: Sequence[float | None]) -> list[str | None]:
    """Words for each of several people from where they first appear, 0 (left) to 1 of the picture's width; None is unknown.

    None for one person alone, who needs none, and for people whom their places do not tell apart.
    """
    known = [x for x in places if x is not None]
    if len(known) < len(places) or len(places) < 2:
        return [None] * len(places)
    sides = ["left" if x < SIDES[0] else "right" if x > SIDES[1] else "middle" for x in known]
    if len(known) == 2 and sides[0] == sides[1] and abs(known[0] - known[1]) >= APART:
        sides = ["lefter", "righter"] if known[0] < known[1] else ["righter", "lefter"]
    return [WORDS[side] if sides.count(side) == 1 else None for side in sides]
