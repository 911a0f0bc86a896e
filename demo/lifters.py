"""From what a visitor brought to a scene, by the worker: checks, the copy, the lifter, the people; and whether lifting works here."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builder import lifting, plugins
from builder.types import HumanMoveError
from demo import limits, sandbox, scene
from demo.line import Line, waited
from demo.sandbox import Refused
from demo.scene import Scene
from demo.visit import Visit

VARIABLE = "HUMANMOVEVQA_DEMO_LIFTER"
LONGEST_TITLE = 60


def name() -> str:
    """The lifter of this page: HUMANMOVEVQA_DEMO_LIFTER, else the default one."""
    return os.environ.get(VARIABLE) or lifting.DEFAULT


def check_name() -> None:
    """Raise PluginError when there is no lifter of that name."""
    plugins.load("lifters", name(), ("ABOUT", "load"))


def why_not() -> str:
    """Why no clip can be lifted here, "" when one can: the lifter's weights and packages are looked for, nothing is fetched."""
    if name() != lifting.DEFAULT:
        return ""  # another lifter says itself what it lacks
    missing = [module for module in ("av", "cv2", "ai_edge_litert", "pycolmap") if importlib.util.find_spec(module) is None]
    if missing:
        what = f"{', '.join(missing)} is not installed (pip install 'humanmovevqa[lift]')"
        return f"Clips cannot be lifted on this machine: {what}. The examples work."
    weights = _weights()
    folders = [os.environ.get(weights.VARIABLE), weights.cache()]
    if not any(folder and all((Path(folder) / file).is_file() for file in weights.MEMBERS) for folder in folders):
        what = f"the pose network's weights are not here (set {weights.VARIABLE}, or run `humanmovevqa lift` once)"
        return f"Clips cannot be lifted on this machine: {what}. The examples work."
    return ""


def _weights() -> Any:
    return importlib.import_module(f"builder.lifters.{lifting.DEFAULT}.weights")


def fetch() -> None:
    """Get the default lifter's weights where they are not here; a failure is said and leaves the examples."""
    try:
        _weights().find(None)
    except HumanMoveError as error:
        print(f"humanmovevqa demo: {error}", file=sys.stderr)


def state() -> str:
    """One line on what can be done with a clip of one's own."""
    why = why_not()
    most = f"{limits.SECONDS[1]:g} s and {limits.FILE_BYTES // limits.MB} MB"
    what = f"mp4, mov or webm, one shot of up to {most}, showing people from head to knees."
    return why or f"{what} Lifter: {name()}."


def _size(path: str, suffixes: tuple[str, ...], most: int) -> None:
    if not path.lower().endswith(suffixes):
        raise Refused(f"Expected a file that ends in {', '.join(suffixes)}.")
    size = os.path.getsize(path)
    if size > most:
        raise Refused(f"The file has {size / limits.MB:.0f} MB; at most {most // limits.MB} MB are taken. Export it smaller, or trim it.")


def check(path: str, first_part: bool) -> dict[str, Any]:
    """What an uploaded video is.  Raises Refused with the line that its owner should read."""
    _size(path, limits.VIDEO_SUFFIXES, limits.FILE_BYTES)
    return sandbox.result("check", path=path, first_part=first_part)


def lift(
    visit: Visit, path: str | None, camera: str, height_m: str, first_part: bool, root: Path, line: Line
) -> Iterator[tuple[str, float | None, float | None] | Scene]:
    """(stage, share, seconds) along the way, then the scene.  Raises Refused."""
    why = why_not()
    if why or not path:
        raise Refused(why or "Choose a clip first.")
    own = name() == lifting.DEFAULT  # others have other options
    options = {"camera": camera} if own and camera in ("static", "moving") else {}
    if own and height_m.strip():
        options["subject_height_m"] = height_m.strip().replace(",", ".")
    if not visit.copied(path):
        visit.take(path, root)
    with line.ticket() as before:
        for ahead in waited(before):
            yield f"Waiting: {ahead} clip{'s are' if ahead > 1 else ' is'} before yours", None, None
        yield "Reading the clip", None, None
        begun = time.monotonic()
        for message in _copied(visit, path, first_part, root):
            yield message["stage"], message.get("share"), time.monotonic() - begun
        folder, info = visit.prepared[path]
        files: tuple[Path, ...] = ()
        begun = time.monotonic()
        for message in sandbox.steps("lift", path=folder / "clip.mp4", out=folder, lifter=name(), options=options, clip_id=info["clip_id"]):
            if "done" in message:
                files = tuple(folder / p["file"] for p in message["done"])
            else:
                yield message["stage"], message.get("share"), time.monotonic() - begun
        yield scene.lifted(files, 0, folder, known(info), info["title"])


def _copied(visit: Visit, path: str, first_part: bool, root: Path) -> Iterator[Mapping[str, Any]]:
    """Messages of making the copy that is lifted and shown, unless it is there; then `visit.prepared[path]` is, and the upload gone."""
    if visit.copied(path):
        return
    mine = visit.take(path, root)
    _size(str(mine), limits.VIDEO_SUFFIXES, limits.FILE_BYTES)
    folder = visit.room(root)
    for message in sandbox.steps("prepare", path=mine, out=folder, first_part=first_part):
        if "done" not in message:
            yield message
            continue
        more = {"title": title(path), "clip_id": clip_id(folder / "clip.mp4")}
        visit.prepared[path] = folder, message["done"] | more
    visit.give_back(path)


def known(info: dict[str, Any]) -> dict[str, Any]:
    """What the page must know of the copy: rate, size, seconds."""
    return {"rate": info["rate"], "size": (info["shown_width"], info["shown_height"]), "seconds": info["frames"] / info["rate"]}


def person(visit: Visit, k: int) -> Scene:
    """The scene of another of the people found in the visitor's clip; the same scene when there is none of that number."""
    now = visit.scene
    if now.folder is None or not 0 <= int(k) < len(now.others) or not now.others[int(k)].is_file():
        return now
    info = next((i for folder, i in visit.prepared.values() if folder == now.folder), None)
    return now if info is None else scene.lifted(now.others, int(k), now.folder, known(info), now.title)


def given(visit: Visit, path: str | None, video: str | None, root: Path) -> Scene:
    """The scene of an uploaded track, beside the uploaded clip when there is one.  Raises Refused."""
    if not path:
        raise Refused("Choose a track first.")
    mine = visit.take(path, root)
    _size(str(mine), limits.TRACK_SUFFIXES, limits.FILE_BYTES)
    folder = visit.room(root)
    found = sandbox.result("track", path=mine, out=folder)
    info = None
    if video and (visit.copied(video) or os.path.isfile(video)):
        for _ in _copied(visit, video, True, root):
            pass
        copy, info = visit.prepared[video]
        os.link(copy / "clip.mp4", folder / "clip.mp4")
    visit.give_back(path)
    try:
        return scene.given(folder / found["file"], folder, None if info is None else known(info), title(path))
    except HumanMoveError as error:
        raise Refused(" ".join(str(error).split())) from None


def title(path: str) -> str:
    """A clip's name as its owner knows it, shortened."""
    stem = Path(path).stem
    return stem if len(stem) <= LONGEST_TITLE else stem[: LONGEST_TITLE - 1] + "…"


def clip_id(copy: Path) -> str:
    """The id of an uploaded clip, from its pictures alone: the same clip has the same questions."""
    with open(copy, "rb") as f:
        return f"folder/clip-{hashlib.file_digest(f, 'sha256').hexdigest()[:12]}"
