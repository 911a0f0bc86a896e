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
from typing import Any

from builder.choices import Decide, Options, quarters
from builder.motion import CHANNEL_OF, ROTATIONS
from builder.quantities import AT_END, HALVES, QUARTERS, WHOLE, WINDOW_NAMES, WORDS, Measures
from builder.recipe import Recipe
from builder.types import Motion, Question

Measure = Callable[[Measures, str, str], dict[str, Any] | None]

PARTS = WHOLE + HALVES + QUARTERS
ENDS = ("whole", "q1", "q2", "q3")


@dataclass(frozen=True)
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


def ask(category: str, templates: Iterable[Template], motion: Motion, recipe: Recipe, measures: Measures | None = None) -> list[Question]:
    """Every question of these templates that the motion decides, in table order.  Robustness is not yet known (1.0)."""
    measures = measures or Measures(motion, recipe)
    short = measures.seconds < recipe.questions.min_seconds
    out = []
    for template in templates:
        for window in template.windows:
            if short and (window != "whole" or template.options is quarters):
                continue
            for quantity in template.quantities:
                question = _question(category, template, quantity, window, measures)
                if question is not None:
                    out.append(question)
    return out


def _question(category: str, template: Template, quantity: str, window: str, measures: Measures) -> Question | None:
    recipe, motion = measures.recipe, measures.motion
    evidence = template.measure(measures, quantity, window)
    answer = None if evidence is None else template.decide(evidence, quantity, recipe)
    if evidence is None or answer is None:
        return None
    identity = "|".join((motion.clip_id, motion.person_id, template.name, quantity, window))
    number = hashlib.sha256(identity.encode())
    rng = random.Random(number.hexdigest())
    options = template.options(answer, quantity, evidence, recipe, rng)
    if options is None:
        return None
    others = [o for o in options if o != answer]
    rng.shuffle(others)
    place = int.from_bytes(number.digest()[-8:], "big") % len(options)
    others.insert(place, answer)
    return Question(
        id=number.hexdigest()[:16],
        clip_id=motion.clip_id,
        person_id=motion.person_id,
        category=category,
        template=template.name,
        quantity=quantity,
        window=window,
        text=_sentence(template.text, quantity, window, motion.referent, {**evidence, "at_least": _at_least(quantity, recipe)}),
        options=tuple(others),
        answer=place,
        evidence=evidence,
    )


def answer(templates: Iterable[Template], question: Question, measures: Measures) -> str | None:
    """The answer text that another motion gives to the same question, None where it does not decide it."""
    template = find(templates, question.template)
    evidence = template.measure(measures, question.quantity, question.window)
    return None if evidence is None else template.decide(evidence, question.quantity, measures.recipe)


def recompute(templates: Iterable[Template], question: Question, recipe: Recipe) -> str | None:
    """The answer text that the question's stored evidence gives."""
    return find(templates, question.template).decide(question.evidence, question.quantity, recipe)


def explain(templates: Iterable[Template], question: Question) -> str:
    """The short reasoning from the deciding values to the answer, one or two sentences."""
    template = find(templates, question.template)
    if question.evidence.get("count") == 0 and question.evidence.get("events") == []:
        return _sentence("No such movement is seen {window}.", question.quantity, question.window, None, {})
    spoken = {k: v if k in ("event", "anchor") else _spoken(v) for k, v in question.evidence.items()}
    fields = {**spoken, **_sides(question.evidence), "answer_low": question.answer_text[:1].lower() + question.answer_text[1:]}
    return _sentence(template.because, question.quantity, question.window, "the person", fields)


def find(templates: Iterable[Template], name: str) -> Template:
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
    filled = " ".join(text.format(**{**known, **(first._asdict() if first else {}), **fields}).split())
    return filled[:1].upper() + filled[1:]


def ordinal(name: str) -> str:
    """ "for the first time" for "left#1", "" for a name without a number."""
    number = name.partition("#")[2]
    return {"1": "for the first time", "2": "for the second time", "3": "for the third time"}.get(number, "")
