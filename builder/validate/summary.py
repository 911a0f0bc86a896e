"""The numbers of a validation over all clips and per kind of camera, from its per-clip records, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from builder.recipe import Recipe
from builder.types import CATEGORIES
from builder.validate.fit import fitted

RESAMPLES = 2000
SIGNED = ("scale_error", "height_drift_m", "bearing_error_deg", "anchor_heading_error_deg")  # their size is what counts
NOT_ERRORS = ("frames", "heading_frames", "heading_frame", "heading_flip_rate")
HIDDEN = ("errors", "series", "disagreements")  # of a person's record: kept out of the per-clip rows

Person = Mapping[str, Any]


def summary(records: Sequence[Mapping[str, Any]], recipe: Recipe, lifter: str, options: Mapping[str, str]) -> dict[str, Any]:
    """What `validation.json` holds, JSON-ready; every number follows from `records` (one per clip, as `run.record` makes them)."""
    people = [person for record in records for person in record["people"]]
    sizes, used = fitted([p["errors"] for p in people])
    refused = [{"clip_id": r["clip_id"], "camera": r["camera"], "reason": why} for r in records for why in r["refused"]]
    return {
        "lifter": lifter,
        "options": dict(options),
        "recipe": {"name": recipe.name, "digest": recipe.digest},
        "clips": len(records),
        "accepted": sum(bool(r["people"]) for r in records),
        "refused": refused,
        "people_invented": sum(r["invented"] for r in records),
        **_numbers(people),
        "answer_agreement_interval": interval([_right(r["people"], "answers") for r in records], recipe.seed),
        "answer_agreement_unfiltered_interval": interval([_right(r["people"], "answers_unfiltered") for r in records], recipe.seed),
        "answer_agreement_by_template": _shares(_added(p["templates"] for p in people)),
        "disagreements": sum(len(p["disagreements"]) for p in people),
        "disagreements_unformed": sum(d["truth"] is None for p in people for d in p["disagreements"]),
        "medians": _medians(people),
        "paths_too_short_for_rte": sum(p["metrics"]["rte_percent"] is None for p in people),
        "events": _events(people),
        "fitted": sizes,
        "fitted_from": used,
        "by_camera": {
            camera: {"clips": len(here), "refused": sum(bool(r["refused"]) for r in here)}
            | _numbers([p for r in here for p in r["people"]])
            | {"medians": _medians([p for r in here for p in r["people"]])}
            for camera in sorted({r["camera"] for r in records})
            for here in [[r for r in records if r["camera"] == camera]]
        },
        "per_clip": [
            {"clip_id": r["clip_id"], "camera": r["camera"], "refused": r["refused"]}
            | {"people": [{k: v for k, v in p.items() if k not in HIDDEN} for p in r["people"]]}
            for r in records
        ],
    }


def _numbers(people: Sequence[Person]) -> dict[str, Any]:
    """The headline numbers of some people, the same for all of them and for one kind of camera."""
    robust, loose = (_added(p[name] for p in people) for name in ("answers", "answers_unfiltered"))
    medians = _medians(people)
    return {
        "answer_agreement": _share(robust),
        "answer_agreement_by_category": _shares(robust),
        "answer_agreement_unfiltered": _share(loose),
        "answer_agreement_unfiltered_by_category": _shares(loose),
        "questions": sum(asked for _, asked in robust.values()),
        "questions_by_category": {name: robust[name][1] for name in CATEGORIES if name in robust},
        "questions_unfiltered": sum(asked for _, asked in loose.values()),
        "rte_percent_median": medians.get("rte_percent"),
        "ate_m_median": medians.get("ate_m"),
        "heading_error_deg_median": medians.get("heading_error_deg"),
        "heading_flip_rate": _flip_rate(people),
    }


def _added(tallies: Any) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for tally in tallies:
        for name, (right, asked) in tally.items():
            cell = out.setdefault(name, [0, 0])
            cell[0] += right
            cell[1] += asked
    return out


def _share(tally: Mapping[str, Sequence[int]]) -> float | None:
    asked = sum(n for _, n in tally.values())
    return round(sum(right for right, _ in tally.values()) / asked, 4) if asked else None


def _shares(tally: Mapping[str, Sequence[int]]) -> dict[str, float]:
    order = (*CATEGORIES, *sorted(set(tally) - set(CATEGORIES)))
    return {name: round(tally[name][0] / tally[name][1], 4) for name in order if name in tally and tally[name][1]}


def _right(people: Sequence[Person], name: str) -> tuple[int, int]:
    cells = [cell for p in people for cell in p[name].values()]
    return sum(right for right, _ in cells), sum(asked for _, asked in cells)


def interval(counts: Sequence[tuple[int, int]], seed: int) -> list[float] | None:
    """95 % interval of right / asked by bootstrap over clips, each (right, asked); None with nothing asked."""
    table = np.array([c for c in counts if c[1]], dtype=float)
    if not len(table):
        return None
    drawn = table[np.random.default_rng(seed).integers(0, len(table), (RESAMPLES, len(table)))].sum(axis=1)
    return [round(float(v), 4) for v in np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])]


def _medians(people: Sequence[Person]) -> dict[str, float]:
    """Median over people of every metric that somebody has, of its size where it is signed."""
    out = {}
    for name in dict.fromkeys(name for p in people for name in p["metrics"] if name not in NOT_ERRORS):
        found = [p["metrics"][name] for p in people if p["metrics"].get(name) is not None]
        if found:
            out[name] = round(float(np.median(np.abs(found) if name in SIGNED else found)), 4)
    return out


def _flip_rate(people: Sequence[Person]) -> float | None:
    """Share of all frames with a heading whose error is more than 90 degrees."""
    found = [(p["metrics"]["heading_frames"], p["metrics"]["heading_flip_rate"]) for p in people if p["metrics"]["heading_frames"]]
    frames = sum(n for n, _ in found)
    return round(sum(n * rate for n, rate in found) / frames, 5) if frames else None


def _events(people: Sequence[Person]) -> dict[str, dict[str, Any]]:
    """Per channel and named movement: numbers, precision, recall, and the matched events' median onset difference in seconds."""
    out: dict[str, dict[str, Any]] = {}
    for code in sorted({code for p in people for code in p["events"]}):
        cells = [p["events"][code] for p in people if code in p["events"]]
        found, true, same = (sum(c[name] for c in cells) for name in ("found", "true", "matched"))
        onsets = np.abs([s for c in cells for s in c["onset_s"]])
        out[code] = {
            "found": found,
            "true": true,
            "precision": round(same / found, 4) if found else None,
            "recall": round(same / true, 4) if true else None,
            "onset_error_s": round(float(np.median(onsets)), 3) if len(onsets) else None,
        }
    return out


def table(found: Mapping[str, Any]) -> str:
    """The numbers as text for a terminal."""
    share: Callable[[Any], str] = lambda v: "-" if v is None else f"{100 * v:.1f} %"  # noqa: E731
    number: Callable[[Any], str] = lambda v: "-" if v is None else f"{v:.2f}"  # noqa: E731
    lines = [f"{'camera':12} {'clips':>5} {'refused':>7} {'answers':>8} {'RTE %':>6} {'ATE m':>6} {'heading':>8} {'flips':>7}"]
    whole = {**found, "refused": sum(bool(r["refused"]) for r in found["per_clip"])}
    for name, r in (*found["by_camera"].items(), ("all", whole)):
        lines.append(
            f"{name:12} {r['clips']:5d} {r['refused']:7d} {share(r['answer_agreement']):>8} {number(r['rte_percent_median']):>6} "
            f"{number(r['ate_m_median']):>6} {number(r['heading_error_deg_median']):>8} {share(r['heading_flip_rate']):>7}"
        )
    lines += ["", f"{'category':22} {'questions':>9} {'answers':>8} {'unfiltered':>10}"]
    tight, loose = found["answer_agreement_by_category"], found["answer_agreement_unfiltered_by_category"]
    for name in CATEGORIES:
        asked = found["questions_by_category"].get(name, 0)
        lines.append(f"{name:22} {asked:9d} {share(tight.get(name)):>8} {share(loose.get(name)):>10}")
    totals = share(found["answer_agreement"]), share(found["answer_agreement_unfiltered"])
    lines.append(f"{'all':22} {found['questions']:9d} {totals[0]:>8} {totals[1]:>10}")
    if found["answer_agreement_interval"]:
        low, high = found["answer_agreement_interval"]
        lines.append(f"95 % interval of the answers, over clips: {share(low)} to {share(high)}")
    short = found["paths_too_short_for_rte"]
    if short:
        lines.append(f"{short} of {found['accepted']} clips have a path under 1 m and no RTE")
    return "\n".join(lines)
