"""Runs and published figures as one kind of Markdown table, so that what is measured here and what was published look alike.

Every row says what it is.  Published figures are those of the paper, on the paper's own questions: category names are shared,
questions are not, so they stand beside ours for orientation and never in one ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builder.types import CATEGORIES

FEW_VIDEOS = 10
SHORT = {"trajectory_affordance": "trajectory"}
# What the paper states (arXiv 2606.27999) and public notes on it repeat; "which mean" is not said for the first two.
PUBLISHED: tuple[Mapping[str, Any], ...] = (
    {"title": "Gemini-3-Flash", "about": "published, zero-shot; whole test set", "score_macro": 14.3, "n": 10203},
    {
        "title": "Qwen3-VL-8B, fine-tuned",
        "about": "published, LoRA on the paper's train split; whole test set",
        "score_macro": 43.0,
        "n": 10203,
    },
    {"title": "Qwen3-VL-8B", "about": "published, zero-shot; EMDB", "score_macro": 12.8, "n": 786},
    {"title": "Qwen3-VL-8B, fine-tuned", "about": "published; EMDB", "score_macro": 37.9, "n": 786},
    {"title": "MotionLLM", "about": "published; EMDB", "score_macro": -9.5, "n": 786},
    {"title": "people", "about": "published, a subset; EMDB", "score_macro": 78.7, "n": None},
)


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown page of one or more results: the table, and per run what a reader must know before trusting it."""
    lines = ["# Scores", "", *table(found), ""]
    lines += ["0 is guessing, 100 all right; not clipped. Score: mean of the categories, with a 95 % interval over videos.", ""]
    for one in found:
        lines += [f"## {one['title']}", "", *notes(one), ""]
        if len(one["by_source"]) > 1:
            lines += [*by_source(one), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row per result: title, what it is, score with interval, categories, unreadable replies, questions."""
    present = {c for one in found for c in one.get("by_category") or {}}
    categories = [*(c for c in CATEGORIES if c in present), *sorted(present - set(CATEGORIES))]
    heads = ["model", "what it is", "score", *(SHORT.get(c, c) for c in categories), "per question", "unreadable", "n"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for one in found:
        by = one.get("by_category") or {}
        cells = [one["title"], one["about"], points(one["score_macro"], one.get("interval"))]
        cells += [number(by[c]["score"]) if c in by else "" for c in categories]
        invalid = one.get("invalid_rate")
        cells += [
            number(one["score_micro"]) if "score_micro" in one else "",
            "" if invalid is None else f"{invalid:.1f} %",
            "" if one["n"] is None else f"{one['n']:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def by_source(one: Mapping[str, Any]) -> list[str]:
    """The scores of one run per source and category."""
    categories = list(one["by_category"])
    heads = ["source", "score", *(SHORT.get(c, c) for c in categories), "n"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for source, cell in one["by_source"].items():
        cells = [source, points(cell["score"], cell["interval"]), *(number(cell["by_category"][c]["score"]) for c in categories)]
        lines.append(f"| {' | '.join([*cells, format(cell['n'], ',')])} |")
    return [*lines, f"| mean of sources | {number(one['score_source_macro'])} | {' | '.join([''] * (len(categories) + 1))} |"]


def notes(one: Mapping[str, Any]) -> list[str]:
    """What has to be known of a run: what it left out, what could not be read, and how."""
    data = one["data"]
    lines = [
        f"- {one['about']}; mode {one['mode']}; {data['name']}, config {data['config']}, split {data['split']} ({data['fingerprint']})."
    ]
    if one["n"]:
        right = f"{one['accuracy']:.1f} % right where guessing gives {one['chance']:.1f} %"
        few = "; an interval over so few videos says little" if one["videos"] < FEW_VIDEOS else ""
        lines.append(f"- {one['n']:,} questions about {one['videos']} videos{few}; {right}.")
    if one["expected"] > one["n"]:
        left = one["unanswered"]
        named = ", ".join(f"{video} ({number})" for video, number in list(left.items())[:5]) + (", ..." if len(left) > 5 else "")
        count = f"{one['expected'] - one['n']:,} of {one['expected']:,} questions"
        lines.append(f"- **{count} have no answer** and are not in the score: {named}.")
    if one["invalid_rate"]:
        share, valid = f"{one['invalid_rate']:.1f} % of the replies", number(one["score_valid_only"])
        lines.append(f"- {share} name no option and count as wrong; over the others alone the score is {valid}.")
    odd = {k: v for k, v in one["finish"].items() if k != "stop"}
    if odd:
        lines.append(f"- Replies that did not end by themselves: {', '.join(f'{v} {k}' for k, v in odd.items())}.")
    if one["read_differently"]:
        lines.append(f"- {one['read_differently']} replies are read differently by this parser than when they were given.")
    if "circular" in one:
        c = one["circular"]
        lines.append(
            f"- Options rotated: {number(c['all_right'])} % of {c['questions']} questions right in every rotation "
            f"(guessing anew: {number(c['chance_all_right'])} %), {number(c['accuracy'])} % of all answers right."
        )
    return lines


def compared(first: str, second: str, found: Mapping[str, Any]) -> str:
    """The Markdown page of `scoring.compare`."""
    lines = [f"# {second} minus {first}", "", f"| | {first} | {second} | difference |", "|---|---|---|---|"]
    for name, title in (("macro", "score"), ("micro", "per question")):
        one = found[name]
        lines.append(
            f"| {title} | {number(one['first'])} | {number(one['second'])} | {points(one['difference'], one['interval'], sign=True)} |"
        )
    for category, one in found["by_category"].items():
        lines.append(f"| {SHORT.get(category, category)} | | | {points(one['difference'], one['interval'], sign=True)} |")
    lines += ["", f"{found['n']:,} shared questions about {found['videos']} videos, drawn together for both; 95 % intervals."]
    lines.append(f"Right only in {first}: {found['only_first_right']:,}; only in {second}: {found['only_second_right']:,}.")
    lines.append(f"{second} is ahead in {100 * found['macro']['better']:.1f} % of the draws.")
    if found["only_in_first"] or found["only_in_second"]:
        lines.append(
            f"Left out: {found['only_in_first']:,} that only {first} answered, {found['only_in_second']:,} that only {second} did."
        )
    return "\n".join(lines) + "\n"


def points(value: float | None, interval: Sequence[float] | None = None, sign: bool = False) -> str:
    """A score, with its interval where it has one."""
    text = number(value, sign)
    return text if interval is None else f"{text} [{number(interval[0], sign)}, {number(interval[1], sign)}]"


def number(value: float | None, sign: bool = False) -> str:
    """One decimal, or a dash for what is not known."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.1f}"
