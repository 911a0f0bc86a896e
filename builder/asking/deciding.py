"""From a reading to the track's answer with the moments that decide it, or to one line on why the track cannot tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from types import ModuleType
from typing import Any

import numpy as np

from builder import families, motion, selection
from builder.asking.direct import DIRECT, Found
from builder.asking.order import order
from builder.asking.reading import LONGEST_TEXT, Reading, read
from builder.asking.rules import fitting, several
from builder.families import Template
from builder.motion import CHANNEL_OF
from builder.quantities import QUARTERS, WINDOW_NAMES, WORDS, Measures
from builder.recipe import Recipe
from builder.robustness import Copies
from builder.types import Question, Track

SCOPE = (
    "the track holds where the person was and which way they faced: try turning, moving, leaning, crouching, jumping, distances, "
    "speed, or when something happened"
)
# Templates that choose among moves and turns, and what looks at every movement.
AMONG_ALL = {"first_of_all": "first", "last_of_all": "last", "next_any": "after", "before_any": "before"}


@dataclass(frozen=True)
class Moment:
    """When something that decides an answer happens: seconds after the track's first frame, and what it is."""

    start_s: float
    end_s: float
    what: str


@dataclass(frozen=True)
class Reply:
    """What the track says to a text.

    `answer` is None where the track cannot tell, and `because` then says why; `read_as` is the question in the track's terms.
    `question` is the multiple-choice question it became, None for one that is measured directly.  `close`: perturbed copies of
    the track give other answers.  `ignored`: words that were not understood, because of which nothing is answered.
    """

    text: str
    read_as: str
    answer: str | None
    because: str
    moments: tuple[Moment, ...] = ()
    question: Question | None = None
    close: bool = False
    ignored: tuple[str, ...] = ()


class Subject:
    """One person's track, made ready for questions: its motion, measures and perturbed copies, each made once when needed."""

    def __init__(self, track: Track, recipe: Recipe) -> None:
        self.track, self.recipe = track, recipe
        self.sampled = motion.sample(track, recipe)
        self.motion = motion.segment(self.sampled, recipe)
        self.measures = Measures(self.motion, recipe)

    @cached_property
    def copies(self) -> Copies:
        """Perturbed copies of the track."""
        return Copies(self.sampled, self.recipe)

    def questions(self, per_category: int) -> list[Question]:
        """Robust questions about this track, at most so many of each category, sorted by id."""
        few = replace(self.recipe, questions=replace(self.recipe.questions, pool=per_category))
        return selection.questions_of(self.track, few)[1]


def reply(text: str, subject: Subject, start_s: float = 0.0) -> Reply:
    """What the track says to a question in anybody's words; at most LONGEST_TEXT characters of it are read.

    `start_s`: when the track begins in the video whose times the asker reads.
    """
    asked = read(text, subject.measures.seconds, start_s)
    targets = meant(asked, subject.measures.seconds)
    if isinstance(targets, str):
        return _cannot(asked, targets)
    undecided, elsewhere = "", False
    for target in targets:
        name, _, quantity = target.partition(":")
        if name.startswith("="):
            found = DIRECT[name[1:]](subject.measures, quantity, asked.window)
            if found is not None:
                return _measured(asked, found)
            continue
        family, template = _template(name, negated="negated" in asked.flags)
        if quantity not in template.quantities:
            continue
        if asked.window not in template.windows:
            elsewhere = True
            continue
        known = _decide(asked, subject, family, template, quantity)
        if known.answer is not None and name in AMONG_ALL:
            known = _among_all(asked, subject, known, DIRECT[AMONG_ALL[name]](subject.measures, quantity.partition("#")[0], asked.window))
        if known.answer is not None:
            return known
        undecided = undecided or known.read_as
    if undecided:
        return Reply(asked.text, undecided, None, "it is too close to call, or not defined, on this track")
    if elsewhere:
        where = WINDOW_NAMES[asked.window].removeprefix("during ").removeprefix("in ")
        return _cannot(asked, f"it does not decide that for {where} alone; ask about the whole video")
    return _cannot(asked, "it is too close to call, or not defined, on this track")


def meant(asked: Reading, seconds: float) -> list[str] | str:
    """What answers a text about a track of `seconds`: targets of `rules` in order of preference; or why nothing does."""
    if not asked.text:
        return "nothing was asked"
    if asked.outside:
        return f"a track knows nothing about {asked.outside[0]}; {SCOPE}"
    if asked.unread:
        mean, them = ("means", "it") if len(asked.unread) == 1 else ("mean", "them")
        return f"{_quoted(asked.unread)} {mean} nothing to a track; ask without {them}"
    if not asked.window:
        return "it answers about the whole video, a half or a quarter of it; name one of these, or a time inside one quarter"
    if target := order(asked.text, seconds):
        return [target]
    if targets := fitting(asked):
        return targets
    if asked.form == "did" and len(asked.flags & {"before", "after"}) == 1:
        word = "before" if "before" in asked.flags else "after"
        return f"“{word}” needs one movement on either side of it, such as “did they turn left {word} they crouched”"
    if several(asked):
        return "it asks about more than one movement; ask about one at a time, or what comes before or after it"
    return f"it was not understood; {SCOPE}"


def _measured(asked: Reading, found: Found) -> Reply:
    return Reply(asked.text, found.question, found.answer, "Measured on the track.", tuple(Moment(*m) for m in found.moments))


def _among_all(asked: Reading, subject: Subject, known: Reply, found: Found | None) -> Reply:
    """What a template says that knows some movements only, where the same follows from all of them; else what they say."""
    if found is None:
        return replace(known, answer=None)
    event = known.question.evidence["event"] if known.question is not None else None
    same = event is not None and abs(event[1] - found.moments[-1][0]) < subject.recipe.questions.onset_gap_s
    return known if same else _measured(asked, found)


def _decide(asked: Reading, subject: Subject, family: ModuleType, template: Template, quantity: str) -> Reply:
    """The answer that a template gives for one quantity in the asked window."""
    window, measures = asked.window, subject.measures
    one = replace(template, quantities=(quantity,), windows=(window,))
    questions = families.ask(family.CATEGORY, [one], subject.motion, subject.recipe, measures)
    if questions:
        (question,) = questions
        close = subject.copies.agreement(question, family.answer) == 0
        moments = moments_of(question, measures)
        return Reply(asked.text, question.text, question.answer_text, family.explain(question), moments, question, close)
    evidence = template.measure(measures, quantity, window)
    decided = None if evidence is None else template.decide(evidence, quantity, subject.recipe)
    shape = replace(template, measure=lambda m, q, w: {}, decide=lambda e, q, r: "?", options=lambda *_: ("?",))
    if decided is None or evidence is None:
        return Reply(asked.text, _spoken(shape, quantity, window), None, "")
    moments = _moments(evidence, quantity, window, measures)
    return Reply(asked.text, _spoken(shape, quantity, window), decided, "Measured on the track.", moments)


def _spoken(template: Template, quantity: str, window: str) -> str:
    """The template's question about a quantity, as far as its words go without evidence."""
    if "|" in quantity and quantity.split("|")[0] in WORDS:
        words: Any = {letter: WORDS[name] for letter, name in zip("abcd", quantity.split("|"), strict=False)}
    else:
        words = WORDS[quantity.partition("#")[0]]._asdict() if quantity.partition("#")[0] in WORDS else {}
    filled = {
        "person": "the person",
        "window": WINDOW_NAMES[window],
        "at_end": f"at the end, {WINDOW_NAMES[window]}",
        "at_least": "",
        "nth": "",
    }
    return " ".join(template.text.format_map(_Blank(filled | words)).split())


class _Blank(dict[str, Any]):
    """Format fields; one that is not known is left out."""

    def __missing__(self, key: str) -> str:
        return ""


def _template(name: str, negated: bool) -> tuple[ModuleType, Template]:
    """The family and template of that name, or of its denial where there is one."""
    table = {t.name: (family, t) for family in selection.families().values() for t in family.TEMPLATES}
    return table.get(f"{name}_never" if negated else name, table[name])


def moments_of(question: Question, measures: Measures) -> tuple[Moment, ...]:
    """The moments that decide a question, from its evidence."""
    return _moments(question.evidence, question.quantity, question.window, measures)


def _moments(evidence: Any, quantity: str, window: str, m: Measures) -> tuple[Moment, ...]:
    briefs = [evidence[k] for k in ("anchor", "event") if k in evidence]
    briefs += list(chain.from_iterable(evidence.get(k, ()) for k in ("events", "times")))
    if briefs:
        return tuple(Moment(b[1], b[2], WORDS[b[0]].doing) for b in sorted(briefs, key=lambda b: b[1]))
    if "quarters" in evidence:
        best = max(range(4), key=lambda k: evidence["quarters"][k])
        return (_window(QUARTERS[best], m),)
    names = [n for n in quantity.partition("#")[0].split("|") if n in WORDS]
    seen = sorted({(e.start_frame / m.hz, e.end_frame / m.hz, WORDS[n].doing) for n in names for e, _ in m.seen(n, window)})
    if seen:
        return tuple(Moment(*s) for s in seen[:6])
    if quantity in ("furthest", "distance") or "furthest" in evidence:
        a, b = m.bounds(window)
        if quantity == "distance":
            return (Moment(b / m.hz, b / m.hz, "the end"),)
        at = (a + int(np.argmax(m.motion.signals["radial"][a : b + 1]))) / m.hz
        return (Moment(at, at, "furthest from the start"),)
    if quantity in ("place", "corner", "facing", "back", "net"):
        at = m.bounds(window)[1] / m.hz
        return (Moment(at, at, "the end"),)
    if names and names[0] in CHANNEL_OF:
        return (_window(window, m),)
    return (_window(window, m),) if window != "whole" else ()


def _window(window: str, m: Measures) -> Moment:
    a, b = (k / m.hz for k in m.bounds(window))
    return Moment(a, b, WINDOW_NAMES[window].removeprefix("during ").removesuffix(" of the video"))


def _cannot(asked: Reading, why: str) -> Reply:
    return Reply(asked.text, "", None, why, ignored=asked.unread)


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f"“{w}”" for w in words[:4])


__all__ = ["LONGEST_TEXT", "Moment", "Reply", "Subject", "moments_of", "reply"]
