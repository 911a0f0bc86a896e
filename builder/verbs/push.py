"""Publish a built dataset on the Hub: one commit, or none when nothing has changed; never over other people's work.

--dry-run shows what would change and sends nothing.  With --split the named splits are added or replaced and all other data keep
their bytes.  Videos are sent only with --with-videos, and only of sources whose terms allow it.  --space and --model push a
ready folder as such a repo, by the same rules; --space without a folder pushes the demo.
The token is that of `hf auth login`, or HF_TOKEN.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from builder.terminal import busy
from builder.types import BuildError, DataError
from builder.verbs import quiet_option
from builder.verbs.demo import staged

HELP = "publish a dataset, a Space or a model on the Hub"
EXAMPLE = "humanmovevqa push your-name/humanmovevqa --with-videos --dry-run"
BUILT = Path("humanmovevqa")
NUMBERS = ("lifter", "clips", "questions", "answer_agreement", "rte_percent_median", "heading_error_deg_median")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("repo", nargs="?", metavar="REPO_ID", help="OWNER/NAME on the Hub (default: HUMANMOVEVQA_REPO)")
    parser.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="the folder to publish (default: ./humanmovevqa)")
    parser.add_argument("--split", action="append", metavar="NAME", default=[], help="add or replace this split only; repeatable")
    parser.add_argument("--with-videos", action="store_true", help="send the clips of open sources too: they play on its page")
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="where those clips lie (default: HUMANMOVEVQA_VIDEO_DIR, and the package)"
    )
    parser.add_argument(
        "--validation", action="append", type=Path, metavar="FILE", default=[], help="a validation.json for the card; repeatable"
    )
    parser.add_argument("--no-eval", action="store_true", help="leave out eval.yaml, which registers the benchmark's tasks")
    kind = parser.add_mutually_exclusive_group()
    for name, what in (("space", "a Space"), ("model", "a model")):
        kind.add_argument(f"--{name}", nargs="?", type=Path, const=True, metavar="DIR", help=f"push a folder as {what} (DIR, or --from)")
    parser.add_argument("--private", action="store_true", help="make a new repo private")
    parser.add_argument("--pr", action="store_true", help="open a pull request instead of committing to main")
    parser.add_argument("--tag", metavar="NAME", help="name the result as a release, such as v1.0")
    parser.add_argument("--message", default="", metavar="TEXT", help="the commit's message")
    parser.add_argument("--discard-edits", action="store_true", help="overwrite what somebody else has changed there")
    parser.add_argument("--dry-run", action="store_true", help="show what would change; send nothing")
    quiet_option(parser, "errors")


def run(args: argparse.Namespace) -> int:
    """Publish, and say what changed."""
    from builder import clip_files, hub
    from builder.hub.dataset import Choice

    def say(text: str) -> None:
        if not args.quiet:
            print(text, file=sys.stderr)

    hub.no_bars()  # ours tells it whole, and two at once cannot be read

    def wait(title: str) -> AbstractContextManager[None]:
        return busy(title, args.quiet)

    options = hub.Options(args.private, args.pr, args.dry_run, args.tag, args.discard_edits, args.message)
    kind = next((name for name in ("space", "model") if getattr(args, name)), "dataset")
    if kind != "dataset":
        given = getattr(args, kind)
        only = [f"--{n.replace('_', '-')}" for n in ("split", "with_videos", "videos", "validation", "no_eval") if getattr(args, n)]
        if only:
            raise BuildError(f"{only[0]} is for a dataset, not for a {kind}")
        if given is not True and args.folder:
            raise BuildError(f"--{kind} {given} and --from {args.folder}: expected one folder; give one of them")
        folder = args.folder if given is True else given
        if folder is None and kind == "space":  # ours, made anew
            with tempfile.TemporaryDirectory() as made:
                hub.publish_folder(staged(Path(made) / "space"), args.repo, kind, options, say, wait)
            return 0
        if folder is None:
            raise BuildError(f"--{kind}: expected the folder to push, as --{kind} DIR or --from DIR")
        hub.publish_folder(folder, args.repo, kind, options, say, wait)
        return 0
    if args.videos and not args.with_videos:
        raise BuildError("--videos DIR says where clips to be sent lie, and belongs to --with-videos; without it none are sent")
    choice = Choice(
        splits=tuple(args.split),
        with_videos=args.with_videos,
        videos=clip_files.folder(args.videos) if args.with_videos else None,
        evaluation=not args.no_eval,
        validation=tuple(_validation(path) for path in args.validation),
    )
    hub.publish_dataset(args.folder or BUILT, args.repo, choice, options, say, wait)
    return 0


def _validation(path: Path) -> Mapping[str, Any]:
    """The headline numbers of a `validation.json`.  Raises DataError for another file."""
    try:
        found = json.loads(path.read_bytes())
        return {name: found[name] for name in NUMBERS} | {"refused": len(found["refused"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"--validation {path}: expected the validation.json that `humanmovevqa validate` leaves ({error!r})") from None
