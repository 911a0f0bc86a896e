"""Score runs from their samples, without a model: a table, results.json per run, and pictures.

Folders that hold shares of one run count as one.  Runs of one model in several modes also give what each probe costs it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.terminal import busy
from builder.verbs import quiet_option

HELP = "runs into tables and pictures; needs no model"
EXAMPLE = "humanmovevqa score runs/qwen3_vl-video-1a2b3c4d runs/qwen3_vl-blind-5e6f7a8b --out scores"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for table and pictures (default: the run's own, or ./scores for several)"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON in place of the tables")
    parser.add_argument("--published", action="store_true", help="add the paper's published rows to the table, marked as such")
    quiet_option(parser, "the tables and errors")


def run(args: argparse.Namespace) -> int:
    """Print the table and write it, the numbers and the pictures."""
    import json

    from builder import runs, store, tables, viz

    with busy("scoring", args.quiet):
        found = runs.read(args.runs)
        results = [runs.write_results(one) for one in found]
    out: Path = args.out or (found[0].folder if len(found) == 1 else Path("scores"))
    store.need_folder(out)
    drops = runs.probe_drops(found)
    pictures = {
        "categories.svg": viz.category_bars(results),
        "sources.svg": viz.source_heatmap(results),
        "probes.svg": viz.probe_bars(drops),
    }
    for name, picture in pictures.items():
        if picture:
            store.write_atomic(out / name, picture.encode())
    rows = [*results, *(tables.PUBLISHED if args.published else ())]
    text = json.dumps({"runs": results, "drops": drops}, indent=1, ensure_ascii=False)
    if len(found) > 1:
        store.write_atomic(out / "scores.json", f"{text}\n".encode())
        store.write_atomic(out / "scores.md", tables.page(results).encode())
    if args.json:
        print(text)
        return 0
    print("\n".join(tables.table(rows)))
    for result in results:
        print("\n".join(["", f"{result['title']}:", *tables.notes(result)]))
    return 0
