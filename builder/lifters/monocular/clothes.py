"""What people wear, in words: colours by which a question can say whom it means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from builder.lifters.monocular.records import Person
from builder.types import Floats

Image = NDArray[np.uint8]

HIPS = (23, 24)
UNLIKE = 45.0  # colours nearer than this are not told apart in words
SIDES = 0.38, 0.62  # of the picture's width: left of the one, right of the other, and the middle between them

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (25, 25, 28),
    "dark grey": (70, 70, 72),
    "grey": (128, 128, 128),
    "light grey": (190, 190, 190),
    "white": (240, 240, 240),
    "red": (185, 35, 40),
    "dark red": (100, 25, 32),
    "orange": (225, 115, 35),
    "yellow": (225, 200, 60),
    "beige": (205, 185, 150),
    "brown": (105, 70, 45),
    "green": (50, 130, 60),
    "dark green": (30, 65, 45),
    "light green": (150, 200, 130),
    "teal": (35, 130, 135),
    "light blue": (140, 185, 225),
    "blue": (45, 90, 175),
    "dark blue": (30, 40, 85),
    "purple": (110, 60, 140),
    "pink": (225, 140, 170),
}


def worn(image: Image, landmarks_px: Floats) -> Floats:
    """Median colours (2, 3) over the trunk and over the thighs in one picture; NaN outside of it."""
    at = landmarks_px
    left, right, hip_l, hip_r = at[11], at[12], at[23], at[24]
    share = np.linspace(0.2, 0.8, 5)
    trunk = [(left + a * (right - left)) * (1 - d) + (hip_l + a * (hip_r - hip_l)) * d for a in share for d in share]
    thighs = [hip + d * (knee - hip) for hip, knee in ((hip_l, at[25]), (hip_r, at[26])) for d in np.linspace(0.25, 0.85, 8)]
    return np.stack([_median_at(image, np.array(points)) for points in (trunk, thighs)])


def median_colours(samples: Sequence[Floats]) -> Floats:
    """Median colours (2, 3) above and below the waist over samples (2, 3); NaN where nothing was seen."""
    out = np.full((2, 3), np.nan)
    for part in (0, 1):
        seen = [sample[part] for sample in samples if np.isfinite(sample[part]).all()]
        if seen:
            out[part] = np.median(seen, axis=0)
    return out


def _median_at(image: Image, points: Floats) -> Floats:
    column, row = np.rint(points).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < image.shape[1]) & (row < image.shape[0])
    return np.median(image[row[inside], column[inside]], axis=0) if inside.any() else np.full(3, np.nan)


def colour_name(rgb: Floats) -> str | None:
    """The nearest plain colour word, None for NaN; lightness counts less than hue, because shade changes it."""
    if not np.isfinite(rgb).all():
        return None
    words = list(COLOURS)
    return words[int(np.argmin(((_opponent(np.array(list(COLOURS.values()), float)) - _opponent(rgb)) ** 2).sum(axis=-1)))]


def _opponent(rgb: Floats) -> Floats:
    """Lightness, red-green and yellow-blue, the colours weighed up."""
    r, g, b = np.moveaxis(np.asarray(rgb, float), -1, 0)
    return np.stack([0.6 * (0.3 * r + 0.6 * g + 0.1 * b), r - g, (r + g) / 2 - b], axis=-1)


def referents(colours: Sequence[Floats], people: Sequence[Person], width: int) -> list[str | None]:
    """Words that single out each of several people: clothes nobody else wears, else the side of the picture where they first appear.

    None for one person alone, who needs none, and for people who cannot be told apart in words.
    """
    if len(people) < 2:
        return [None] * len(people)
    worn = [tuple(colour_name(part) for part in c) for c in colours]
    firsts = [p.landmarks_px[int(p.seen.argmax()), list(HIPS), 0].mean() / width for p in people]
    places = ["left" if x < SIDES[0] else "right" if x > SIDES[1] else "middle" for x in firsts]
    out: list[str | None] = []
    for k in range(len(people)):
        others = [j for j in range(len(people)) if j != k]
        text = None
        for part, garment in ((0, "top"), (1, "trousers")):
            clear = all(_unlike(colours[k][part], colours[j][part]) for j in others)
            if text is None and worn[k][part] and clear and all(worn[k][part] != worn[j][part] for j in others):
                text = f"the person in the {worn[k][part]} top" if garment == "top" else f"the person with the {worn[k][part]} {garment}"
        if text is None and places.count(places[k]) == 1:
            text = f"the person who first appears {'in the middle' if places[k] == 'middle' else f'on the {places[k]}'} of the picture"
        out.append(text)
    return out


def _unlike(a: Floats, b: Floats) -> bool:
    """Whether two colours differ enough for words; an unseen one differs from nothing."""
    return bool(np.linalg.norm(_opponent(a) - _opponent(b)) > UNLIKE)
