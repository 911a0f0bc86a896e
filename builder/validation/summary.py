"""The numbers of a validation over all clips, and per kind of camera, from its per-clip records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from builder.recipe import Recipe
from builder.types import CATEGORIES
from builder.validation.agreement import rates
from builder.validation.fit import fitted

RESAMPLES = 2000
MEDIANS = ("ate_m", "end_m", "drift_per_m", "rte_percent", "path_ratio", "scale_ratio", "height_m", "heading_median_deg", "heading_p90_deg")
MEDIANS_ALSO = ("anchor_deg", "bearing_deg", "lean_median_deg", "w_mpjpe_mm", "wa_mpjpe_mm", "jitter", "jitter_truth", "foot_sliding_mm")
ABSOLUTE = ("anchor_deg",)  # signed, so their size is what counts

Record = Mapping[str, Any]


def summary(records: Sequence[Record], recipe: Recipe, lifter: str) -> dict[str, Any]:
    """Everything that `validation.json` holds, JSON-ready; all of it follows from `records` (as `validate` makes them)."""
    people = [person for record in records for person in record["people"]]
    kinds = sorted({record["camera"] for record in records})
    medians = _medians(people)
    robust, unfiltered = ([a for p in people for a in p["answers"][name]] for name in ("robust", "unfiltered"))
    agreement, by_category = rates(robust)
    agreement_unfiltered, by_category_unfiltered = rates(unfiltered)
    return {
        "lifter": lifter,
        "recipe": {"name": recipe.name, "digest": recipe.digest},
        "clips": len(records),
        "accepted": sum(bool(record["people"]) for record in records),
        "refused": [{"clip_id": r["clip_id"], "camera": r["camera"], "reason": why} for r in records for why in r["refused"]],
        "answer_agreement": agreement,
        "answer_agreement_interval": interval(people),
        "answer_agreement_by_category": by_category,
        "answer_agreement_unfiltered": agreement_unfiltered,
        "answer_agreement_unfiltered_by_category": by_category_unfiltered,
        "questions": len(robust),
        "questions_by_category": dict(Counter(a["category"] for a in robust)),
        "questions_fewest_per_person": min((len(p["answers"]["robust"]) for p in people), default=0),
        "questions_unfiltered": len(unfiltered),
        "rte_percent_median": medians["rte_percent"],
        "ate_m_median": medians["ate_m"],
        "heading_error_deg_median": medians["heading_median_deg"],
        "heading_flip_rate": _flips(people),
        "medians": medians,
        "too_short_for_rte": sum(p["errors"]["rte_percent"] is None for p in people),
        "by_camera": {kind: _of_camera([r for r in records if r["camera"] == kind]) for kind in kinds},
        "events": _events(people),
        "fitted": vars(fitted((p["perturbations"] for p in people), recipe)),
        "per_clip": [_line(record) for record in records],
    }


def _of_camera(records: Sequence[Record]) -> dict[str, Any]:
    people = [person for record in records for person in record["people"]]
    medians = _medians(people)
    return {
        "clips": len(records),
        "refused": sum(bool(r["refused"]) for r in records),
        "answer_agreement": rates([a for p in people for a in p["answers"]["robust"]])[0],
        "rte_percent_median": medians["rte_percent"],
        "ate_m_median": medians["ate_m"],
        "heading_error_deg_median": medians["heading_median_deg"],
        "heading_flip_rate": _flips(people),
        "anchor_deg_median": medians["anchor_deg"],
        "drift_per_m_median": medians["drift_per_m"],
    }


def _medians(people: Sequence[Record]) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name in (*MEDIANS, *MEDIANS_ALSO):
        found = [p["errors"][name] for p in people if p["errors"][name] is not None]
        values = np.abs(found) if name in ABSOLUTE else np.asarray(found)
        out[name] = round(float(np.median(values)), 4) if found else None
    return out


def _flips(people: Sequence[Record]) -> float:
    """Share of all frames in which the heading is more than 90 degrees off."""
    frames = np.array([p["errors"]["frames"] for p in people], dtype=float)
    return round(float(np.dot(frames, [p["errors"]["flip_rate"] for p in people]) / frames.sum()), 5) if len(people) else 0.0


def _events(people: Sequence[Record]) -> dict[str, dict[str, float | int]]:
    """Per channel or named movement: numbers found and true, precision and recall."""
    total: dict[str, Counter[str]] = {}
    for person in people:
        for code, tally in person["events"].items():
            total.setdefault(code, Counter()).update(tally)
    return {
        code: {
            "found": t["found"],
            "true": t["true"],
            "precision": round(t["matched"] / t["found"], 4) if t["found"] else 0.0,
            "recall": round(t["matched"] / t["true"], 4) if t["true"] else 0.0,
        }
        for code, t in sorted(total.items())
    }


def _line(record: Record) -> dict[str, Any]:
    people = [
        {
            "person_id": p["person_id"],
            "verdict": p["verdict"],
            "camera_mode": p["camera_mode"],
            "focal_source": p["focal_source"],
            "questions": len(p["answers"]["robust"]),
            "disagreements": sum(not a["agrees"] for a in p["answers"]["robust"]),
            **p["errors"],
        }
        for p in record["people"]
    ]
    return {"clip_id": record["clip_id"], "camera": record["camera"], "refused": record["refused"], "people": people}


def interval(people: Sequence[Record]) -> list[float] | None:
    """95 % interval of the answer agreement, by bootstrap over the people."""
    counts = np.array([[sum(a["agrees"] for a in p["answers"]["robust"]), len(p["answers"]["robust"])] for p in people], dtype=float)
    if not len(counts) or not counts[:, 1].sum():
        return None
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(0, len(counts), (RESAMPLES, len(counts)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [0.025, 0.975])
    return [round(float(low), 4), round(float(high), 4)]


def table(found: Mapping[str, Any]) -> str:
    """The numbers as text for a terminal."""

    def cell(value: Any, percent: bool = False, digits: int = 2) -> str:
        return "-" if value is None else f"{100 * value:.1f} %" if percent else f"{value:.{digits}f}"

    head = f"{'camera':10} {'clips':>5} {'refused':>7} {'answers':>8} {'RTE %':>6} {'ATE m':>6} {'heading':>7} {'flips':>6}"
    lines = [head]
    whole = {**found, "refused": len({r["clip_id"] for r in found["refused"]})}
    for kind, r in (*found["by_camera"].items(), ("all", whole)):
        lines.append(
            f"{kind:10} {r['clips']:5d} {r['refused']:7d} {cell(r['answer_agreement'], True):>8} {cell(r['rte_percent_median']):>6} "
            f"{cell(r['ate_m_median']):>6} {cell(r['heading_error_deg_median'], digits=1):>7} {cell(r['heading_flip_rate'], True):>6}"
        )
    lines += ["", f"{'category':22} {'questions':>9} {'agree':>8} {'unfiltered':>10}"]
    for category in CATEGORIES:
        agree, loose = (found[f"answer_agreement{kind}_by_category"].get(category) for kind in ("", "_unfiltered"))
        lines.append(f"{category:22} {found['questions_by_category'].get(category, 0):9d} {cell(agree, True):>8} {cell(loose, True):>10}")
    low, high = found["answer_agreement_interval"] or (None, None)
    agree, loose = found["answer_agreement"], found["answer_agreement_unfiltered"]
    lines.append(f"{'all':22} {found['questions']:9d} {cell(agree, True):>8} {cell(loose, True):>10}")
    lines.append(f"95 % interval of the agreement (over people): {cell(low, True)} to {cell(high, True)}")
    return "\n".join(lines)
