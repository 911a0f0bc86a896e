"""Make the clips of a licensed copy as videos, from its folders of images: constant rate, H.264, one image per frame, in the shape that
they have; `videos.json` keeps frame count, size and SHA-256 of each.  Nothing else is copied.

Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder import plugins
from builder.terminal import bar, busy
from builder.types import HumanMoveError, SetupError
from builder.verbs import at_least, licensed, quiet_option

HELP = "make and verify the clips of a licensed copy"
EXAMPLE = "humanmovevqa videos emdb=/data/EMDB --out videos"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("source", metavar="SOURCE=ROOT", help="a source of licensed recordings and the folder of your copy")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the videos, as `video_path` in the dataset has them"
    )
    parser.add_argument(
        "--longest-side", type=int, default=960, metavar="PIXELS", help="of the videos; images are never enlarged (default: 960)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    quiet_option(parser, "errors")


def run(args: argparse.Namespace) -> int:
    """Make the videos that are not there yet; 2 when some could not be made."""
    from builder import footage, store

    at_least(args, limit=1, longest_side=16)
    name, root, folder = licensed(args.source)
    source = plugins.load("sources", name)
    store.need_folder(args.out)
    manifest = footage.Manifest(args.out)
    with busy("looking through the copy", args.quiet):
        clips = sorted(source.clips(root), key=lambda clip: clip.clip_id)[: args.limit]
    made = kept = 0
    failed: list[str] = []
    with bar(f"videos of {name}", len(clips), args.quiet) as progress:
        for done, clip in enumerate(clips, 1):
            try:
                film = source.film_of(clip)
                if manifest.has(film, args.longest_side):
                    kept += 1
                else:
                    manifest.add(film.path, footage.write(film, args.out / film.path, args.longest_side))
                    made += 1
            except SetupError:
                raise
            except HumanMoveError as error:
                failed.append(f"skipped {clip.clip_id}: {' '.join(str(error).split()).replace(str(folder), root)}")
            progress(done, len(clips), clip.clip_id)
    for line in failed:
        print(line, file=sys.stderr)
    if not args.quiet:
        print(f"{made} videos made, {kept} there already, {len(failed)} skipped; {args.out / footage.MANIFEST} lists them", file=sys.stderr)
    return 2 if failed else 0
