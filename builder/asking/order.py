"""Which of two movements comes first: what texts with "before", "after", "then" or "first" ask."""

from __future__ import annotations

import re
from dataclasses import replace

from builder.asking.reading import read
from builder.asking.rules import movement

EITHER = re.compile(r"\b(?:before or after|after or before)\b")
THEN = re.compile(r"\b(?:,? ?(?:and )?then|,? ?(?:and )?afterwards|followed by)\b")
FIRST = re.compile(
    r"^(?:which|what) (?:of these )?(?:comes?|came|is|was|happens?|happened|starts?|started|(?:do|did) they do) first\b|\bfirst\b"
)


def order(text: str, seconds: float) -> str:
    """The target of a text that asks for the order of two movements, "=order:FIRST,WORD,SECOND"; "" for any other text.

    WORD is "before" or "after" (does the first happen before the second?), "or" (before or after?), or "first" (which of them?).
    """
    text = re.sub(r"[?!:;]", " ", text.lower())
    if found := EITHER.search(text):
        return _target(text[: found.start()], "or", text[found.end() :], seconds)
    if re.search(r"\w right after\b", text):
        return ""  # to the right, or at once?
    for word in ("before", "after"):
        if len(parts := re.split(rf"\b{word}\b", text)) == 2:
            return _target(parts[0], word, parts[1], seconds)
    if len(parts := THEN.split(text)) == 2:
        return _target(parts[0], "before", parts[1], seconds)
    if FIRST.search(text) and len(parts := FIRST.sub(" ", text).split(" or ")) == 2:
        return _target(parts[0], "first", parts[1], seconds)
    return ""


def _target(one: str, word: str, other: str, seconds: float) -> str:
    first, second = read(one, seconds), read(other, seconds)
    if not set(second.subjects) - {"do"}:  # "turn left or right first"
        second = replace(second, subjects=first.subjects)
    if first.form != "did" or second.form != "did":
        return ""
    names = [movement(part) for part in (first, second)]
    return f"=order:{names[0]},{word},{names[1]}" if all(names) and names[0] != names[1] else ""
