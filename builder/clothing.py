"""What people wear, from what a captioner says about a few pictures of each; only what several pictures agree on counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Where a garment is worn, and the words for it; the first word of each line names it.
GARMENTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "body": (("dress", "gown"), ("suit",), ("overalls", "dungarees", "jumpsuit")),
    "top": (
        ("jacket", "blazer", "parka", "windbreaker", "anorak"),
        ("coat", "overcoat", "raincoat"),
        ("hoodie", "hooded sweatshirt"),
        ("sweater", "jumper", "pullover", "sweatshirt", "cardigan"),
        ("T-shirt", "t-shirt", "tshirt", "t shirt", "tee"),
        ("shirt", "blouse", "polo", "button-down", "button-up"),
        ("vest", "waistcoat", "gilet"),
        ("tank top",),
        ("top",),
    ),
    "legs": (
        ("jeans",),
        ("shorts",),
        ("leggings", "tights"),
        ("skirt",),
        ("trousers", "pants", "slacks", "joggers", "sweatpants", "chinos"),
    ),
    "head": (("cap", "baseball cap"), ("helmet",), ("beanie", "woolly hat"), ("hat",)),
}
OVER = {"body": ("body", "top"), "top": ("body", "top"), "legs": ("body", "legs"), "head": ("head",)}  # what may be called by another name
WITH = ("legs", "head")  # "the person with the black trousers", but "in the red jacket"
COLOURS = (
    "black", "white", "grey", "gray", "red", "maroon", "burgundy", "orange", "yellow", "gold", "beige", "cream", "tan", "khaki", "brown",
    "green", "olive", "teal", "turquoise", "blue", "navy", "purple", "violet", "pink",
)  # fmt: skip
SPELT = {"gray": "grey", "navy": "dark blue", "navy blue": "dark blue", "violet": "purple", "burgundy": "dark red", "maroon": "dark red"}
# Colours that two people should not be told apart by.
ALIKE = (
    {"black", "dark blue", "dark grey", "dark brown", "dark green"},
    {"white", "cream", "beige", "light grey", "tan", "khaki"},
    {"grey", "dark grey", "light grey"},
    {"red", "dark red", "pink", "orange"},
    {"blue", "light blue", "dark blue", "teal", "turquoise"},
    {"green", "olive", "teal", "turquoise", "light green", "dark green", "khaki"},
    {"brown", "dark brown", "light brown", "tan", "khaki", "beige"},
    {"yellow", "gold", "beige"},
    {"purple", "pink"},
)
SHARE = 0.5  # of the pictures that must agree

_COLOUR = rf"(?:(?:light|dark|bright|pale)[ -])?(?:navy blue|{'|'.join(COLOURS)})"
_NAMES = {word.lower(): (where, line[0]) for where, lines in GARMENTS.items() for line in lines for word in line}
_GARMENT = "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))
_PHRASE = re.compile(rf"\b({_COLOUR})(?: and (?:{_COLOUR}))?,?(?: (?!and\b|with\b|the\b|a\b)[a-z-]+){{0,2}}? ({_GARMENT})\b")


class Worn(NamedTuple):
    """One garment: where on the body, its name, its colour."""

    where: str
    garment: str
    colour: str

    @property
    def words(self) -> str:
        """How a question names who wears it."""
        return f"the person {'with' if self.where in WITH else 'in'} the {self.colour} {self.garment}"


def worn(caption: str) -> list[Worn]:
    """The garments of one colour that a caption names, the first of each place on the body."""
    found: dict[str, Worn] = {}
    text = " ".join(caption.lower().split())
    for match in _PHRASE.finditer(text):
        if " and " in match[0].partition(match[2])[0]:
            continue  # of two colours: which is meant is open
        where, garment = _NAMES[match[2]]
        found.setdefault(where, Worn(where, garment, _colour(match[1])))
    return list(found.values())


def _colour(text: str) -> str:
    words = text.replace("-", " ").replace("bright ", "").replace("pale ", "light ")
    shade, _, plain = words.rpartition(" ") if words != "navy blue" else ("", "", words)
    return SPELT.get(words) or f"{shade} {SPELT.get(plain, plain)}".strip()


def agreed(captions: Sequence[str]) -> list[Worn]:
    """What more than half of one person's pictures agree on, by place on the body and colour, the most often said first.

    The garment's name is the one said most often: a jacket is easily called a coat, a colour is not.
    """
    said = [garment for caption in captions for garment in worn(caption)]
    votes = Counter((one.where, one.colour) for one in said)
    out: list[Worn] = []
    for (where, colour), count in sorted(votes.items(), key=lambda item: (-item[1], list(GARMENTS).index(item[0][0]), item[0])):
        if count > SHARE * len(captions) and all(one.where != where for one in out):
            names = Counter(one.garment for one in said if (one.where, one.colour) == (where, colour))
            out.append(Worn(where, min(names, key=lambda name: (-names[name], name)), colour))
    return out


def singled_out(people: Sequence[Sequence[Worn]]) -> list[str | None]:
    """Words for each of several people by a garment in a colour that everybody else certainly does not wear there; else None.

    Others must be known to wear another, clearly different colour at the same place: what a captioner did not mention proves nothing.
    """
    return [next((one.words for one in person if _alone(one, [p for p in people if p is not person])), None) for person in people]


def _alone(one: Worn, others: Sequence[Sequence[Worn]]) -> bool:
    there = [[other for other in person if other.where in OVER[one.where]] for person in others]
    return bool(others) and all(found and all(_unlike(one.colour, other.colour) for other in found) for found in there)


def _unlike(a: str, b: str) -> bool:
    return a != b and not any({a, b} <= group for group in ALIKE)
