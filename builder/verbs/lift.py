"""Lift one video: for every person a track (.npz), what is known of it (.json) and a picture (.png), and a verdict."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from builder import plugins, recipe
from builder.terminal import busy
from builder.types import VideoError
from builder.verbs import lifter_options, options_of, quiet_option

HELP = "one video to the 3D tracks of its people"
EXAMPLE = "humanmovevqa lift holiday.mp4 --option subject_height_m=1.62"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    parser.add_argument("--lifter", default="monocular", metavar="NAME", help="video to track (default: monocular)")
    lifter_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write into (default: ./<name of the video>-lifted)")
    parser.add_argument("--json", action="store_true", help="print what is known of every person as JSON")
    quiet_option(parser)


def run(args: argparse.Namespace) -> int:
    """Lift one video and write what was found; 2 when nobody in it can be trusted."""
    from builder import lifting, motion, store, video, viz

    if not args.video.is_file():
        raise VideoError(f"{args.video}: expected a video file, found {'something else' if args.video.exists() else 'nothing'}")
    clip = plugins.load("sources", "folder").whole(args.video)
    out: Path = args.out or Path(f"{args.video.stem}-lifted")
    store.need_folder(out)
    with busy(f"lifting {args.video.name}", args.quiet):
        tracks = lifting.sort(lifting.load(args.lifter, options_of(args))(clip))
    known = []
    for track in tracks:
        name = "track" if len(tracks) == 1 else f"track-{store.plain(track.person_id)}"
        with busy("drawing", args.quiet):
            described = motion.describe(track, recipe.load())
            rows = viz.shown_frames(track)
            images, _ = video.sample_frames(args.video, [row / track.fps for row in rows])
            store.write_track(out / f"{name}.npz", track, clip)
            store.write_atomic(out / f"{name}.png", viz.lifted_figure(track, described, dict(zip(rows, images, strict=True))))
        facts = lifting.facts(track, described)
        store.write_atomic(out / f"{name}.json", (json.dumps(facts, indent=2) + "\n").encode())
        known.append(facts)
        if not args.json:
            print(f"{out / name}.npz .json .png: {lifting.sentence(facts)}")
    if args.json:
        print(json.dumps(known, indent=1))
    return 2 if all(lifting.refused(track) for track in tracks) else 0
