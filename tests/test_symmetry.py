"""No answer may depend on where the world's axes lie, how a file delivers them, which side is left, or how fast a camera is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder import geometry, motion, recipe, selection
from builder.motion import CHANNELS
from builder.performer import cast_clips, cast_reference
from builder.quantities import Measures
from builder.sources import tracks
from builder.types import Floats, Track

DEFAULT = recipe.load()
FAMILIES = selection.families()
PEOPLE = 200
CHUNK = 20
RATES = (24.0, 60.0)

Key = tuple[str, str, str]
Answers = dict[Key, str]


@pytest.fixture(scope="module")
def real(test_data: Path) -> list[Track]:
    return [tracks.reference(c)[0] for c in tracks.clips(test_data / "tracks")]


def scripted(start: int, end: int) -> list[Track]:
    return [cast_reference(c)[0] for c in list(cast_clips("symmetry", "t", end))[start:]]


def chunks(count: int) -> list[range]:
    return [range(k, min(k + CHUNK, count)) for k in range(0, count, CHUNK)]


def answers(track: Track) -> Answers:
    """The answer to everything that can be asked, robust or not; keyed by template, quantity and window."""
    described = motion.describe(track, DEFAULT)
    measures = Measures(described, DEFAULT)
    return {
        (q.template, q.quantity, q.window): q.answer_text for family in FAMILIES.values() for q in family.ask(described, DEFAULT, measures)
    }


def robust(track: Track) -> Answers:
    """The same of the questions that are kept."""
    return {(q.template, q.quantity, q.window): q.answer_text for q in selection.questions_of(track, DEFAULT)[1]}


SWAPPED = {"left": "right", "right": "left", "clockwise": "counter-clockwise", "counter-clockwise": "clockwise", "left-right": "left-right"}
SIDES = re.compile(rf"(?<![a-z])({'|'.join(sorted(SWAPPED, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)


def swap(text: str) -> str:
    """Left for right and clockwise for counter-clockwise, and back; the left-right line is its own mirror image."""

    def one(found: re.Match[str]) -> str:
        word = SWAPPED[found[0].lower()]
        return word.capitalize() if found[0][0].isupper() else word

    return SIDES.sub(one, text)


def unordered(key: Key) -> Key:
    """A pair asks the same whichever is named first."""
    return key[0], "|".join(sorted(key[1].split("|"))), key[2]


def image(found: Answers) -> Answers:
    """What the mirror image of somebody with these answers must answer."""
    return {unordered((swap(t), swap(q), w)): swap(text) for (t, q, w), text in found.items()}


def changed(before: Answers, after: Answers) -> dict[Key, tuple[str | None, str | None]]:
    """Questions that are answered differently or asked of one alone."""
    keys = before.keys() | after.keys()
    return {k: (before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)}


def delivered(track: Track, up: str, folder: Path) -> Track:
    """The track read back from a neutral file whose world has another vertical axis."""
    axes = geometry.AXES_TO_Y_UP[up]
    np.savez(folder / "track.npz", trans=track.position_m @ axes, root_rot=axes.T @ track.body_to_world, fps=track.fps, up=up)
    (clip,) = tracks.clips(folder)
    return replace(tracks.reference(clip)[0], clip_id=track.clip_id)


def moved(track: Track, yaw_deg: float = 137.3, offset: Floats | tuple[float, ...] = (3.0, 0.7, -11.0)) -> Track:
    return geometry.transform(track, geometry.yaw_matrix(yaw_deg), np.asarray(offset))


def test_the_swap_of_sides_knows_every_form():
    assert swap("To the left, Turn Left, upright: A loop walked round to the right (clockwise)") == (
        "To the right, Turn Right, upright: A loop walked round to the left (counter-clockwise)"
    )
    assert (
        swap("turn_left|turn_right left#2 left-right reach_left_quarter") == "turn_right|turn_left right#2 left-right reach_right_quarter"
    )


@pytest.mark.parametrize("yaw", [137.3, -90.0])
def test_turning_and_moving_the_world_changes_nothing(real: list[Track], yaw: float):
    for track in real[:: 1 if yaw > 0 else 3]:
        assert changed(answers(track), answers(moved(track, yaw))) == {}, track.clip_id


@pytest.mark.parametrize("up", ["z", "-y"])
def test_delivery_in_another_world_changes_nothing(real: list[Track], up: str, tmp_path: Path):
    for track in real[:: 1 if up == "z" else 3]:
        assert changed(answers(track), answers(delivered(track, up, tmp_path))) == {}, track.clip_id


def test_the_mirror_image_has_the_mirrored_answers(real: list[Track]):
    for track in real:
        theirs = {unordered(k): v for k, v in answers(geometry.mirror(track)).items()}
        assert changed(image(answers(track)), theirs) == {}, track.clip_id


@pytest.mark.parametrize("people", chunks(PEOPLE), ids=lambda r: f"{r.start}-{r.stop}")
def test_scripted_people_turned_moved_delivered_and_mirrored_at_once(people: range, tmp_path: Path):
    """One comparison for all three, since each has its own test on real tracks that says which it was."""
    for track in scripted(people.start, people.stop):
        other = geometry.mirror(moved(delivered(track, "z", tmp_path)))
        theirs = {unordered(k): v for k, v in answers(other).items()}
        assert changed(image(answers(track)), theirs) == {}, track.clip_id


def with_stillness(track: Track, seconds: float = 1.0) -> Track:
    """The track and then the last pose, held."""
    n = round(seconds * track.fps)
    return replace(
        track,
        valid=np.pad(track.valid, (0, n), mode="edge"),
        body_to_world=np.pad(track.body_to_world, ((0, n), (0, 0), (0, 0)), mode="edge"),
        position_m=np.pad(track.position_m, ((0, n), (0, 0)), mode="edge"),
        frame_ids=np.arange(track.num_frames + n),
        joints_m=None,
        camera_to_world=None,
        extra={},
    )


def times(track: Track) -> Counter[str]:
    """How often each direction and named movement happens; standing still at the end is one more."""
    found = Counter(e.direction for e in motion.describe(track, DEFAULT).events)
    return Counter({k: n for k, n in found.items() if k != "still"})


def test_a_second_of_stillness_changes_no_count(real: list[Track]):
    off = {t.clip_id: (times(t), times(with_stillness(t))) for t in [*real, *scripted(0, PEOPLE)]}
    assert {name: (a - b, b - a) for name, (a, b) in off.items() if a != b} == {}


def check_rates(people: list[Track]) -> int:
    """Number of comparisons of kept questions at the track's own and at other frame rates; every answer must be the same."""
    compared = 0
    for track in people:
        own = robust(track)
        for fps in RATES:
            other = robust(geometry.resample(track, fps))
            both = own.keys() & other.keys()
            assert {k: (own[k], other[k]) for k in both if own[k] != other[k]} == {}, (track.clip_id, fps)
            assert len(both) >= 0.5 * len(own), "most kept questions are kept at the other rate too"
            compared += len(both)
    return compared


@pytest.mark.parametrize("part", range(4))
def test_frame_rate_of_real_people_changes_no_kept_answer(real: list[Track], part: int):
    assert check_rates(real[part::4]) > 500


@pytest.mark.parametrize("people", [range(0, 5), range(5, 10)], ids=lambda r: f"{r.start}-{r.stop}")
def test_frame_rate_of_scripted_people_changes_no_kept_answer(people: range):
    assert check_rates(scripted(people.start, people.stop)) > 800


@pytest.mark.slow
@pytest.mark.parametrize("people", chunks(PEOPLE), ids=lambda r: f"{r.start}-{r.stop}")
def test_frame_rate_of_many_scripted_people_changes_no_kept_answer(people: range):
    assert check_rates(scripted(people.start, people.stop)) > 2000


def test_channels_swap_as_the_axes_do():
    track = scripted(0, 1)[0]
    one, other = motion.describe(track, DEFAULT), motion.describe(geometry.mirror(track), DEFAULT)
    sign = {"displacement_x": -1, "rotation_yaw": -1, "rotation_roll": -1}
    for code in CHANNELS:
        assert np.allclose(other.signals[code], sign.get(code, 1) * one.signals[code], atol=1e-6)
