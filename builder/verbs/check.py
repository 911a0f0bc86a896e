"""Say whether a licensed copy of EMDB, RICH or EgoBody is as the readers expect: what was found per sequence, whether the people
land in the pictures, and what could not be verified without a copy.

The exit code is 0 when every recording can be used, else 2.  The output is made for a bug report.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from builder import __version__, plugins
from builder.terminal import bar, busy
from builder.verbs import licensed, quiet_option

HELP = "does this licensed copy look as expected?"
EXAMPLE = "humanmovevqa check emdb=/data/EMDB"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("source", metavar="SOURCE=ROOT", help="a source of licensed recordings and the folder of your copy")
    parser.add_argument("--every-frame", action="store_true", help="read every fit of every clip, not only some (minutes)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    quiet_option(parser, "what was found")


def run(args: argparse.Namespace) -> int:
    """Check a copy and print what was found; 2 when something cannot be used."""
    from builder import check, recordings

    name, root, folder = licensed(args.source)
    source = plugins.load("sources", name)
    with busy("looking through the copy", args.quiet):
        attempts = source.found(folder)
    with bar(f"checking {name}", len(attempts), args.quiet) as progress:
        found = check.examine(source, folder, attempts, args.every_frame, progress)
    found = {"program": __version__, "source": name, "body_models": bool(os.environ.get(recordings.MODELS)), **found}
    text = json.dumps(found, indent=1) if args.json else "\n".join(_lines(name, root, found))
    print(text.replace(str(folder), root))
    return 0 if set(found["verdicts"]) <= {"ok", "look"} else 2


def _lines(name: str, root: str, found: dict[str, Any]) -> list[str]:
    from builder import check

    models = "given: exact pelvis" if found["body_models"] else "not given: approximate pelvis"
    out = [
        f"humanmovevqa {found['program']}: {name}={root}: {len(found['recordings'])} of {found['of']} recordings, {found['clips']} clips;"
        f" body models {models}",
        "",
        *check.table(found),
    ]
    for kind, title in (("bad", "cannot be used"), ("look", "unusual, worth a look")):
        lines = [f"  {one['sequence']}: {text}" for one in found["recordings"] for text in one[kind]]
        out += ["", f"{title}:", *lines] if lines else []
    whole, groups = sum("group" in one for one in found["recordings"]), found["groups"]
    out += [
        "",
        f"split: {groups['number']} groups of people who are never parted; the largest has {groups['largest']} of {whole} recordings",
    ]
    if found["packed"]:
        out += ["", f"archives in the root, perhaps not unpacked yet: {', '.join(found['packed'])}"]
    if found["seen_here"]:
        out += ["", "on this copy:"]
        out += [f"  {what}: {text} ({n})" for what, texts in found["seen_here"].items() for text, n in texts.items()]
    out += ["", "not verified by the authors of this program, who have no copy:", *(f"  {point}" for point in found["unverified"])]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in found["verdicts"].items())
    good = set(found["verdicts"]) <= {"ok", "look"}
    return [*out, "", f"verdict: {'as expected' if good else 'NOT as expected'} ({counts})"]
