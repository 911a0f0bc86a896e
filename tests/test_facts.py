"""Real motion against facts that an independent program computed from the same tracks.

The facts are anchored on frame 0 and the default recipe on the mean of the first second, so its axes may lie up to 20 degrees
off; thresholds differ too.  Each oracle therefore gives every answer that the facts allow, or None where they say nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import recipe, selection
from builder.motion import describe
from builder.quantities import Measures
from builder.sources import tracks
from builder.types import Clip, Motion, Question, Track

Facts = dict[str, Any]
DEFAULT = recipe.load()
# As the facts were computed: anchored on frame 0, and turns not split by pauses.
AS_FACTS = replace(
    DEFAULT,
    anchor=replace(DEFAULT.anchor, window_s=0.0),
    channels={k: replace(c, pause_s=0.0) for k, c in DEFAULT.channels.items()},
)
OFF = (-20.0, -10.0, 0.0, 10.0, 20.0)  # degrees between the facts' axes and ours
MAX_TILT = 60.0


@pytest.fixture(scope="session")
def shared(test_data: Path) -> dict[str, tuple[Facts, Track]]:
    """Name -> (facts, track) of every shared track."""
    facts = {f["name"]: f for f in json.loads((test_data / "tracks" / "facts.json").read_text())}
    clips: list[Clip] = list(tracks.clips(str(test_data / "tracks")))
    return {c.clip_id.rsplit("/")[-1]: (facts[c.clip_id.rsplit("/")[-1]], tracks.reference(c)[0]) for c in clips}


def turns(m: Motion, least: float) -> list[float]:
    """Signed degrees of every turn of at least `least`."""
    return [e.amount for e in m.events if e.code == "rotation_yaw" and abs(e.amount) >= least]


# ---- motion against facts --------------------------------------------------------------------------------------------

# Turns that the two programs rightly see differently: name -> (ours, theirs) degrees that are left out on either side.
EXCEPTIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cmu_train_walking_2": ((-49.0,), ()),  # still turning as the clip ends: their 0.5 s average stops at -42, frames reach -48
}


def test_net_change(shared):
    wrong = []
    for name, (f, track) in shared.items():
        s = describe(track, AS_FACTS).signals
        for fact, code in (("net_fwd", "displacement_z"), ("net_left", "displacement_x"), ("net_up", "displacement_y")):
            wrong += [f"{name} {fact}"] * bool(abs(s[code][-1] - s[code][0] - f[fact]) > 0.02)
        off = (s["rotation_yaw"][-1] - f["net_yaw"]) if f["max_tilt"] < MAX_TILT else 0.0
        wrong += [f"{name} net_yaw {off:.1f}"] * int(abs(off) > 5.0)
    assert wrong == []


def test_quarter_of_the_furthest_point(shared):
    for name, (f, track) in shared.items():
        if len(f["max_q_candidates"]) == 1:
            m = Measures(describe(track, AS_FACTS), AS_FACTS)
            far = [m.furthest(f"q{k}") for k in (1, 2, 3, 4)]
            assert [int(np.argmax(far)) + 1] == f["max_q_candidates"], name


def test_big_turns(shared):
    wrong = []
    for name, (f, track) in shared.items():
        if f["max_tilt"] >= MAX_TILT:
            continue
        ours, theirs = turns(describe(track, AS_FACTS), 42.0), [t[2] for t in f["big_turns"]]
        skip = EXCEPTIONS.get(name, ((), ()))
        ours = [a for a in ours if not any(abs(a - s) < 3 for s in skip[0])]
        theirs = [a for a in theirs if not any(abs(a - s) < 3 for s in skip[1])]
        if len(ours) != len(theirs) or any(abs(a - b) > 15 for a, b in zip(ours, theirs, strict=True)):
            wrong.append(f"{name}: {np.round(ours)} against {theirs}")
    assert wrong == []


# ---- questions against facts -----------------------------------------------------------------------------------------

FLOOR = ("forward", "left", "backward", "right")  # at 0, 90, 180 and 270 degrees to the left
NAMES = {
    "place_at_end": ("front", "to its left", "behind", "to its right"),
    "facing_at_end": ("same way", "their left", "opposite", "their right"),
    "way_back": ("ahead", "left", "around", "right"),
    "corner_at_end": ("front and to the left", "behind and to the left", "behind and to the right", "front and to the right"),
    "floor": ("forward", "left", "backward", "right"),
}
NAMES["furthest_side"] = NAMES["widest_side"] = NAMES["place_at_end"]
QUARTER = ("first", "second", "third", "last")


def options(q: Question, words: Iterable[str]) -> set[str]:
    return {o for o in q.options if any(w in o.lower() for w in words)}


def sector(q: Question, angle: float, doubt: float) -> set[str]:
    names = NAMES.get(q.template, NAMES["floor"])
    return options(q, [names[k] for k in range(4) if abs((angle - 90 * k + 180) % 360 - 180) <= 45 + doubt])


def nearest(q: Question, low: float, high: float, ratio: bool = True) -> set[str]:
    """Options that are nearest to a value between two bounds."""
    values = {o: 0.0 if "ardly" in o else float(re.findall(r"[\d.]+", o)[0]) for o in q.options}
    cost = (lambda a, b: max(a, b) / max(min(a, b), 1e-3)) if ratio else (lambda a, b: abs(a - b))
    return {min(values, key=lambda o: cost(values[o], v)) for v in np.linspace(max(low, 0.0), high, 9)}


def binary(q: Question, yes: bool | None) -> set[str] | None:
    if yes is None:
        return None
    return {("False" if yes else "True") if q.template.endswith("_never") else ("Yes" if yes else "No")}


def quarters_of(window: str) -> range:
    """Numbers (0-3) of the quarters that a window holds."""
    k = int(window[1]) if window != "whole" else 0
    return {"w": range(4), "h": range(2 * k - 2, 2 * k), "q": range(k - 1, k)}[window[0]]


def until(f: Facts, window: str) -> tuple[float, float, float]:
    """(left, forward, yaw) at the end of a window."""
    if window == "whole":
        return f["net_left"], f["net_fwd"], f["net_yaw"]
    rows = f["quarters"][: quarters_of(window)[-1] + 1]
    left, forward, yaw = (sum(r[k] for r in rows) for k in ("left", "fwd", "yaw"))
    return left, forward, yaw


def upright(f: Facts) -> bool:
    return bool(f["max_tilt"] < MAX_TILT)


def place(offset: float) -> Callable[[Facts, Question], set[str] | None]:
    def oracle(f: Facts, q: Question) -> set[str] | None:
        left, forward, _ = until(f, q.window)
        return sector(q, np.degrees(np.arctan2(left, forward)) - offset, 20.0) if np.hypot(left, forward) > 0.6 else None

    return oracle


def way_back(f: Facts, q: Question) -> set[str] | None:
    left, forward, yaw = until(f, q.window)  # the first facing cancels out
    far = np.hypot(left, forward) > 0.6 and upright(f)
    return sector(q, np.degrees(np.arctan2(-left, -forward)) - yaw, 15.0) if far else None


def net_side(f: Facts, q: Question) -> set[str]:
    rows = [f["quarters"][k] for k in quarters_of(q.window)]
    left, forward = (sum(r[k] for r in rows) for k in ("left", "fwd"))
    out = set()
    for a in np.radians(OFF):
        x, z = np.cos(a) * left - np.sin(a) * forward, np.sin(a) * left + np.cos(a) * forward
        net, names = (x, ("left", "right")) if q.quantity.endswith("x") else (z, ("forward", "backward"))
        out |= options(q, [names[int(net < 0)]] * int(abs(net) > 0.2) + ["neither"] * int(abs(net) < 0.35))
    return out


def extents(f: Facts) -> dict[str, float]:
    """Furthest to each side of the start."""
    (back, fore), (right, left) = f["fwd_rng"], f["left_rng"]
    return {"forward": fore, "left": left, "backward": -back, "right": -right}


def moved(f: Facts, direction: str) -> bool | None:
    """Whether a direction must (True) or cannot (False) have been seen, whatever the first second says about the axes."""
    low, high = f["up_rng"]
    if direction in ("up", "down"):
        runs = f["rises"] if direction == "up" else f["drops"]
        return False if high - low < 0.14 else True if runs and high - low > 0.3 else None
    if direction in ("away", "towards"):
        return False if f["max_dist"] < 0.35 else True if f["max_dist"] > 0.8 and direction == "away" else None
    spans = {"forward": f["fwd_rng"][1] - f["fwd_rng"][0], "left": f["left_rng"][1] - f["left_rng"][0]}
    own, other = ("forward", "left") if direction in ("forward", "backward") else ("left", "forward")
    key = {"forward": "seg_fwd", "backward": "seg_back", "left": "seg_left", "right": "seg_right"}[direction]
    if spans[own] + 0.35 * spans[other] < 0.22:
        return False
    return True if f[key] and extents(f)[direction] > 0.75 and extents(f)[direction] > 0.6 * max(extents(f).values()) else None


def turned(f: Facts, direction: str) -> bool | None:
    sign = 1 if direction == "turn_left" else -1
    if not upright(f):
        return None
    small = f["yaw_rng"][1] - f["yaw_rng"][0] < 20
    return True if any(t[2] * sign >= 50 for t in f["big_turns"]) else False if small else None


def acted(f: Facts, act: str) -> bool | None:
    text = f["summary"].lower()
    if act == "run":
        return True if f["speed_mean"] > 2.4 and f["dur"] > 1.2 else False if f["speed_max"] < 1.6 else None
    if act == "walk":
        return False if f["speed_max"] < 0.3 else True if "walk" in text and f["path_s"] > 1.5 else None
    if act == "jump":
        return True if "jumps" in text or "hops" in text else False if "walk" in text else None
    if act == "turn_around" and upright(f):
        big = max((abs(t[2]) for t in f["big_turns"]), default=0)
        return True if big > 160 else False if big < 90 else None
    return False if act in ("crouch", "stand_up") and f["up_rng"][1] - f["up_rng"][0] < 0.15 else None


def happened(f: Facts, name: str) -> bool | None:
    return turned(f, name) if name in TURNS else moved(f, name) if name in MOVES else acted(f, name)


def exists(f: Facts, q: Question) -> set[str] | None:
    """Yes or no over the whole clip; within a part only what never happened is known."""
    seen = happened(f, q.quantity)
    return binary(q, seen if q.window == "whole" or seen is False else None)


def both(f: Facts, q: Question) -> set[str] | None:
    seen = [happened(f, d) for d in q.quantity.split("|")] if not q.quantity.startswith("lean") else [None]
    return binary(q, False) if False in seen else binary(q, True) if all(seen) and q.window == "whole" else None


def counted(f: Facts, q: Question) -> set[str] | None:
    seen = happened(f, q.quantity) if not q.quantity.startswith(("lean", "still")) else None
    if seen is False:
        return {"0"}
    return {o for o in q.options if o != "0"} if seen and q.window == "whole" else None


def big_counted(f: Facts, q: Question) -> set[str] | None:
    sign = 1 if q.quantity == "turn_left" else -1
    if q.window != "whole" or not upright(f) or not q.quantity.startswith("turn"):
        return None
    sizes = [t[2] * sign for t in f["big_turns"]]
    low, high = sum(s > 70 for s in sizes), sum(s > 50 for s in sizes)
    return {o for o in q.options if low <= int(o) <= high + sum(s > 200 for s in sizes)}


def side_of_turns(f: Facts, q: Question) -> set[str] | None:
    if q.window != "whole" or not upright(f) or not f["big_turns"]:
        return None
    best = {w: max((t[2] * s for t in f["big_turns"]), default=0) for w, s in (("left", 1), ("right", -1))}
    top = max(best, key=lambda w: best[w])
    return options(q, [top]) if best[top] > 90 and min(best.values()) <= 0 else None


def onset(f: Facts, q: Question) -> set[str] | None:
    """The first start lies in the quarter where the movement was already under way, or before."""
    key = {"forward": "first_fwd", "backward": "first_back", "left": "first_left", "right": "first_right"}.get(q.quantity)
    sign = {"turn_left": 1, "turn_right": -1}.get(q.quantity, 0)
    if key:
        at = f[key] if moved(f, q.quantity) else None
    else:
        at = next((t[1] for t in f["big_turns"] if t[2] * sign > 50), None) if upright(f) else None
    return None if at is None else options(q, QUARTER[: 1 + min(3, int(4 * at / f["dur"]))])


def straight(f: Facts, q: Question) -> set[str] | None:
    """The direction of a clip that goes straight one way."""
    one_way = q.window == "whole" and f["net"] > 0.93 * f["path_s"] and f["net"] > 1.0
    return (sector(q, np.degrees(np.arctan2(f["net_left"], f["net_fwd"])), 20.0) or None) if one_way else None


def widest(f: Facts, q: Question) -> set[str] | None:
    reach = extents(f)
    top = max(reach.values())
    names = zip(FLOOR, NAMES["place_at_end"], strict=True)
    return options(q, [w for d, w in names if reach[d] > 0.5 * top]) if q.window == "whole" and top > 0.6 else None


def turning_quarter(f: Facts, q: Question) -> set[str] | None:
    if not upright(f) or not f["big_turns"]:
        return None
    edges, shares = np.linspace(0, f["dur"], 5), np.zeros(4)
    for a, b, size in f["big_turns"]:
        sign = {"turn_left": 1, "turn_right": -1}.get(q.quantity, np.sign(size))
        shares += max(0.0, sign * size) * np.clip(np.minimum(edges[1:], b) - np.maximum(edges[:-1], a), 0, None) / (b - a)
    return options(q, [QUARTER[k] for k in range(4) if shares[k] + 60 > shares.max()])


def faced_back(f: Facts, q: Question) -> set[str] | None:
    most = max(abs(v) for v in f["yaw_rng"])
    far = True if q.window == "whole" and 150 < most < 210 else False if most < 105 else None
    return binary(q, far) if upright(f) else None


def shape(f: Facts, q: Question) -> set[str]:
    near, back = f["max_dist"] < 0.6, f["net"] < 0.6
    return options(q, ["stays"] * near + ["does not come"] * (f["net"] > 0.7 * f["max_dist"]) + ["comes back to", "several"] * back)


TURNS = ("turn_left", "turn_right")
MOVES = (*FLOOR, "up", "down", "away", "towards")
ORACLE: dict[str, Callable[[Facts, Question], set[str] | None]] = {
    "furthest_quarter": lambda f, q: options(q, [QUARTER[k - 1] for k in f["max_q_candidates"]]),
    "metres_furthest": lambda f, q: nearest(q, 0.93 * f["max_dist"], 1.05 * f["max_dist"]) if q.window == "whole" else None,
    "metres_path": lambda f, q: nearest(q, 0.85 * f["path_s"], 1.03 * f["path"]) if q.window == "whole" else None,
    "metres_from_start": lambda f, q: nearest(q, *(s * np.hypot(*until(f, q.window)[:2]) for s in (0.93, 1.07))),
    "beyond": lambda f, q: binary(q, False if f["max_dist"] < float(q.quantity.split()[0]) else True if q.window == "whole" else None),
    "returns": lambda f, q: binary(q, True) if f["net"] < 0.35 and f["max_dist"] > 1.1 else None,
    "place_at_end": place(0.0),
    "corner_at_end": place(45.0),
    "facing_at_end": lambda f, q: sector(q, until(f, q.window)[2], 20.0) if upright(f) else None,
    "degrees_net": lambda f, q: nearest(q, *(abs(until(f, q.window)[2]) + e for e in (-20, 20)), False) if upright(f) else None,
    "way_back": way_back,
    "net_side": net_side,
    **dict.fromkeys(("moves", "turns", "acts"), exists),
    "both": both,
    **dict.fromkeys(("count_moves", "count_turns", "count_actions"), counted),
    "count_big_turns": big_counted,
    **dict.fromkeys(("bigger_single_turn", "side_of_turning", "turns_more_in_total", "more_often_turns"), side_of_turns),
    "first_onset": onset,
    **dict.fromkeys(("most_ground", "longest_stretch", "fastest_direction", "side_of_axis", "further_in_total", "furthest_side"), straight),
    "widest_side": widest,
    **dict.fromkeys(("most_turning_quarter", "most_turning_to_side_quarter"), turning_quarter),
    "faces_back": faced_back,
    "shape": shape,
    "outline": lambda f, q: options(q, ["does not come back"]) if f["net"] > 0.65 * f["max_dist"] and f["max_dist"] > 0.9 else None,
    "facing_most": lambda f, q: options(q, ["same way"]) if upright(f) and max(map(abs, f["yaw_rng"])) < 25 else None,
    "main_activity": lambda f, q: options(q, ["floor"]) if f["moving"] > 0.8 and q.window == "whole" else None,
}


@pytest.fixture(scope="module")
def asked(shared) -> list[tuple[Facts, Track, Question, bool]]:
    """Every candidate about every shared track, and those that are robust and chosen (True)."""
    out = []
    for f, track in shared.values():
        motion, chosen = selection.questions_of(track, DEFAULT)
        measures = Measures(motion, DEFAULT)
        out += [(f, track, q, True) for q in chosen]
        out += [(f, track, q, False) for family in selection.families().values() for q in family.ask(motion, DEFAULT, measures)]
    return out


@pytest.mark.parametrize(("chosen", "floor"), [(False, 1500), (True, 1000)], ids=["candidates", "chosen"])
def test_answers_agree_with_the_facts(asked, chosen: bool, floor: int):
    decided, wrong = 0, set()
    for f, _, q, kept in asked:
        oracle = ORACLE.get(q.template.removesuffix("_never"))
        may = oracle(f, q) if oracle and kept == chosen else None
        if may is not None:
            decided += len(may) < len(q.options)
            if q.answer_text not in may:
                wrong.add(f"{f['name']} {q.template} {q.quantity} {q.window}: {q.answer_text!r}, facts allow {sorted(may)}")
    assert sorted(wrong) == []
    assert decided >= floor


AT_END = ("facing_at_end", "way_back")
ON_TURNING = (*AT_END, "degrees_net", "faces_back", "facing_most", "most_turning_quarter", "quarter_turning", "main_activity")


def test_no_question_about_turning_rests_on_a_body_that_lies_or_flies(asked):
    wrong, watched = [], 0
    for f, track, q, _ in asked:
        name = q.template.removesuffix("_never")
        if f["max_tilt"] <= MAX_TILT or not ("turn_" in q.quantity or name in ON_TURNING):
            continue
        watched += 1
        tilt = np.degrees(np.arccos(np.clip(track.body_to_world[:, 1, 1], -1, 1)))
        seconds = np.arange(len(tilt)) / track.fps / f["dur"] * 4
        for window in q.quantity.split("|") if name == "quarter_turning" else [q.window]:
            first, last = quarters_of(window)[0], quarters_of(window)[-1] + 1
            first = last - 2.0 / f["dur"] if name in AT_END else first  # half a second, in quarters
            inside = tilt[(seconds >= first + 0.05) & (seconds <= last - 0.05)]
            wrong += [f"{f['name']} {q.template} {q.quantity} {q.window}"] * bool(inside.size and inside.max() > MAX_TILT + 1)
    assert wrong == []
    assert watched >= 20


SIDES = {"lean_forward": (0, 1), "lean_backward": (0, -1), "lean_left": (1, 1), "lean_right": (1, -1)}


def test_leaning_is_from_upright(asked):
    """A lean that is said to be seen tilts the body to that side of the vertical; straightening up from lying is none."""
    wrong, watched = [], 0
    for f, track, q, chosen in asked:
        told = [w for w in SIDES if w.removeprefix("lean_") in q.answer_text.lower()] if "|" in q.quantity or q.quantity == "lean" else []
        told += [q.quantity] * (q.quantity in SIDES and q.answer_text not in ("0", "No", "True"))
        if not (told and "lean" in q.quantity and chosen):
            continue
        up, forward = track.body_to_world[:, :, 1], track.body_to_world[:, [0, 2], 2]
        forward = forward / np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-9)
        ahead, left = (up[:, [0, 2]] * forward).sum(1), up[:, 0] * forward[:, 1] - up[:, 2] * forward[:, 0]
        tilt = np.degrees(np.arctan2(np.stack([ahead, left]), np.abs(up[:, 1])))
        seconds = np.arange(len(up)) / track.fps / f["dur"] * 4
        window = quarters_of(q.window)
        inside = (seconds >= window[0] - 0.1) & (seconds <= window[-1] + 1.1)
        for direction in told:
            axis, sign = SIDES[direction]
            watched += 1
            wrong += [f"{f['name']} {q.template} {q.quantity} {q.window}: {q.answer_text}"] * bool((sign * tilt[axis, inside]).max() < 10)
    assert wrong == []
    assert watched >= 20
