"""README's tables of what is measured, in Markdown, from the files in `evidence/`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def points(table: dict[str, Any]) -> str:
    """A score with its interval."""
    return f"{table['score']:.1f} [{table['low']:.1f}, {table['high']:.1f}]"


def render(found: dict[str, dict[str, Any]], asked: Iterable[str]) -> str:
    """README's tables of the measurements in `found`, in Markdown; `asked` names the rows of the evaluation in their order."""
    results = {name: record["result"] for name, record in found.items()}
    lines = ["| blind score (chance 0, always right 100) | by category priors | by question words |", "|---|---|---|"]
    titles = {
        "blind_synthetic": "1,000 scripted people, default recipe",
        "blind_paper": "the same people, released scripts' thresholds, nothing flattened",
        "blind_real": "real tracks",
    }
    for name, title in titles.items():
        r = results[name]
        tables = [r["blind"][solver] for solver in ("priors", "second")]
        few = "; too few to tell" if "too few" in tables[0]["verdict"] else ""
        scores = " | ".join(points(t["mean"]) for t in tables)
        lines.append(f"| {title}: mean of seven categories ({r['after']:,} questions{few}) | {scores} |")
        if name == "blind_synthetic":
            for category in tables[0]["by_category"]:
                lines.append(f"| - {category} | {' | '.join(points(t['by_category'][category]) for t in tables)} |")
    r = results["blind_synthetic"]
    kept = r["after"] / r["tracks"]
    lines += ["", f"Each scripted person gives {r['per_track']:.0f} questions (at most 10 per category); flattening keeps {kept:.0f}."]
    lines += ["", *large_lines(results["scale"])]
    lines += ["", *lifter_lines(results["lifter"], results["lifter_focal"])]
    lines += ["", *score_lines([results["rows_sample"][name] for name in asked])]
    lines += ["", *scale_lines(results["paper_scale"])]
    lines += ["", *spoilt_lines(results["spoilt_files"])]
    lines += ["", *reader_lines(results["track_reader"])]
    lines += ["", *study_lines(results["study_cross"])]
    return "\n".join(lines) + "\n"


def large_lines(r: dict[str, Any]) -> list[str]:
    """The large build, in Markdown."""
    tables = [r["blind"][solver] for solver in ("priors", "second")]
    worst = max(table["score"] for t in tables for table in t["by_category"].values())
    memory = [f"{r['peak_mb'][stage][when]:,}" for when in ("first", "last") for stage in ("ask", "merge")]
    cells = {
        "scripted people": f"{r['tracks']:,}",
        "hours to ask, 2 processes": f"{r['hours']['ask']:.1f}",
        "to merge": f"{r['hours']['merge']:.1f}",
        "MB of the largest process asking and merging, at 1,000": " and ".join(memory[:2]),
        "at the end": " and ".join(memory[2:]),
        "questions": f"{r['after']:,}",
        "dataset": f"{r['bytes'] / 1e6:,.0f} MB",
        "worst blind score of a category": f"{worst:.1f}",
    }
    return [f"| {' | '.join(cells)} |", "|" + "---|" * len(cells), f"| {' | '.join(cells.values())} |"]


def spoilt_lines(r: dict[str, Any]) -> list[str]:
    """What readers did with spoilt files, in words."""
    total = sum(sum(counts.values()) for counts in r.values())
    read_ = sum(counts.get("read", 0) for counts in r.values())
    what = f"Of {total:,} spoilt files and wild replies for {len(r)} readers,"
    return [f"{what} {read_:,} could still be read and the others were refused; nothing crashed or hung."]


def scale_lines(r: dict[str, Any]) -> list[str]:
    """How many questions recordings of the paper's number and length give, in Markdown."""
    from benchmarks.paper_scale import render as table

    return [
        f"Questions about {r['tracks']} people in 97 generated recordings of 20 to 60 s, in the form of the three datasets but scripted,",
        "beside the paper's; how many the real recordings give is not known here.",
        "",
        table(r),
    ]


def reader_lines(r: dict[str, Any]) -> list[str]:
    """What the track reader scores, in Markdown."""
    films, spent = r["films"], r["milliseconds"]
    columns = {
        "true tracks": r["true"],
        "with a lifter's errors": r["noisy"],
        "in words never seen": r["reworded"],
        "track hidden": r["hidden"],
    }
    columns |= {"films: true": films["true"], "films: lifted": films["lifted"]}
    once = spent["describe a track"] + spent["fill its tables"]

    def row(title: str, cells: list[str]) -> str:
        return f"| {title} | {' | '.join(cells)} |"

    def interval(one: dict[str, Any]) -> str:
        return f"{one['score_macro']:.1f} [{one['interval'][0]:.1f}, {one['interval'][1]:.1f}]"

    return [
        f"The packaged track reader, which reads tracks and never pixels, on {r['people']} scripted people it has never seen",
        f"({r['questions']:,} questions) and on {films['people']} filmed ones ({films['questions']:,} questions; the lifter refused",
        f"{films['refused']} more). One answer takes {spent['one question']:.0f} ms of CPU, and what is done once a track {once:.0f} ms.",
        "",
        row("track reader", list(columns)),
        "|" + "---|" * (1 + len(columns)),
        row("mean of seven categories", [interval(one) for one in columns.values()]),
        *(row(f"- {c}", [f"{one['by_category'][c]:.1f}" for one in columns.values()]) for c in r["true"]["by_category"]),
    ]


def study_lines(found: dict[str, Any]) -> list[str]:
    """The cross-dataset study, in Markdown."""
    from builder.train import studies

    plan = found["identity"]["plan"]
    _, _, *lines = studies.table(found)
    return [
        f"`train --recipe cross` on three groups of open tracks: track readers of {plan['steps']} steps each, far from trained to the end",
        "(the second group are short scripts about one place, the third 36 real motions, of which few are asked; `docs/study_cross.svg`):",
        "",
        *lines,
    ]


def score_lines(rated: list[dict[str, Any]]) -> list[str]:
    """The table of evaluation, in Markdown: what was asked here, then what the paper states."""
    from builder import tables

    one = rated[0]
    few = f"{one['n']} questions about {one['videos']} rendered clips"
    return [
        f"Rows that need no weights, on the packaged sample's test split ({few}, too few to tell small scores from 0), and the paper's",
        "published rows on its own questions, from the paper and public notes on it; it does not say which mean the first two are.",
        "",
        *tables.table([*rated, *tables.PUBLISHED]),
    ]


def lifter_lines(r: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """The validation of the default lifter, in Markdown; `told` is that of clips whose focal length it knew."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f} %"

    def row(title: str, v: dict[str, Any], refused: int) -> str:
        errors = (f"{v['rte_percent_median']:.2f}", f"{v['ate_m_median']:.2f}", f"{v['heading_error_deg_median']:.1f}")
        cells = (title, str(v["clips"]), str(refused), *errors, share(v["heading_flip_rate"]), share(v["answer_agreement"]))
        return f"| {' | '.join(cells)} |"

    lines = ["| default lifter, by camera | clips | refused | RTE % | ATE m | heading deg | flips | answers agree |", "|" + "---|" * 8]
    lines += [row(kind, v, v["refused"]) for kind, v in r["by_camera"].items()]
    lines += [row("all", r, sum(bool(one["refused"]) for one in r["per_clip"]))]
    lines += [row(f"{kind}, focal length told", v, v["refused"]) for kind, v in told["by_camera"].items()]
    lines += [
        "",
        "| answers of published questions that the truth gives too | questions | agree | without the robustness filter |",
        "|---|---|---|---|",
    ]
    tight, loose = r["answer_agreement_by_category"], r["answer_agreement_unfiltered_by_category"]
    for category, count in sorted(r["questions_by_category"].items()):
        lines.append(f"| {category} | {count} | {share(tight.get(category))} | {share(loose.get(category))} |")
    low, high = r["answer_agreement_interval"]
    interval = f"{share(r['answer_agreement'])} [{share(low)}, {share(high)}]"
    lines.append(f"| all | {r['questions']} | {interval} | {share(r['answer_agreement_unfiltered'])} |")
    return lines
