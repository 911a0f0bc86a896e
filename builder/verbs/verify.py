"""Are the videos that a dataset asks about there, and the right ones?  Ask before a model is loaded.

Sizes and SHA-256 are those that `humanmovevqa videos` wrote into the folder's videos.json; where there is none, a clip must open
and hold as many frames as the dataset says.  The exit code is 0 only when every clip is found.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from builder.terminal import bar, busy
from builder.types import DataError
from builder.verbs import BUILT_OR_SAMPLE, data_of, quiet_option

HELP = "check that a dataset's videos are there and the right ones"
EXAMPLE = "humanmovevqa verify --data your-name/humanmovevqa --config emdb --videos clips"
SHOWN = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--data", metavar="DIR|REPO", help=f"a built folder, or OWNER/NAME on the Hub {BUILT_OR_SAMPLE}")
    parser.add_argument("--config", default="all", metavar="NAME", help="a source of the dataset (default: all)")
    parser.add_argument("--split", metavar="NAME", help="one split (default: all)")
    parser.add_argument("--revision", metavar="TAG", help="a version on the Hub (default: the newest)")
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="the folder with <source>/<sequence>/<clip>.mp4 (default: HUMANMOVEVQA_VIDEO_DIR)"
    )
    parser.add_argument("--fast", action="store_true", help="compare sizes, not SHA-256")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="what was found, clip by clip, into FILE, or printed in place of the table"
    )
    quiet_option(parser, "what is wrong")


def run(args: argparse.Namespace) -> int:
    """Check every clip, print a table, and say what is wrong."""
    from builder import clip_files, export, hub, store

    data = data_of(args)
    folder = hub.built_folder(data, args.revision)
    have = export.configs(folder)
    if args.config not in have or (args.split and args.split not in have[args.config]):
        there = "; ".join(f"{c}: {', '.join(s)}" for c, s in have.items())
        raise DataError(f"--config {args.config}{f' --split {args.split}' if args.split else ''}: {data} holds {there}")
    root = clip_files.folder(args.videos)
    splits = {s: files for s, files in have[args.config].items() if args.split in (None, s)}
    with busy("reading the questions", args.quiet):
        clips = clip_files.wanted(export.rows((f for files in splits.values() for f in files), clip_files.Wanted._fields))
    with bar("checking videos", len(clips), args.quiet) as progress:
        findings = clip_files.check(clips, root, not args.fast, progress)
    wrong = [f for f in findings if f.verdict != clip_files.FOUND]
    if args.json:
        record = [{"source": f.clip.source, "video_path": f.clip.video_path, "verdict": f.verdict, "detail": f.detail} for f in findings]
        text = json.dumps(record, indent=1)
        if args.json == "-":
            print(text)
        else:
            store.write_atomic(Path(args.json), f"{text}\n".encode())
    if args.json != "-" and (wrong or not args.quiet):
        _table(clip_files.tally(findings), clip_files.VERDICTS)
    for finding in wrong[:SHOWN]:
        print(f"{finding.verdict}: {finding.clip.video_path}: {finding.detail}", file=sys.stderr)
    if len(wrong) > SHOWN:
        print(f"... and {len(wrong) - SHOWN} more{'' if args.json else '; --json FILE lists them'}", file=sys.stderr)
    return 2 if wrong else 0


def _table(tally: dict[str, dict[str, int]], verdicts: tuple[str, ...]) -> None:
    shown = [v for v in verdicts if v == "found" or any(counts[v] for counts in tally.values())]
    width = max(len("source"), *map(len, tally))
    print("  ".join([f"{'source':{width}}", "clips", *shown]))
    for source, counts in tally.items():
        print("  ".join([f"{source:{width}}", f"{sum(counts.values()):>5}", *(f"{counts[v]:>{len(v)}}" for v in shown)]))
