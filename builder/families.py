"""Question families: a table of templates in, questions out.

A template asks one quantity in one window.  `measure` gives the deciding values from a motion (or None: this cannot be
asked here), `decide` turns those values alone into the text of the true answer (or None: too close to call), and `options`
gives every option.  The answer of a stored question is therefore `decide(evidence)`, and a perturbed copy of the motion is
asked the same way.  Everything random comes from the question's id, so no other clip, family or order can change it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from builder.choices import Decide, Options, quarters
from builder.motion import CHANNEL_OF, ROTATIONS
from builder.quantities import AT_END, HALVES, QUARTERS, WHOLE, WINDOW_NAMES, WORDS, Measures
from builder.recipe import Recipe
from builder.types import Motion, Question

Measure = Callable[[Measures, str, str], dict[str, Any] | None]

PARTS = WHOLE + HALVES + QUARTERS
ENDS = ("whole", "q1", "q2", "q3")


@dataclass(frozen=True, eq=False)
class Template:
    """One way of asking; `text` and `because` are format strings over the words of the quantity and the evidence."""

    name: str
    text: str
    because: str
    quantities: tuple[str, ...]
    windows: tuple[str, ...]
    measure: Measure
    decide: Decide
    options: Options


def by_quarter(value: str, direction: str | None = None) -> Measure:
    """`value` of Measures in each quarter; with a direction, only where its events account for the motion."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        if direction is not None and not all(m.accounted(direction, q) for q in QUARTERS):
            return None
        return {"quarters": [getattr(m, value)(q) for q in QUARTERS]}

    return measure


@dataclass(frozen=True, eq=False)
class Decision:
    """What a motion answers to one quantity of a template in one window; `question` puts it into words."""

    category: str
    form: Template
    quantity: str
    window: str
    evidence: dict[str, Any]
    answer_text: str
    motion: Motion
    recipe: Recipe
    number: str  # SHA-256 of what is asked of whom, in hex

    @property
    def id(self) -> str:
        """The id of the question."""
        return self.number[:16]

    @property
    def template(self) -> str:
        """The name of the template."""
        return self.form.name

    def answered_by(self, measures: Measures) -> str | None:
        """The answer text that another motion gives, None where it does not decide it."""
        return _answer(self.form, self.quantity, self.window, measures)

    def question(self) -> Question | None:
        """The question with its options, None where too few of them make sense.  Robustness is not yet known (1.0)."""
        rng = random.Random(self.number)
        options = self.form.options(self.answer_text, self.quantity, self.evidence, self.recipe, rng)
        if options is None:
            return None
        others = [o for o in options if o != self.answer_text]
        rng.shuffle(others)
        place = int(self.number[-16:], 16) % len(options)
        others.insert(place, self.answer_text)
        fields = {**self.evidence, "at_least": _at_least(self.quantity, self.recipe)}
        return Question(
            id=self.id,
            clip_id=self.motion.clip_id,
            person_id=self.motion.person_id,
            category=self.category,
            template=self.template,
            quantity=self.quantity,
            window=self.window,
            text=_sentence(self.form.text, self.quantity, self.window, self.motion.referent, fields),
            options=tuple(others),
            answer=place,
            evidence=self.evidence,
        )


def decide(
    category: str, templates: Iterable[Template], motion: Motion, recipe: Recipe, measures: Measures | None = None
) -> list[Decision]:
    """Everything of these templates that the motion decides, in table order."""
    measures = measures or Measures(motion, recipe)
    short = measures.seconds < recipe.questions.min_seconds
    out = []
    for form in templates:
        for window in form.windows:
            if short and (window != "whole" or form.options is quarters):
                continue
            for quantity in form.quantities:
                evidence = form.measure(measures, quantity, window)
                text = None if evidence is None else form.decide(evidence, quantity, recipe)
                if evidence is not None and text is not None:
                    identity = "|".join((motion.clip_id, motion.person_id, form.name, quantity, window))
                    number = hashlib.sha256(identity.encode()).hexdigest()
                    out.append(Decision(category, form, quantity, window, evidence, text, motion, recipe, number))
    return out


def ask(category: str, templates: Iterable[Template], motion: Motion, recipe: Recipe, measures: Measures | None = None) -> list[Question]:
    """Every question of these templates that the motion decides, in table order."""
    return [q for decision in decide(category, templates, motion, recipe, measures) if (q := decision.question()) is not None]


def answer(templates: tuple[Template, ...], question: Question, measures: Measures) -> str | None:
    """The answer text that another motion gives to the same question, None where it does not decide it."""
    return _answer(find(templates, question.template), question.quantity, question.window, measures)


def _answer(form: Template, quantity: str, window: str, measures: Measures) -> str | None:
    evidence = form.measure(measures, quantity, window)
    return None if evidence is None else form.decide(evidence, quantity, measures.recipe)


def recompute(templates: tuple[Template, ...], question: Question, recipe: Recipe) -> str | None:
    """The answer text that the question's stored evidence gives."""
    return find(templates, question.template).decide(question.evidence, question.quantity, recipe)


def explain(templates: tuple[Template, ...], question: Question) -> str:
    """The short reasoning from the deciding values to the answer, one or two sentences."""
    template = find(templates, question.template)
    if question.evidence.get("count") == 0 and question.evidence.get("events") == []:
        return _sentence("No such movement is seen {window}.", question.quantity, question.window, None, {})
    spoken = {k: v if k in ("event", "anchor") else _spoken(v) for k, v in question.evidence.items()}
    fields = {**spoken, **_sides(question.evidence), "answer_low": question.answer_text[:1].lower() + question.answer_text[1:]}
    return _sentence(template.because, question.quantity, question.window, "the person", fields)


@cache
def find(templates: tuple[Template, ...], name: str) -> Template:
    """The template of that name."""
    return next(t for t in templates if t.name == name)


def _at_least(quantity: str, recipe: Recipe) -> str:
    """ "(by 30 cm or more)": the smallest movement that counts in this direction."""
    if quantity not in CHANNEL_OF:
        return ""
    code = CHANNEL_OF[quantity][0]
    least = recipe.channels[code].minimum
    return f"(by {least:g} degrees or more)" if code in ROTATIONS else f"(by {100 * least:g} cm or more)"


def _sides(evidence: Mapping[str, Any]) -> dict[str, str]:
    """Signed evidence with its side named: {where} on the floor, {turned} for an angle."""
    out = {}
    if "left" in evidence and "forward" in evidence:
        left, forward = evidence["left"], evidence["forward"]
        across = f"{abs(left):.1f} m to the {'left' if left > 0 else 'right'} of"
        out["where"] = f"{abs(forward):.1f} m {'in front of' if forward > 0 else 'behind'} and {across}"
    if "angle" in evidence:
        angle = evidence["angle"]
        out["turned"] = f"{abs(angle):.0f} degrees to the {'left' if angle > 0 else 'right'}"
    return out


def _spoken(value: Any) -> Any:
    """Evidence as people write it: lists joined, events as their times (named where they differ), floats rounded."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_spoken(k)} {_spoken(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], list | tuple):
            named = len({event[0] for event in value}) > 1
            return "; ".join(f"{WORDS[e[0]].does + ' ' if named else ''}from {e[1]:.1f} to {e[2]:.1f} s" for e in value)
        return ", ".join(str(_spoken(v)) for v in value)
    if isinstance(value, float):
        return round(value, 2)
    return value.lower() if isinstance(value, str) else value


def _sentence(text: str, quantity: str, window: str, referent: str | None, fields: Mapping[str, Any]) -> str:
    """A format string filled in; {a} and {b} are the words of a pair quantity ("left|right"), {do} those of a single one."""
    filled = " ".join(text.format(**{**_words(quantity, window, referent), **fields}).split())
    return filled[:1].upper() + filled[1:]


@lru_cache(4096)
def _words(quantity: str, window: str, referent: str | None) -> Mapping[str, Any]:
    """What the names in a format string stand for, whatever the evidence."""
    names = quantity.split("|")
    spoken = WINDOW_NAMES[window]
    known: dict[str, Any] = {
        "person": referent or "the person",
        "window": spoken,
        "throughout": "throughout the video" if window == "whole" else spoken,
        "unit": "degrees" if names[0].startswith(("turn_", "lean_")) else "metres",
        "inside": spoken.removeprefix("during ").removeprefix("in "),
        "at_end": AT_END.get(window, ""),
        "quantity": quantity,
        "nth": ordinal(names[0]),
        "place": {"2": "second", "3": "third", "4": "fourth"}.get(quantity.partition("#")[2], ""),
        "axis": {"displacement_x": "left-right", "displacement_z": "forward-backward"}.get(quantity, ""),
    }
    for letter, name in zip("abcd", names, strict=False):
        known[letter] = WORDS.get(name, name)
        known[f"part_{letter}"] = WINDOW_NAMES.get(name, "").removeprefix("during ").removesuffix(" of the video")
    first = WORDS.get(names[0].partition("#")[0])
    return known | (first._asdict() if first else {})


def ordinal(name: str) -> str:
    """ "for the first time" for "left#1", "" for a name without a number."""
    number = name.partition("#")[2]
    return {"1": "for the first time", "2": "for the second time", "3": "for the third time"}.get(number, "")
