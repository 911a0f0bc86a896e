"""What every model is asked, and how its reply is read: one prompt and one parser for evaluation, training and the demo.

Standard library only and nothing of this project, so that another harness can carry a copy of this file.  A reply that cannot
be read is None and counts as wrong; it is never guessed, because reading loosely moves such scores by tens of points.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Sequence
from typing import Any

LETTERS = "ABCDEFGH"
SYSTEM = (
    "You watch a video of a person and answer multiple-choice questions about where the person goes and which way they turn. "
    "Directions are the person's own at the start of the video: forward is where they face in the first frame, left and right are "
    "their own left and right then, and these directions stay the same when the person turns later. "
    "Turning is turning of the body, not of the camera; turning left is counter-clockwise seen from above. "
    "Leaning is told from where the person faces at that moment. "
    "Away from and towards refer to the place where the person starts. "
    "The quarters of the video are its four equal parts in time. "
    "Exactly one option is right. Reply with the letter of that option."
)
INSTRUCTION = "Answer with the option letter."
LEAD = "Answer:"  # what a trained reply begins with; the letters' probabilities are read behind it


def render(question_text: str, options: Sequence[str], seen: str = "") -> str:
    """The user's text for one question: options behind their letters; `seen` describes the motion in words where there is no video."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([*([seen, ""] if seen else []), question_text, "Options:", *lines, INSTRUCTION])


def target(answer: int, reasoning: str = "") -> str:
    """The reply that training asks for, which `parse` reads back as `answer`."""
    return f"{reasoning}\n{LEAD} {LETTERS[answer]}".strip()


def digest() -> str:
    """16 hex digits over the prompt: what a model was trained or asked with.  The parser is not part of it."""
    shape = render("question", ("first", "second"), "seen")
    return hashlib.sha256("\n".join([SYSTEM, shape, LEAD]).encode()).hexdigest()[:16]


def parser_digest() -> str:
    """16 hex digits over this file: which parser read the replies."""
    return hashlib.sha256(inspect.getsource(inspect.getmodule(parse) or parse).encode()).hexdigest()[:16]


# How a reply is read.  Every reader gets the reply without reasoning and markup, and gives the place of a letter, UNREADABLE
# where the reply contradicts itself, or None where it says nothing that this reader understands and the next one is asked.
UNREADABLE = -1

THOUGHT = re.compile(r"<(think|thinking|thought|reasoning|observe|analysis)>.*?(?:</\1>|(?=<answer>)|\Z)", re.DOTALL | re.IGNORECASE)
THOUGHT_END = re.compile(r"\A.*</(?:think|thinking|thought|reasoning|observe|analysis)>", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
MARKUP = re.compile(r"<\|[^|>]*\|>|[*`$#]+|\\[()\[\]]|\\(?:boxed|text|mathrm|textbf)\b")
KEYS = ("answer", "final_answer", "choice", "option", "letter", "prediction")

LINK = r"(?:\s*(?:\bis\b|\bwould be\b|\bshould be\b|\bmust be\b|:|=|-|–|—))+"
SOFT = r"(?:(?:\w+ly|option|choice|letter|the)\s+)*"  # "is clearly option B"
OPEN = r"[(\[{\"']*\s*"
JUDGED = r"(?:is|seems|appears)\s+(?:to be\s+)?(?:the\s+)?(?:most\s+)?(?:correct|right|best|accurate|answer|likely|plausible)\b"
STATED = re.compile(
    rf"(?i:\banswer{LINK}\s*{SOFT}{OPEN})(?P<a>[A-Ha-h])\b"
    rf"|(?i:\banswer\s+(?:option\s+)?{OPEN})(?P<b>[A-H])\b"
    rf"|(?i:\b(?:correct|right|best|final|closest)\s+(?:option|choice|letter){LINK}\s*{SOFT}{OPEN})(?P<c>[A-Ha-h])\b"
    rf"|(?i:\b(?:i|i'd|i'll|we)\s+(?:(?:would|will|must|can)\s+)?(?:choose|pick|select|go with|say|think|guess)\s+)"
    rf"(?i:(?:it is\s+|it's\s+)?{SOFT}{OPEN})(?P<d>[A-H])\b"
    rf"|(?i:\b(?:it is|it's)\s+{SOFT}{OPEN})(?P<e>[A-H])\b(?=[)\]}}\"']*\s*(?:[.!]|\Z))"
    rf"|{OPEN}\b(?P<f>[A-H])[)\]}}\"'.]*\s+(?i:{JUDGED})"
    rf"|答案(?:应该)?(?:是|为)?\s*[:\uff1a]?\s*{OPEN}(?P<g>[A-H])(?![A-Za-z])"
)
SAID = re.compile(rf"(?i:\banswer{LINK})\s*(.+)")
SECOND = re.compile(
    r"[)\]}\"'.]*\s*(?:,|and|or|&|/|\+|;|、)+\s*(?:(?:and|or)\s+)?(?:option\s+)?[(\[]?([A-H])\b(?!\s+(?!are|both|could|can|seem)\w)"
)
BECAUSE = ("because", "since", "for", "due", "given", "as", "which", "based", "with", "where")
VERBS = (
    "is",
    "are",
    "was",
    "were",
    "isn't",
    "can",
    "cannot",
    "can't",
    "could",
    "does",
    "doesn't",
    "would",
    "seems",
    "and",
    "or",
    "has",
    "but",
)
BARE = re.compile(r"[\W_]*(?:(?:option|choice|letter)\s+)?[\W_]*([A-Ha-h])[\W_]*", re.IGNORECASE)
LEADING = re.compile(rf"[\s\-–•]*(?i:(?:option|choice)\s+)?{OPEN}([A-Ha-h])\b")
LISTED = re.compile(rf"^[\s\-–•]*(?:option\s+)?{OPEN}([A-H])\s*[).:\]]", re.MULTILINE | re.IGNORECASE)
INLINE = re.compile(r"\(([A-H])\)")
CLOSING = re.compile(r"\(([A-H])\)\s*[.!]?\s*\Z")
WORD = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?")
NUMBERS = {w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine ten".split())}
DENIALS = {"not", "no", "never", "neither", "nor", "without", "cannot", "rather", "unlike"}
POLAR = {"yes", "no", "true", "false"}
SUBJECTS = {"the", "they", "he", "she", "it", "there", "this", "that", "because", "since"}


def parse(reply: str, n: int, options: Sequence[str] = ()) -> int | None:
    """The place of the option that a reply names, 0 to n - 1, or None where it names none, several, or one that there is not.

    `options` are the n texts as they were shown; with them a reply in words is read too.
    """
    spoken = THOUGHT_END.sub("", THOUGHT.sub(" ", reply.replace("’", "'").replace("“", '"').replace("”", '"')))
    tags = TAG.findall(spoken)
    if tags:  # what stands between the tags is the answer, whatever stands around them
        return parse(tags[-1], n, options)
    for read in (_object, _bare, _stated, _leading, _closing, _words):
        found = read(spoken if read is _object else MARKUP.sub("", spoken).strip(), n, options)
        if found is not None:
            return found if 0 <= found < n else None
    return None


def _object(text: str, n: int, options: Sequence[str]) -> int | None:
    """{"answer": "B"}, alone or within other text."""
    start, end = text.find("{"), text.rfind("}")
    try:
        record = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    named = {str(key).lower().replace(" ", "_"): value for key, value in record.items()}
    value: Any = next((named[key] for key in KEYS if key in named), None)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return UNREADABLE if any(key in named for key in KEYS) else None
    found = parse(value, n, options)
    return UNREADABLE if found is None else found


def _bare(text: str, n: int, options: Sequence[str]) -> int | None:
    """A letter and nothing else."""
    match = BARE.fullmatch(text)
    return LETTERS.index(match[1].upper()) if match else None


def _stated(text: str, n: int, options: Sequence[str]) -> int | None:
    """ "The answer is B": the last such statement."""
    for match in reversed(list(STATED.finditer(text))):
        name = match.lastgroup or ""
        found = _letter(match[name], "" if name == "f" else text[match.end(name) :], options)
        if found is not None:
            return found
    return None


def _leading(text: str, n: int, options: Sequence[str]) -> int | None:
    """A letter in front, as in "B. Left" or "B because"; not where the reply lists options."""
    match = LEADING.match(text)
    inline = INLINE.findall(text.partition("\n")[0])
    if match is None or len(set(inline)) > 1 or len({letter.upper() for letter in LISTED.findall(text)}) > 1:
        return None
    return _letter(match[1], text[match.end() :], options)


def _closing(text: str, n: int, options: Sequence[str]) -> int | None:
    """A letter alone in the last line, or in brackets at the very end."""
    last = BARE.fullmatch(text.rstrip().rpartition("\n")[2])
    match = last or CLOSING.search(text)
    return LETTERS.index(match[1].upper()) if match else None


def _letter(letter: str, rest: str, options: Sequence[str]) -> int | None:
    """The place of a letter, judged by what follows it: an article is no letter, and two letters are no answer."""
    if SECOND.match(rest):
        return UNREADABLE
    place = LETTERS.index(letter.upper())
    behind = _tokens(rest.lstrip(")]}\"'.:,;- –—").partition("\n")[0])
    others = [_tokens(o) for k, o in enumerate(options) if k != place]
    own = _tokens(options[place]) if place < len(options) else []
    if behind and behind in others:
        return UNREADABLE  # "A. Right" where A is left
    follows = re.match(r"[)\]}\"']*(\s*)(.?)", rest, re.DOTALL)
    gap, sign = (follows[1], follows[2]) if follows else ("", "")
    if not sign or "\n" in gap or not (sign.isalnum() or sign in "'("):
        return place
    if rest[:1] in ")]}" or (own and behind[: len(own)] == own):
        return place
    word = behind[0] if behind else ""
    if letter.islower() or word in VERBS:
        return None
    return place if word in BECAUSE or letter != "A" or sign.isupper() or sign == "(" else None


def _words(text: str, n: int, options: Sequence[str]) -> int | None:
    """The one option whose text is said, in the answer's own sentence or else anywhere."""
    if not options:
        return None
    said = SAID.findall(text)
    for part in [*said[-1:], text]:
        found = _option(part, [_tokens(o) for o in options])
        if found is not None:
            return found
    return None


def _option(text: str, options: Sequence[list[str]]) -> int | None:
    """The option that equals the words of `text`, or else the only one within them, or that they are a part of."""
    said = _tokens(text)
    for k, option in enumerate(options):
        if said in (option, ["the", *option]):
            return k
    if all(len(o) == 1 and o[0] in POLAR for o in options):
        return _polar(text, said, [o[0] for o in options])
    rest, inside = f" {' '.join(said)} ", []
    for k, option in sorted(enumerate(options), key=lambda pair: -len(pair[1])):  # "left, then right" before "left"
        phrase = f" {' '.join(option)} "
        if option and phrase in rest:
            before = rest[: rest.index(phrase)].split()[-3:]
            inside.append(UNREADABLE if any(w in DENIALS or w.endswith("n't") for w in before) else k)
            rest = rest.replace(phrase, " | ")
    if inside:
        return inside[0] if len(inside) == 1 else UNREADABLE
    around = [k for k, option in enumerate(options) if said and len(said) <= 6 and f" {' '.join(said)} " in f" {' '.join(option)} "]
    return around[0] if len(around) == 1 else None


def _polar(text: str, said: list[str], options: Sequence[str]) -> int | None:
    """Yes, no, true or false: in front of the sentence, or what the statement is said to be; "no person is visible" is neither."""
    if not said:
        return None
    rest = text.lower().partition(said[0])[2].lstrip()
    if said[0] in options and (not rest[:1].isalnum() or said[1] in SUBJECTS):
        return options.index(said[0])
    named = [k for k, option in enumerate(options) if option in said]
    if len(named) == 1 and said[-2:] == ["is", options[named[0]]]:
        return named[0]
    return None


def _tokens(text: str) -> list[str]:
    """Words and numbers in lower case, number words as digits."""
    return [NUMBERS.get(word, word) for word in WORD.findall(text.lower())]
