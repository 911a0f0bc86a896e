"""Whether a licensed copy is what the readers expect: what is there, and whether its numbers make a person in a picture.

Formats are described in documents; a copy on a disk is the truth.  Every recording is read, people are placed in the world and in
the pictures at frames spread over it, and what cannot be right is said.  Results are JSON-ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from builder import footage, recordings
from builder.recordings import Broken, Recording, View
from builder.types import Floats, HumanMoveError, SetupError

SPOTS = 24  # places of a recording that are looked at, two neighbouring frames each
LEAST_UP = 0.5  # of the body's and of a camera's up axis along the vertical, on average
LEAST_INSIDE = 0.8  # of the sampled frames in which the pelvis is in the picture of the best camera
HEIGHT_M = (0.0, 1.6)  # of a pelvis above the floor, in the middle of all
FAR_PX = 0.05  # of the picture's height between our pelvis and the source's own
VERTICAL_DEG = 5.0
SHAPE = 0.02
PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def examine(
    source: ModuleType, root: Path, attempts: recordings.Attempts, every_frame: bool, progress: Callable[[int, int, str], None]
) -> dict[str, Any]:
    """Everything that is to be said of one copy and its recordings."""
    found = []
    for done, read in enumerate(attempts, 1):
        found.append(_recording(read(), root, every_frame))
        progress(done, len(attempts), found[-1]["sequence"])
    notes: dict[str, Counter[str]] = {}
    for one in found:
        for name, text in one.pop("notes").items():
            notes.setdefault(name, Counter())[text] += 1
    groups = Counter(one["group"] for one in found if "group" in one)
    return {
        "recordings": found,
        "groups": {"number": len(groups), "largest": max(groups.values(), default=0)},
        "of": source.SEQUENCES,
        "verdicts": dict(sorted(Counter(one["verdict"] for one in found).items())),
        "clips": sum(one.get("clips", 0) for one in found),
        "packed": sorted(p.name for p in root.iterdir() if p.suffix.lower() in PACKED),
        "seen_here": {name: dict(sorted(texts.items())) for name, texts in sorted(notes.items())},
        "unverified": list(source.OPEN_POINTS),
    }


def _recording(one: recordings.Found, root: Path, every_frame: bool) -> dict[str, Any]:
    """What is to be said of one recording; `verdict` is "ok", "look" (something is unusual) or "bad"."""
    if isinstance(one, Broken):
        return {"sequence": one.sequence, "bad": [one.problem], "look": [], "verdict": "bad", "notes": {}}
    out: dict[str, Any] = {
        "sequence": one.sequence,
        "split": one.split,
        "group": one.group,
        "people": [p.person_id for p in one.people],
        "first_frame": int(one.frame_ids[0]),
        "last_frame": int(one.frame_ids[-1]),
        "valid": round(float(one.everybody.mean()), 4),
        "clips": 0,
        "bad": [],
        "look": [],
        "notes": dict(one.notes),
    }
    try:
        cut = recordings.cut_into_clips(one, root)
        out["clips"] = len(cut)
        for clip in cut if every_frame else ():
            recordings.tracks(one, clip)
        out |= _axes(one, out)
        out["views"] = {view.name or "(only)": _images(view, one, out) for view in one.views}
    except SetupError:
        raise
    except HumanMoveError as error:
        out["bad"].append(" ".join(str(error).split()))
    if not out["clips"] and not out["bad"]:
        out["look"].append("no clip can be cut: everybody has to be seen by one camera for 8 s, upright at the start")
    out["verdict"] = "bad" if out["bad"] else "look" if out["look"] else "ok"
    return out


def _axes(one: Recording, out: Mapping[str, list[str]]) -> dict[str, Any]:
    """Where people are at the sampled frames; what cannot be is added to `out`'s lists."""
    rows = _spots(one)
    if not len(rows):
        out["bad"].append("no frame in which everybody is fitted and visible")
        return {}
    up: list[Floats] = []
    speed: list[Floats] = []
    heights: list[Floats] = []
    far: list[Floats] = []
    shown: dict[str, list[Any]] = {view.name: [] for view in one.views}
    for person in one.people:
        points, turns, _ = one.root(person, rows.tolist())
        up.append((one.world.rotation @ turns)[:, 1, 1])
        pairs = np.flatnonzero(np.diff(rows) == 1)
        moved = one.world.place(points)
        speed.append(np.linalg.norm(moved[pairs + 1] - moved[pairs], axis=1) * one.fps)
        if one.floor is not None:
            heights.append(points @ one.floor[0] + one.floor[1])
        for view in one.views:
            shown[view.name].append(view.holds(points, rows))
        if person.pelvis_px is not None:
            pixels, _ = one.views[0].project(points, rows)
            away = np.linalg.norm(pixels - person.pelvis_px[rows], axis=1) / one.views[0].size[1]
            far.append(away[np.isfinite(away)])
    inside = {name: float(np.mean(each)) for name, each in shown.items()}
    facts: dict[str, Any] = {
        "up": _middle(up),
        "camera_up": _round(min(_camera_up(one, view) for view in one.views)),
        "speed": _round(max((float(s.max()) for s in speed if s.size), default=0.0)),
        "inside": _round(max(inside.values())),
        "inside_by_view": {name or "(only)": _round(share) for name, share in inside.items()},
        "height_m": _middle(heights) if heights else None,
        "pelvis_px": _round(_median(far), 4) if any(part.size for part in far) else None,
        "vertical_deg": None if one.floor is None else _round(_angle(one.world.rotation[1], one.floor[0])),
    }
    _judge(facts, out)
    return facts


def _judge(facts: Mapping[str, Any], out: Mapping[str, list[str]]) -> None:
    """Add to `out` what these facts rule out."""

    def need(ok: bool, kind: str, text: str) -> None:
        if not ok:
            out[kind].append(text)

    up, camera_up, speed, inside = facts["up"], facts["camera_up"], facts["speed"], facts["inside"]
    need(
        up >= LEAST_UP,
        "look",
        f"bodies stand {up:.2f} upright on average (1 is upright): exercises on the floor, or a world that is not +Y up",
    )
    need(
        camera_up >= LEAST_UP,
        "bad",
        f"a camera's up axis is {camera_up:.2f} along the vertical: its transform or the world is not as expected",
    )
    need(speed <= recordings.FASTEST_M_S, "bad", f"a pelvis moves at {speed:.0f} m/s between two frames")
    need(inside >= LEAST_INSIDE, "bad", f"the pelvis is in the picture of the best camera in {100 * inside:.0f} % of the frames looked at")
    if facts["height_m"] is not None:
        low, high = HEIGHT_M
        need(low <= facts["height_m"] <= high, "bad", f"the pelvis is {facts['height_m']:.2f} m above the floor on average")
    if facts["pelvis_px"] is not None:
        need(
            facts["pelvis_px"] <= FAR_PX,
            "bad",
            f"our pelvis is {100 * facts['pelvis_px']:.1f} % of the picture's height from the source's own",
        )
    if facts["vertical_deg"] is not None:
        need(
            facts["vertical_deg"] <= VERTICAL_DEG,
            "bad",
            f"the world's vertical is {facts['vertical_deg']:.1f} degrees off that of the floor",
        )


def _spots(one: Recording) -> Any:
    """Rows, sorted: `SPOTS` spread over those in which everybody is valid, each with the next one where that is valid too."""
    there = np.flatnonzero(one.everybody)
    if not there.size:
        return there
    chosen = there[np.unique(np.linspace(0, there.size - 1, SPOTS).round().astype(int))]
    after = chosen + 1
    after = after[after < len(one.everybody)]
    return np.unique(np.concatenate([chosen, after[one.everybody[after]]]))


def _camera_up(one: Recording, view: View) -> float:
    """How much a camera's up axis points up, on average."""
    poses = one.world.camera_to_world(view.from_source if view.from_source.ndim == 2 else view.from_source[one.everybody])
    return float(-poses[..., 1, 1].mean())


def _images(view: View, one: Recording, out: Mapping[str, list[str]]) -> dict[str, Any]:
    """The images of a camera: how many, which are missing, their size, and whether that fits the calibration."""
    facts: dict[str, Any] = {"images": len(view.images), "missing": "", "size": None}
    if not view.images:
        return facts
    named = f"images of {view.name}" if view.name else "images"
    first, end = int(one.frame_ids[0]), int(one.frame_ids[-1]) + 1
    facts["missing"] = footage.missing(view.images, first, end)
    if facts["missing"]:
        out["bad"].append(f"{named} are missing: {facts['missing']}")
    beyond = sum(not first <= number < end for number in view.images)
    if beyond:
        out["look"].append(f"{beyond} {named} lie outside frames {first} to {end - 1}")
    numbers = sorted(view.images)
    sizes = {footage.image_size(view.images[numbers[k]]) for k in (0, len(numbers) // 2, -1)}
    facts["size"] = [list(size) for size in sorted(sizes)]
    width, height = view.size
    for w, h in sorted(sizes):
        if abs(w / h - width / height) > SHAPE * width / height:
            out["bad"].append(f"{named} are {w} x {h}, the calibration is for {width} x {height}")
    return facts


def _angle(a: Floats, b: Floats) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1.0, 1.0))))


def _median(parts: Sequence[Floats]) -> float:
    return float(np.median(np.concatenate(parts)))


def _middle(parts: Sequence[Floats]) -> float:
    return _round(float(np.concatenate(parts).mean()))


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits)


COLUMNS = (
    "sequence",
    "split",
    "people",
    "frames",
    "valid",
    "clips",
    "images",
    "size",
    "inside",
    "up",
    "cam up",
    "m/s",
    "height",
    "verdict",
)


def table(found: Mapping[str, Any]) -> list[str]:
    """The recordings as lines of text, one each under a head, as wide as their longest cell."""
    rows = [COLUMNS, *(_cells(one) for one in found["recordings"])]
    wide = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    def shown(name: str, form: str) -> str:
        value = one.get(name)
        return "-" if value is None else form.format(value)

    if "people" not in one:
        return (one["sequence"], *["-"] * (len(COLUMNS) - 2), one["verdict"])
    views = one.get("views", {})
    images = "+".join(str(view["images"]) for view in views.values()) if any(view["images"] for view in views.values()) else "none"
    sizes = sorted({f"{w}x{h}" for view in views.values() for w, h in view["size"] or ()})
    return (
        one["sequence"],
        one["split"] or "-",
        str(len(one["people"])),
        f"{one['first_frame']}-{one['last_frame']}",
        shown("valid", "{:.0%}"),
        str(one["clips"]),
        images,
        "+".join(sizes) or "-",
        shown("inside", "{:.0%}"),
        shown("up", "{:.2f}"),
        shown("camera_up", "{:.2f}"),
        shown("speed", "{:.1f}"),
        shown("height_m", "{:.2f}"),
        one["verdict"],
    )
