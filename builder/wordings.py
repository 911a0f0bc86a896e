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
        (
            "How often does the person ",
            "How many times does the person ",
            "On how many occasions does the person ",
            "Count the separate times that the person ",
        ),
        ("What is the number of times that they ",),
    ),
    (
        r"How many times does the person ",
        ("How often does the person ", "Count how many times they ", "On how many occasions does this person ", "How many times do they "),
        ("What number of times does this person ",),
    ),
    (
        r"^In which quarter of the video ",
        (
            "In what quarter of the clip ",
            "In which of the four quarters ",
            "In which fourth of the video ",
            "During what quarter of the video ",
            "In which quarter ",
        ),
        ("During which quarter of the clip ",),
    ),
    (r"^About how (far|long|many)", (r"How \1", r"Roughly how \1", r"Around how \1", r"More or less how \1"), (r"Approximately how \1",)),
    (r"^By about how much ", ("By how much ", "How much ", "By around how much ", "By what amount "), ("By roughly how much ",)),
    (
        r"^What is about the greatest distance",
        ("What is the greatest distance", "How large is the greatest distance", "About what is the largest distance"),
        ("Roughly what is the greatest distance",),
    ),
    (
        r"^Does the person ",
        ("Did the person ", "Does this person ", "Do they ", "Is it so that they ", "Can the person be seen to ", "Does someone "),
        ("Does it happen that they ",),
    ),
    (
        r"^True or false: the person ",
        (
            "True or false: this person ",
            "Is it true that they ",
            "Is this true: they ",
            "Say whether this is true or false: the person ",
            "Right or wrong: they ",
        ),
        ("True or false, they ",),
    ),
    (
        r"^Which does the person do more often",
        (
            "Which do they do more times",
            "What does the person do more often",
            "Which one do they do more frequently",
            "Which happens more often",
        ),
        ("Which of the two does this person do more often",),
    ),
    (
        r"^Which way does the person face",
        (
            "In which direction does the person face",
            "Where do they face",
            "Towards which side does the person face",
            "What way do they face",
        ),
        ("In what direction does this person face",),
    ),
    (
        r"^Which of these (?:movements )?does the person ",
        (
            "What does the person ",
            "Which one of these does the person ",
            "Which of the following does the person ",
            "What do they ",
            "Which of these do they ",
        ),
        ("Which one of these do they ",),
    ),
    (
        r"^In which direction ",
        ("In what direction ", "Which way ", "In which of these directions ", "Towards which direction "),
        ("Along which direction ",),
    ),
    (
        r"^To which side ",
        ("To what side ", "On which side ", "Towards which side ", "Which side is it to which "),
        ("To which of the sides ",),
    ),
    (
        r"^Seen as the person stood at the start, ",
        (
            "From how they stood at the start, ",
            "As the person stood at the start, ",
            "Judged from how the person stood at the start, ",
            "Relative to how they stood when it began, ",
        ),
        ("Seen from how the person stood at first, ",),
    ),
    (r"^Seen from above, ", ("From above, ", "", "Looking down from above, ", "In a view from above, "), ("As seen from above, ",)),
    (
        r"\bthe person\b",
        ("the person", "this person", "the subject", "the one shown", "this individual", "the person that is seen"),
        ("the person in the clip",),
    ),
    (r" at any point\b", (" at some point", " ever", "", " somewhere", " at one time or another", " once or more"), (" at any time",)),
    (r" at any moment\b", (" at some moment", " ever", " somewhere", " at one time or another", " at some point"), (" at any time",)),
    (
        r" \(by (\d+) (degrees|cm) or more\)",
        (r" (by at least \1 \2)", "", r" by \1 \2 or more", r" (\1 \2 or more)", r" (by no less than \1 \2)", r" of at least \1 \2"),
        (r" (at least \1 \2)",),
    ),
    (
        r"\bin the video\b",
        ("in the clip", "over the whole video", "", "during the video", "from start to end", "in the footage"),
        ("in this video",),
    ),
    (r"\bover the whole video\b", ("in the video", "over the clip", "throughout the clip", "from start to end"), ("in the whole clip",)),
    (
        r"\bduring the (first|second|third|last) (quarter|half) of the video\b",
        (
            r"in the \1 \2",
            r"during the \1 \2",
            r"over the \1 \2",
            r"inside the \1 \2 of the video",
            r"while the \1 \2 of the clip lasts",
            r"in the clip's \1 \2",
        ),
        (r"within the \1 \2 of the clip",),
    ),
    (
        r"\bthe last quarter\b",
        ("the fourth quarter", "the last quarter", "the final quarter", "the last fourth", "the last one of the quarters"),
        ("the last of the four quarters",),
    ),
    (r"\bof the video\b", ("of the clip", "of the video", "of the footage", "of the recording"), ("of this video",)),
    (
        r"\bthe starting point\b",
        ("the start", "the place where they started", "where they began", "the point of departure", "the beginning position"),
        ("the starting place",),
    ),
    (r"\bin total\b", ("altogether", "in all", "summed up", "all together"), ("as a total",)),
    (r"\bin one go\b", ("at once", "in one turn or move", "without a break", "in a single movement"), ("in one single go",)),
    (r"\bover the floor\b", ("on the floor", "", "along the floor", "on the ground"), ("across the floor",)),
    (
        r"\bturn (left|right)\b",
        (r"turn to the \1", r"rotate \1", r"turn towards the \1", r"swing to the \1", r"spin \1", r"make a turn to the \1"),
        (r"rotate to the \1",),
    ),
    (
        r"\bmove (forward|backward|left|right)\b",
        (r"go \1", r"walk \1", r"head \1", r"travel \1", r"move in direction \1", r"step \1"),
        (r"go in the direction \1",),
    ),
    (r"\bfor the last time\b", ("last", "for the last time", "one final time", "the final time", "last of all"), ("the last time",)),
    (r"\bbackward\b", ("backwards", "backward", "rearward", "to the back"), ("back",)),
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
