"""Other words for the same question: a table of phrases, each with what may stand in its place.

The last alternative of a phrase is kept out of training, so that a reader can be asked in sentences that it has never seen.  Replacing
never changes what is asked: bounds that are left out are those of the recipe.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

# phrase (a regular expression): (alternatives to learn, alternatives kept out)
PHRASES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        r"How many separate times does the person ",
        ("How often does the person ", "How many times does the person "),
        ("What is the number of times that they ",),
    ),
    (
        r"How many times does the person ",
        ("How often does the person ", "Count how many times they "),
        ("What number of times does this person ",),
    ),
    (
        r"^In which quarter of the video ",
        ("In what quarter of the clip ", "In which of the four quarters "),
        ("During which quarter of the clip ",),
    ),
    (r"^About how (far|long|many)", (r"How \1", r"Roughly how \1"), (r"Approximately how \1",)),
    (r"^By about how much ", ("By how much ", "How much "), ("By roughly how much ",)),
    (
        r"^What is about the greatest distance",
        ("What is the greatest distance", "How large is the greatest distance"),
        ("Roughly what is the greatest distance",),
    ),
    (r"^Does the person ", ("Did the person ", "Does this person "), ("Does it happen that they ",)),
    (r"^True or false: the person ", ("True or false: this person ", "Is it true that they "), ("True or false, they ",)),
    (
        r"^Which does the person do more often",
        ("Which do they do more times", "What does the person do more often"),
        ("Which of the two does this person do more often",),
    ),
    (
        r"^Which way does the person face",
        ("In which direction does the person face", "Where do they face"),
        ("In what direction does this person face",),
    ),
    (
        r"^Which of these (?:movements )?does the person ",
        ("What does the person ", "Which one of these does the person "),
        ("Which one of these do they ",),
    ),
    (r"^In which direction ", ("In what direction ", "Which way "), ("Along which direction ",)),
    (r"^To which side ", ("To what side ", "On which side "), ("To which of the sides ",)),
    (
        r"^Seen as the person stood at the start, ",
        ("From how they stood at the start, ", "As the person stood at the start, "),
        ("Seen from how the person stood at first, ",),
    ),
    (r"^Seen from above, ", ("From above, ", ""), ("As seen from above, ",)),
    (r"\bthe person\b", ("the person", "this person", "the subject"), ("the person in the clip",)),
    (r" at any point\b", (" at some point", " ever", ""), (" at any time",)),
    (r" at any moment\b", (" at some moment", " ever"), (" at any time",)),
    (r" \(by (\d+) (degrees|cm) or more\)", (r" (by at least \1 \2)", "", r" by \1 \2 or more"), (r" (at least \1 \2)",)),
    (r"\bin the video\b", ("in the clip", "over the whole video", ""), ("in this video",)),
    (r"\bover the whole video\b", ("in the video", "over the clip"), ("in the whole clip",)),
    (
        r"\bduring the (first|second|third|last) (quarter|half) of the video\b",
        (r"in the \1 \2", r"during the \1 \2"),
        (r"within the \1 \2 of the clip",),
    ),
    (r"\bthe last quarter\b", ("the fourth quarter", "the last quarter"), ("the last of the four quarters",)),
    (r"\bof the video\b", ("of the clip", "of the video"), ("of this video",)),
    (r"\bthe starting point\b", ("the start", "the place where they started"), ("the starting place",)),
    (r"\bin total\b", ("altogether", "in all"), ("as a total",)),
    (r"\bin one go\b", ("at once", "in one turn or move"), ("in one single go",)),
    (r"\bover the floor\b", ("on the floor", ""), ("across the floor",)),
    (r"\bturn (left|right)\b", (r"turn to the \1", r"rotate \1"), (r"rotate to the \1",)),
    (r"\bmove (forward|backward|left|right)\b", (r"go \1", r"walk \1"), (r"go in the direction \1",)),
    (r"\bfor the last time\b", ("last", "for the last time"), ("the last time",)),
    (r"\bbackward\b", ("backwards", "backward"), ("back",)),
)
RULES = tuple((re.compile(pattern), learnt, kept) for pattern, learnt, kept in PHRASES)


def reworded(text: str, draw: random.Random, kept_out: bool = False, share: float = 0.6) -> str:
    """The question in other words: each phrase that occurs is replaced with probability `share` (kept-out wordings: always)."""
    for pattern, learnt, kept in RULES:
        if pattern.search(text) and (kept_out or draw.random() < share):
            text = pattern.sub(draw.choice(kept if kept_out else learnt), text)
    return " ".join(text.split()).replace(" ?", "?").replace(" .", ".").replace(" ,", ",")


def learnt() -> Sequence[str]:
    """The texts of the alternatives to learn, so that a reader's vocabulary has their words."""
    return [re.sub(r"\\\d", "", text) for _, texts, _ in PHRASES for text in texts]
