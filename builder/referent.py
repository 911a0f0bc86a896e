"""Words by which a question says whom it means when several people are in view."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = 0.38, 0.62  # of the picture's width: left of the one, right of the other, and the middle between them
APART = 0.1  # of the picture's width between two people whom their places tell apart


def by_place(places: Sequence[float | None]) -> list[str | None]:
    """Words for each of several people from where they first appear, 0 (left) to 1 of the picture's width; None is unknown.

    None for one person alone, who needs none, and for people whom their places do not tell apart.
    """
    if len(places) < 2:
        return [None] * len(places)
    sides = [None if x is None else "left" if x < SIDES[0] else "right" if x > SIDES[1] else "middle" for x in places]
    if len(places) == 2 and None not in places and abs(places[0] - places[1]) >= APART:  # type: ignore[operator]
        sides = ["left", "right"] if places[0] < places[1] else ["right", "left"]  # type: ignore[operator]
    known = None not in sides
    return [_words(side) if side is not None and known and sides.count(side) == 1 else None for side in sides]


def _words(side: str) -> str:
    return f"the person who first appears {'in the middle' if side == 'middle' else f'on the {side}'} of the picture"
