"""The process that touches what visitors bring: bounded by its own hand before it reads a byte.  `demo.sandbox` runs it.

Jobs: "check" says what a video is; "prepare" writes the copy that is lifted and shown; "lift" makes tracks of it; "track" reads an
uploaded track.  The copy is our own encoding: upright, at most 960 pixels and 30 frames a second, no sound, no metadata.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.types import HumanMoveError, LiftError, VideoError
from demo import limits

# Which stage a function of the lifter belongs to, by its module; read off the stack while it runs.
STAGES = (
    ("sfm", "Finding how the camera moved"),
    ("ground", "Finding the floor and the metres"),
    ("heading", "Finding which way they faced"),
    ("root", "Placing the person before the camera"),
    ("camera", "Following the people and the camera"),
    ("people", "Following the people and the camera"),
    ("blazepose", "Following the people and the camera"),
    ("__init__", "Following the people and the camera"),
)
LOOK_S = 0.25  # how often the lifter's stack is read
TOLD_S = 2.0  # every message costs the server some 30 ms of processor, and the visitor's page a drawing
WATCH_SHARE = 0.9  # of the lifter's time goes into the one pass over the frames


def say(**message: Any) -> None:
    """One line to whoever waits."""
    sys.__stdout__.write(json.dumps(message) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


class Teller:
    """Says how far a stage has come, but not so often that telling costs the page more than the work gains from it."""

    def __init__(self) -> None:
        self._stage, self._at = "", 0.0

    def __call__(self, stage: str, share: float) -> None:
        """Say it, when the stage is a new one or TOLD_S have passed."""
        now = time.monotonic()
        if stage != self._stage or now - self._at >= TOLD_S:
            self._stage, self._at = stage, now
            say(stage=stage, share=share)


def bind(bound: list[float]) -> None:
    """Bound this process: memory, processor time, file size, open files, no core dump."""
    try:
        import resource
    except ImportError:  # not on Windows; the clock still bounds it
        return
    _, cpu_s, memory = (int(v) for v in bound)
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 4 * limits.FILE_BYTES),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def check(path: str, first_part: bool) -> dict[str, Any]:
    """What a video is, when it is one that can be used; only with `first_part` may it be longer than what is lifted."""
    from builder.video import Limits, probe

    try:
        info = probe(path, Limits(limits.PIXELS, round(limits.READ_SECONDS * limits.FPS[1]), limits.READ_SECONDS))
    except VideoError as error:
        if large := re.search(r"(\d+) x (\d+) are larger", str(error)):
            raise VideoError(_too_large(*large.groups())) from None
        raise
    name = info.container.split(",")[0]
    if name not in limits.CONTAINERS or info.codec not in limits.CODECS:
        raise VideoError(f"it is {name} with {info.codec} video; expected mp4, mov or webm with {', '.join(limits.CODECS)}")
    if max(info.width, info.height) > limits.SIDE:
        raise VideoError(_too_large(info.width, info.height))
    if not limits.FPS[0] <= info.fps <= limits.FPS[1] * 1.01:
        raise VideoError(f"it shows {info.fps:.1f} frames per second; expected {limits.FPS[0]:g} to {limits.FPS[1]:g}")
    if info.duration_s < limits.SECONDS[0]:
        raise VideoError(f"it lasts {info.duration_s:.1f} s; expected {limits.SECONDS[0]:g} to {limits.SECONDS[1]:g}")
    if info.duration_s > limits.SECONDS[1] + 0.5 and not first_part:
        most = f"{limits.SECONDS[1]:g} s"
        raise VideoError(
            f"the clip lasts {info.duration_s:.0f} s; at most {most} are lifted. Trim it, or tick “use the first {most}” in the options"
        )
    return {"seconds": info.duration_s, "width": info.width, "height": info.height, "fps": info.fps, "steady": info.constant_rate}


def _too_large(width: Any, height: Any) -> str:
    most = f"{limits.SIDE} × {limits.PIXELS // limits.SIDE}"
    return f"it measures {width} × {height} pixels, and at most {most} are read; export it smaller, 1080p is plenty"


def prepare(path: str, out: str, first_part: bool) -> dict[str, Any]:
    """Write `out`/clip.mp4, the copy that is lifted and shown: of the whole clip, or of its first 30 seconds where that is wanted."""
    from builder.video import Limits, read_frames, write_clip

    info = check(path, first_part)
    rate = _rate(info["fps"], info["steady"])
    total = max(1, round(min(info["seconds"], limits.SECONDS[1]) * rate))
    bound = Limits(limits.PIXELS, round(limits.READ_SECONDS * limits.FPS[1]), limits.READ_SECONDS)
    frames = read_frames(path, None if info["steady"] and rate == info["fps"] else rate, 0.0, limits.SECONDS[1], limits.SHOWN_SIDE, bound)

    tell = Teller()

    def told() -> Any:
        for count, frame in enumerate(frames):
            tell("Reading the clip", count / total)
            yield frame.image

    written = write_clip(Path(out) / "clip.mp4", told(), rate, preset=limits.SHOWN_PRESET)
    return info | {"frames": written, "rate": rate, **_size(Path(out) / "clip.mp4")}


def _rate(fps: float, steady: bool) -> float:
    """The copy's frames per second: a whole part of a steady rate, else an even one that repeats few frames."""
    if steady:
        return fps / max(1, -(-fps // 30.6))
    return next((r for r in (30.0, 25.0, 20.0, 15.0, 12.0) if r <= fps), 10.0)


def _size(path: Path) -> dict[str, Any]:
    from builder.video import probe

    info = probe(path)
    return {"shown_width": info.width, "shown_height": info.height, "shown_seconds": info.duration_s}


def lift(path: str, out: str, lifter: str, options: dict[str, str], clip_id: str) -> list[dict[str, Any]]:
    """Write `out`/person-<k>.npz for everybody found, the most prominent first; what each is."""
    from builder import lifting, plugins, store

    clip = replace(plugins.load("sources", "folder").whole(Path(path)), clip_id=clip_id, sequence=clip_id.partition("/")[2], group=clip_id)
    run = lifting.load(lifter, options)
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(threading.get_ident(), done, _frames(path)), daemon=True)
    watcher.start()
    try:
        tracks = run(clip)
    finally:
        done.set()
    found = []
    for k, track in enumerate(tracks[: limits.PEOPLE]):  # in the lifter's order, the most prominent first
        store.write_track(
            Path(out) / f"person-{k}.npz", replace(track, extra={k: v for k, v in track.extra.items() if k == "confidence"}), clip
        )
        found.append({"file": f"person-{k}.npz", "referent": track.referent, "verdict": track.provenance.get("verdict", "ok")})
    return found


def _frames(path: str) -> int:
    from builder.video import probe

    return probe(path).num_frames or 1


def _watch(thread: int, done: threading.Event, frames: int) -> None:
    """Say which stage the lifter is in, from the functions on its stack."""
    tell = Teller()
    while not done.wait(LOOK_S):
        frame = sys._current_frames().get(thread)
        stage, share = None, None
        while frame is not None:
            folder, name = os.path.split(frame.f_code.co_filename)
            if os.path.basename(folder) == "monocular":
                module = name.removesuffix(".py")
                stage = stage or next((text for key, text in STAGES if key == module), None)
                if frame.f_code.co_name == "_watch":
                    stage, share = STAGES[-1][1], WATCH_SHARE * len(frame.f_locals.get("numbers", ())) / frames
            frame = frame.f_back
        if stage:
            tell(stage, WATCH_SHARE if share is None else share)


def track(path: str, out: str) -> dict[str, Any]:
    """Write `out`/person-0.npz, the canonical form of an uploaded track of any of the known forms."""
    from builder import plugins, store

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise HumanMoveError("it is no .npz archive; save the track with numpy.savez") from None
    size = sum(m.file_size for m in members)
    if len(members) > limits.TRACK_MEMBERS or size > limits.TRACK_BYTES:
        most = f"{limits.TRACK_MEMBERS} arrays and {limits.TRACK_BYTES // limits.MB} MB"
        raise HumanMoveError(f"it unpacks to {len(members)} arrays of {size / limits.MB:.0f} MB; at most {most} are read")
    source = plugins.load("sources", "tracks")
    folder = Path(out) / "given"
    folder.mkdir()
    (folder / "track.npz").symlink_to(path)
    (clip,) = source.clips(folder)
    (found,) = source.reference(clip)
    lasts = found.num_frames / found.fps
    if found.num_frames > limits.TRACK_FRAMES or lasts > limits.TRACK_SECONDS:
        raise HumanMoveError(f"the track has {found.num_frames} frames over {lasts:.0f} s; at most {limits.TRACK_SECONDS:g} s are read")
    store.write_track(Path(out) / "person-0.npz", replace(found, extra={}, camera_to_world=None, provenance=_plain(found.provenance)), clip)
    return {"file": "person-0.npz", "seconds": lasts}


def _plain(provenance: Any) -> dict[str, Any]:
    return {k: v for k, v in provenance.items() if k in ("form", "verdict", "reasons", "recording", "licence")}


JOBS: dict[str, Callable[..., Any]] = {"check": check, "prepare": prepare, "lift": lift, "track": track}


def main() -> int:
    """Read one job from standard input, do it, say what came of it."""
    job = json.load(sys.stdin)
    bind(job.pop("bound"))
    sys.stdout = sys.stderr  # what a library prints is no message
    name, path = job.pop("job"), job["path"]
    try:
        done = JOBS[name](**job)
    except MemoryError:
        say(refused="It needs more memory than one clip gets here; try a shorter or smaller one.")
        return 0
    except (HumanMoveError, LiftError) as error:
        say(refused=_line(str(error), path, job))
        return 0
    say(done=done)
    return 0


def _line(text: str, path: str, job: dict[str, Any]) -> str:
    """An error as the visitor may read it: one sentence, no place on this machine."""
    for name in (
        path,
        str(Path(path).absolute()),
        str(job.get("clip_id", "\0")),
        str(Path(str(job.get("out", "/\0"))) / "given" / "track.npz"),
    ):
        text = text.replace(f"{name}: ", "").replace(name, "the file")
    text = " ".join(text.split())[:400]
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".")


if __name__ == "__main__":
    raise SystemExit(main())
