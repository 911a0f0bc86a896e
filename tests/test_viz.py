"""Pictures and report: left is drawn left, everything is labelled and escaped, and the same input gives the same bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import pytest

from builder.types import CATEGORIES, Event, Motion, Question
from builder.viz import channels_figure, lifted_figure, path_figure, report, shown_frames
from builder.viz.channels import CLEAR_LANES, LABEL_PT, LEFT_IN, PANELS, WIDE_IN, event_label, lanes, lay_out, row_label, shared_limits
from builder.viz.ink import text_width
from builder.viz.path import arrow_frames, clear_place, drawn, drawn_direction, window
from builder.viz.report import blind_view, count, priors_view, skipped_view

HZ = 60.0
SIGN = {"left": 1, "up": 1, "forward": 1, "turn_left": 1, "jump": 1}


def glide(n: int, *pieces: tuple[float, float, float]) -> np.ndarray:
    """(n,) values that go smoothly by `amount` from `start` to `end` seconds, for each piece."""
    t = np.arange(n) / HZ
    out = np.zeros(n)
    for start, end, amount in pieces:
        x = np.clip((t - start) / (end - start), 0, 1)
        out += amount * x * x * (3 - 2 * x)
    return out


def event(code: str, direction: str, start_s: float, end_s: float, amount: float) -> Event:
    """An event between two times in seconds."""
    a, b = round(start_s * HZ), round(end_s * HZ)
    return Event(code, direction, a, b, amount, abs(amount) / (end_s - start_s), "moderate", "slow", (a, b - 1))


def walker(mirror: int = 1, clip_id: str = "synthetic/walk-turn-jump") -> Motion:
    """Someone who walks 3 m ahead, turns left by 90 degrees, walks 2 m, jumps; 8 s.  `mirror` -1 swaps left and right."""
    n = int(8 * HZ) + 1
    t = np.arange(n) / HZ
    sway = 0.03 * np.sin(2 * np.pi * 0.9 * t)
    x = mirror * (glide(n, (3.4, 5.6, 2.0)) + sway * (t < 2.6))
    z = glide(n, (0.3, 2.9, 3.0)) + sway * (t > 3.4)
    y = glide(n, (6.2, 6.5, 0.36), (6.5, 6.8, -0.36)) + 0.02 * np.sin(2 * np.pi * 1.8 * t) * (t < 5.6)
    yaw = mirror * (glide(n, (2.6, 3.6, 90.0)) + 6 * np.sin(2 * np.pi * 0.9 * t) * (t < 5.6))
    side, turn = ("left", "turn_left") if mirror > 0 else ("right", "turn_right")
    events = (
        event("walk", "walk", 0.4, 5.5, 4.9),
        event("displacement_z", "forward", 0.5, 2.7, 3.0),
        event("radial", "away", 0.5, 2.8, 2.9),
        event("rotation_yaw", turn, 2.7, 3.5, mirror * 90.0),
        event("displacement_x", side, 3.6, 5.4, mirror * 2.0),
        event("still", "still", 6.9, 8.0, 0.01),
        event("displacement_y", "up", 6.22, 6.48, 0.36),
        event("displacement_y", "down", 6.52, 6.78, -0.36),
        event("jump", "jump", 6.2, 6.8, 0.36),
    )
    return Motion(
        clip_id=clip_id,
        person_id="0",
        fps=HZ,
        num_frames=n,
        events=tuple(sorted(events, key=lambda e: e.start_frame)),
        signals={
            "displacement_x": x,
            "displacement_y": y,
            "displacement_z": z,
            "rotation_yaw": yaw,
            "rotation_pitch": 4 * np.sin(2 * np.pi * 0.45 * t),
            "rotation_roll": mirror * 5 * np.sin(2 * np.pi * 0.9 * t),
        },
        path_m=np.column_stack([x, z]),
        heading_deg=yaw,
        heading_ok=np.ones(n, dtype=bool),
        lean_ok=np.ones(n, dtype=bool),
        referent="the person",
    )


def question(number: int, category: str, text: str, options: tuple[str, ...], answer: int, **evidence: Any) -> Question:
    """A question about the walker."""
    name = f"{category}_{number}"
    clip_id = "synthetic/walk-turn-jump"
    return Question(f"q{number}", clip_id, "0", category, name, "amount", "whole", text, options, answer, evidence, 15 / 16)


QUESTIONS = (
    question(1, "numerical", "How far does the person move to their left?", ("0.5 m", "2 m", "4 m", "7 m"), 1, left_m=2.0),
    question(2, "temporal", "In which quarter does the person jump?", ("first", "second", "third", "fourth"), 3, onset_s=6.2, quarter=4),
    question(3, "existence", "Does the person lean <b>backward</b> & stay?", ("yes", "no"), 1, events=[], largest_deg=4.03125),
)
EXAMPLE = {
    "clip_id": "synthetic/walk-turn-jump",
    "motion": walker(),
    "questions": [(q, tuple(reversed(q.options)), f"Because {q.id} < that.") for q in QUESTIONS],
}


def score(value: float, n: int = 400) -> dict[str, float]:
    """A blind score in points with its interval."""
    return {"score": value, "low": value - 4, "high": value + 4, "n": n}


INFO: dict[str, Any] = {
    "version": "0.1.0",
    "recipe": {"name": "default", "digest": "3f9c2a77d0", "seed": 0},
    "lifters": {"synthetic": "groundtruth", "sample": "monocular"},
    "generated": {
        "tracks": 412,
        "skipped": [{"clip_id": f"sample/{k}", "reason": "seen in <90 % of frames" if k < 5 else "too short"} for k in range(7)],
        "questions_per_track_mean": 31.4,
        "before": {c: 2400 - 210 * k for k, c in enumerate(CATEGORIES)},
        "after": {c: 1300 - 90 * k for k, c in enumerate(CATEGORIES)},
    },
    "counts": {
        source: {split: {c: n + 7 * k for k, c in enumerate(CATEGORIES)} for split, n in (("test", 60), ("train", size))}
        for source, size in (("sample", 110), ("synthetic", 1025))
    },
    "blind": {
        solver: {
            kind: {
                "by_category": {c: score(shift + 2.1 * k - 4) for k, c in enumerate(CATEGORIES)},
                "mean": score(shift + 1.2, 2800),
                "verdict": "within the bar" if shift < 3 else "over the bar: existence",
            }
            for kind, shift in (("synthetic", 0.0), ("real", 3.0))
        }
        for solver in ("priors", "second")
    },
    "max_blind": 5.0,
}
PRIORS = [
    {
        "template": "even_one",
        "window": "whole",
        "before": {"left": 300, "right": 100},
        "after": {"left": 100, "right": 100},
        "expected": {"left": 0.5, "right": 0.5},
    },
    {
        "template": "furthest_quarter",
        "window": "",
        "before": {"first": 4, "second": 20, "third": 60, "the <fourth>": 516},
        "after": {"first": 4, "second": 20, "third": 40, "the <fourth>": 60},
        "expected": {"first": 0.25, "second": 0.25, "third": 0.25, "the <fourth>": 0.25},
    },
]


def test_left_is_drawn_left_and_forward_up() -> None:
    path = np.array([[0.0, 0.0], [0.0, 3.0], [2.0, 3.0]])  # (left, forward)
    assert drawn(path).tolist() == [[0, 0], [0, 3], [-2, 3]]
    np.testing.assert_allclose(drawn_direction(0), [0, 1], atol=1e-12)
    np.testing.assert_allclose(drawn_direction(90), [-1, 0], atol=1e-12)


@pytest.mark.parametrize(("mirror", "side"), [(1, -1), (-1, 1)])
def test_the_last_quarter_of_the_svg_lies_on_the_persons_side(mirror: int, side: int) -> None:
    picture = path_figure(walker(mirror))
    last = re.search(r'<path d="([^"]+)"[^>]*stroke: #cc4c02', picture)
    first = re.search(r'<path d="([^"]+)"[^>]*stroke: #0b62a4', picture)
    assert last
    assert first
    x = [np.mean([float(v) for v in re.findall(r"[ML] ([\d.]+) [\d.]+", found[1])]) for found in (first, last)]
    y = [np.mean([float(v) for v in re.findall(r"[ML] [\d.]+ ([\d.]+)", found[1])]) for found in (first, last)]
    assert side * (x[1] - x[0]) > 50
    assert y[1] < y[0]  # SVG counts downwards: later is further ahead


def test_scale_is_honest() -> None:
    sway = np.column_stack([0.02 * np.sin(np.arange(200)), np.zeros(200)])
    left, _, side = window(sway)
    assert side >= 1.0
    assert left < -0.5 < 0.5 < left + side
    limits = shared_limits(walker())
    assert limits["floor"][0] <= 0
    assert limits["floor"][1] >= 3.0
    assert limits["lean"][1] - limits["lean"][0] >= 50  # swaying by 5 degrees looks like swaying


def test_arrows_every_half_second_then_every_second() -> None:
    assert arrow_frames(481, 60.0) == (list(range(0, 481, 30)), 0.5)
    assert arrow_frames(60 * 30 + 1, 60.0) == (list(range(0, 1801, 60)), 1.0)


def test_undefined_facing_is_hollow_and_hatched() -> None:
    ok = walker()
    lost = replace(ok, heading_ok=np.arange(ok.num_frames) < 240)
    assert "hollow" in path_figure(lost)
    assert "hollow" not in path_figure(ok)
    assert "<pattern" in channels_figure(lost)
    assert "<pattern" not in channels_figure(ok)


def test_every_event_is_labelled() -> None:
    motion = walker()
    picture = channels_figure(motion)
    drawn_text = re.findall(r"<!-- (.*?) -->", picture)
    for e in motion.events:
        assert (event_label if e.code in PANELS else row_label)(e, HZ) in drawn_text
    assert {"left 2.0 m", "turn left 90°", "up 0.36 m", "down 0.36 m", "away 2.9 m"} <= set(drawn_text)
    assert {"walk", "4.9 m", "still", "1.1 s", "jump", "0.36 m"} <= set(drawn_text)
    spoken = re.search(r"<title>(.*?)</title>", picture)
    assert spoken
    assert all(event_label(e, HZ) in spoken[1] for e in motion.events)
    assert {p.name.split()[0] for p in PANELS.values()} <= {t.split()[0] for t in drawn_text}


def test_labels_and_poles_keep_clear_of_each_other() -> None:
    rng = np.random.default_rng(4)
    for number in [4] * 20 + [20] * 20:
        labels = [(float(p), float(w)) for p, w in zip(rng.uniform(0, 400, number), rng.uniform(30, 70, number), strict=True)]
        placed = lanes(labels, CLEAR_LANES)
        for i, (left, width) in enumerate(labels):
            for j, (pole, wide) in enumerate(labels):
                if i != j and placed[i] == placed[j]:
                    assert left >= pole + wide or pole >= left + width
                if placed[j] > placed[i] and number <= CLEAR_LANES:
                    assert not left < pole < left + width


def test_the_last_label_fits() -> None:
    late = replace(walker(), events=(event("rotation_pitch", "lean_backward", 7.8, 8.0, -35.0),))
    layout = lay_out(late)
    assert layout.plot_in * 7.8 / 8.0 + text_width("lean backward 35°", LABEL_PT) / 72 <= WIDE_IN - LEFT_IN


def test_a_mark_finds_a_free_place() -> None:
    taken = [(np.array([0.0, y]), 0.01, 0.01) for y in np.linspace(-1, 1, 50)]
    at = clear_place(np.zeros(2), (0.05, 0.05), taken, (-1.0, -1.0, 2.0))
    assert abs(at[0]) >= 0.12
    assert np.hypot(*at) < 0.4


def test_same_input_same_bytes_whatever_the_users_settings() -> None:
    import matplotlib

    first = report(INFO, PRIORS, [EXAMPLE])
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert report(INFO, PRIORS, [EXAMPLE]) == first
        assert matplotlib.rcParams["font.size"] == 20


def test_page_is_self_contained_themed_and_small() -> None:
    page = report(INFO, PRIORS, [EXAMPLE] * 6)
    assert len(page.encode()) < 3_000_000
    assert not re.search(r'(?:src|href)="(?!#)|@import|<script', page)
    assert "prefers-color-scheme: dark" in page
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) == 12
    assert all("#1d2530" not in p and "var(--ink)" in p for p in pictures)
    assert not re.search(r"20\d\d-\d\d-\d\d", page)


def test_pictures_on_one_page_share_no_ids() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', p)) for p in (path_figure(walker()), path_figure(walker(-1)), channels_figure(walker()))]
    assert all(ids)
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_all_questions_options_and_reasons_are_on_the_page() -> None:
    page = report(INFO, PRIORS, [EXAMPLE])
    for q in QUESTIONS:
        assert escape(q.text) in page
        assert f"Because {q.id} &lt; that." in page
        for letter, option in zip("ABCD", reversed(q.options), strict=False):
            mark = ' class="true"' if option == q.answer_text else ""
            assert f"<li{mark}><span>{letter}</span><span>{option}</span>" in page
    assert page.count('class="true"') == len(QUESTIONS)
    assert "94\N{NARROW NO-BREAK SPACE}%" in page
    assert "4.0312" in page


def test_text_is_escaped_everywhere() -> None:
    bad = '<script>alert("x")</script>'
    motion = replace(walker(clip_id=bad), referent=bad)
    motion = replace(motion, events=(*motion.events, event("hop$x$", "a --> <i>", 1.0, 2.0, 0.4)))
    page = report({**INFO, "version": bad, "lifters": {bad: bad}}, PRIORS, [{"clip_id": bad, "motion": motion, "questions": []}])
    assert "<script" not in page
    assert "--> <i>" not in page
    assert "the &lt;fourth&gt;" in page


@pytest.mark.parametrize("part", [None, *INFO])
def test_missing_parts_are_left_out(part: str | None) -> None:
    info = {k: v for k, v in INFO.items() if k != part} if part else {}
    page = report(info, [], [])
    assert page.endswith("</html>")
    assert 'id="examples"' not in page
    assert (part in (None, "blind")) == ('id="blind"' not in page)


def test_bare_examples_and_odd_motions_are_drawn() -> None:
    motion = walker()
    bare = replace(motion, events=(), signals={}, path_m=np.zeros((motion.num_frames, 2)))
    arrays = {name: getattr(motion, name)[:2] for name in ("path_m", "heading_deg", "heading_ok", "lean_ok")}
    short = replace(motion, num_frames=2, events=(), signals={c: s[:2] for c, s in motion.signals.items()}, **arrays)
    page = report({}, [{"template": "t"}], [{"clip_id": "a", "motion": bare}, {"clip_id": "b"}, {"clip_id": "c", "motion": short}])
    assert page.count("<svg") == 4
    assert "not given" in page


def test_views_sort_the_worst_first() -> None:
    few = {**PRIORS[1], "template": "asked_once", "before": {"first": 1}, "after": {"first": 1}}
    tables = priors_view([*PRIORS, few, {"template": "unknown", "before": {"x": 1}, "after": {"x": 1}}])
    assert [t["template"] for t in tables] == ["furthest_quarter", "asked_once", "even_one", "unknown"]
    assert tables[2]["gaps"] == [pytest.approx(0.25), 0.0]
    assert [r["reason"] for r in skipped_view(INFO["generated"]["skipped"])] == ["seen in <90 % of frames", "too short"]


def test_a_score_is_over_when_its_whole_interval_is() -> None:
    view = blind_view({"priors": {"real": {"by_category": {"numerical": score(9.5), "existence": score(8.5)}}}}, 5.0)
    assert view is not None
    assert {row["name"]: row["over"] for row in view["panels"][0]["rows"]} == {"numerical": True, "existence": False}


@pytest.mark.parametrize(("value", "text"), [(12345, "12\u202f345"), (31.42, "31.4"), (None, "\u2013"), (-10, "\u221210")])
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert count(value) == text


def test_a_lifted_person_is_one_picture_with_what_was_seen() -> None:
    from builder.lifting import refused
    from builder.motion import describe
    from builder.performer import Turn, Walk, perform
    from builder.recipe import load

    track = perform([Walk(2.0), Turn(90.0)], seed=1)
    n = track.num_frames
    extra = {
        "landmarks_px": np.full((n, 33, 2), 40.0) + np.arange(33)[:, None],
        "camera_matrix": np.array([[70.0, 0, 40], [0, 70.0, 30], [0, 0, 1]]),
        "confidence": np.ones(n),
    }
    track = replace(
        track, extra=extra, provenance={"verdict": "refuse", "reasons": ["a long reason " * 20], "camera_mode": "static", "focal_px": 70.0}
    )
    rows = shown_frames(track)
    assert len(rows) == len(set(rows)) == 6
    assert (rows[0], rows[-1]) == (0, n - 1)
    images = {row: np.full((60, 80, 3), 128, np.uint8) for row in rows}
    first, second = (lifted_figure(track, describe(track, load()), images) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second
    assert lifted_figure(replace(track, extra={}), describe(track, load()), images) != first
    assert refused(track)
