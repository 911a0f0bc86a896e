"""The contract of every question family, on scripted and real people: what a question must be before anybody may see it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from scipy.stats import chi2

from builder import motion, plugins, recipe, selection
from builder.performer import cast_clips, cast_reference
from builder.quantities import OPPOSITE, WORDS, Measures
from builder.sources import tracks
from builder.types import CATEGORIES, Motion, Question, Track

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = recipe.load()
SIZES = {
    "numerical": {4},
    "comparative": {3},
    "dominant": {3, 4},
    "temporal": {4},
    "ordering": {4},
    "trajectory_affordance": {4},
    "existence": {2},
}
REAL = (
    "cmu_01_01_hops_turns", "cmu_12_01_walk", "cmu_test_jumping_1", "cmu_train_basketball_5", "cmu_train_walking_22",
    "cmu_train_walking_50", "dm_backflip", "dm_crawl", "dm_long_walk3", "mjpc_88_08",
)  # fmt: skip

# Over (id, text, options, answer) of everything asked of five scripted people, sorted.  It may change when the generator is meant to
# ask or answer differently (a template, a word, a threshold of the default recipe, the performer's scripts), and with it GENERATOR or
# the version of the package; never by moving code, by adding a source or a lifter, or on another machine.
GOLDEN = "f0b000cb83ae528445296d5b4557cc542eea7040512bc24911f1f2828bc02b89"


class Asked(NamedTuple):
    """Everything that can be asked of one track, robust or not."""

    motion: Motion
    questions: list[Question]


def scripted(count: int, cast: str = "questions") -> list[Track]:
    return [cast_reference(c)[0] for c in cast_clips("test", cast, count)]


def ask_all(track: Track) -> Asked:
    described = motion.describe(track, DEFAULT)
    measures = Measures(described, DEFAULT)
    return Asked(described, [q for f in selection.families().values() for q in f.ask(described, DEFAULT, measures)])


def golden(questions: list[Question]) -> str:
    """SHA-256 over what a reader of these questions sees, whatever their order."""
    rows = sorted((q.id, q.text, q.options, q.answer) for q in questions)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@pytest.fixture(scope="module")
def asked(test_data: Path) -> list[Asked]:
    real = [tracks.reference(c)[0] for c in tracks.clips(test_data / "tracks") if c.sequence in REAL]
    assert len(real) == len(REAL)
    return [ask_all(t) for t in [*scripted(30), *real]]


@pytest.fixture(scope="module", params=plugins.names("questions"))
def family(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.load("questions", request.param, selection.NEEDS)


def of_family(asked: list[Asked], family: ModuleType) -> list[Question]:
    found = [q for one in asked for q in one.questions if q.category == family.CATEGORY]
    assert len(found) > 200
    return found


def test_there_is_one_family_for_each_category():
    assert sorted(f.CATEGORY for f in selection.families().values()) == sorted(CATEGORIES) == sorted(SIZES)


def test_templates_are_many_and_their_names_are_unique():
    names = [t.name for f in selection.families().values() for t in f.TEMPLATES]
    assert len(names) >= 60
    assert [n for n, k in Counter(names).items() if k > 1] == []
    assert {"order_of_three", "way_back"} <= set(names)


def test_every_template_names_the_person():
    """Of several people, the text alone says whom it means."""
    assert [t.name for f in selection.families().values() for t in f.TEMPLATES if "{person}" not in t.text] == []


def test_every_template_is_asked_of_somebody(asked: list[Asked]):
    names = {t.name for f in selection.families().values() for t in f.TEMPLATES}
    assert names - {q.template for one in asked for q in one.questions} == set()


def test_options_are_distinct_and_as_many_as_the_category_says(asked: list[Asked], family: ModuleType):
    for q in of_family(asked, family):
        assert len(q.options) in SIZES[q.category], q
        assert len({o.casefold().strip() for o in q.options}) == len(q.options), q
        assert all(o == o.strip() and o for o in q.options), q
        assert 0 <= q.answer < len(q.options), q


def test_the_answer_follows_from_stored_evidence(asked: list[Asked], family: ModuleType):
    for q in of_family(asked, family):
        stored = json.loads(json.dumps(dict(q.evidence), allow_nan=False))
        assert family.recompute(replace(q, evidence=stored), DEFAULT) == q.answer_text, q


LETTER = re.compile(r"\([A-D]\)|\b[A-D][.):]|\b(option|answer|choice) [A-D]\b", re.IGNORECASE)
RAW = re.compile(r"[\[\]{}]|\b(None|nan|inf|np|NaN)\b|_|  | [?.,;:]")


def test_texts_are_sentences(asked: list[Asked], family: ModuleType):
    for q in of_family(asked, family):
        assert q.text[0].isupper(), q.text
        assert q.text[-1] in "?.", q.text
        assert not RAW.search(q.text), q.text
        assert not LETTER.search(q.text), q.text
        assert not any(RAW.search(o) for o in q.options), q.options


def test_explanations_are_sentences_without_letters(asked: list[Asked], family: ModuleType):
    for q in of_family(asked, family):
        said = family.explain(q)
        assert len(said) > 10, q
        assert said[0].isupper() or said[0].isdigit(), said
        assert said.endswith("."), said
        assert not RAW.search(said), (q.template, said)
        assert not LETTER.search(said), (q.template, said)


def test_ids_are_unique_and_say_what_is_asked(asked: list[Asked]):
    every = [q for one in asked for q in one.questions]
    assert len({q.id for q in every}) == len(every)
    assert len({(q.clip_id, q.person_id, q.template, q.quantity, q.window) for q in every}) == len(every)
    assert all(re.fullmatch(r"[0-9a-f]{16}", q.id) for q in every)


def test_no_question_is_asked_in_the_same_words_with_another_answer(asked: list[Asked]):
    for one in asked:
        said: dict[str, set[str]] = defaultdict(set)
        for q in one.questions:
            said[q.text, tuple(sorted(q.options))].add(q.answer_text)  # type: ignore[index]
        assert [k for k, v in said.items() if len(v) > 1] == []


def test_the_place_of_the_right_option_says_nothing(asked: list[Asked]):
    places: dict[int, Counter[int]] = defaultdict(Counter)
    for one in asked:
        for q in one.questions:
            places[len(q.options)][q.answer] += 1
    assert set(places) == {2, 3, 4}
    for size, found in places.items():
        expected = found.total() / size
        assert found.total() > 2000
        assert sum((found[k] - expected) ** 2 / expected for k in range(size)) < chi2.isf(1e-5, size - 1), (size, found)


BY_WORDS = {words.does.capitalize(): name for name, words in WORDS.items()}


def test_what_an_ordering_question_offers_has_happened_or_is_its_opposite(asked: list[Asked]):
    """Else an option could be excluded by never having been seen."""
    unseen: Counter[str] = Counter()
    for one in asked:
        happened = {e.direction for e in one.motion.events}
        near = happened | {OPPOSITE[d] for d in happened if d in OPPOSITE}
        for q in one.questions:
            if q.category == "ordering":
                offered = {BY_WORDS[part.strip().capitalize()] for o in q.options for part in o.replace(", then ", "|").split("|")}
                unseen[q.template] += not offered <= near
    assert +unseen == {}


def test_nothing_else_starts_before_what_comes_next(asked: list[Asked]):
    """Read from the events, not from the family: the answer to "next" is the first of the kinds offered to start after it."""
    kinds = {
        "next_any": ("left", "right", "forward", "backward", "turn_left", "turn_right"),
        "next_floor": ("left", "right", "forward", "backward"),
    }
    checked = 0
    for one in asked:
        for q in one.questions:
            if q.template not in kinds:
                continue
            direction, _, number = q.quantity.partition("#")
            own = sorted(e.start_frame for e in one.motion.events if e.direction == direction)[int(number) - 1]
            later = sorted(
                (e.start_frame, e.direction) for e in one.motion.events if e.direction in kinds[q.template] and e.start_frame > own
            )
            assert BY_WORDS[q.answer_text] == later[0][1], q
            gap = DEFAULT.questions.onset_gap_s * one.motion.fps
            assert later[0][0] - own >= gap, q
            assert len(later) == 1 or later[1][0] - later[0][0] >= gap, q
            checked += 1
    assert checked > 100


def test_a_family_asks_the_same_whatever_other_families_there_are(monkeypatch: pytest.MonkeyPatch):
    everything = selection.families()
    for track in scripted(2):
        together = {q.id: q for q in selection.questions_of(track, DEFAULT)[1]}
        for name in everything:
            with monkeypatch.context() as alone:
                alone.setattr(selection, "families", lambda name=name: {name: everything[name]})
                own = selection.questions_of(track, DEFAULT)[1]
            assert {q.id: q for q in own} == {i: q for i, q in together.items() if q.category == everything[name].CATEGORY}


def test_kept_questions_are_asked_ones_with_their_robustness():
    for track in scripted(3):
        candidates = {q.id: q for q in ask_all(track).questions}
        kept = selection.questions_of(track, DEFAULT)[1]
        assert [q.id for q in kept] == sorted(q.id for q in kept)
        assert max(Counter(q.category for q in kept).values()) <= DEFAULT.questions.pool
        for q in kept:
            assert replace(q, robustness=1.0) == candidates[q.id]
            assert DEFAULT.robustness.agree / DEFAULT.robustness.copies <= q.robustness <= 1.0


def test_golden():
    assert golden([q for t in scripted(5, "golden") for q in ask_all(t).questions]) == GOLDEN


def test_another_process_asks_the_same():
    code = """
import sys
sys.path.insert(0, "tests")
import test_questions as t
from builder import selection
print(t.golden([q for track in t.scripted(2) for q in selection.questions_of(track, t.DEFAULT)[1]]))
"""
    here = golden([q for track in scripted(2) for q in selection.questions_of(track, DEFAULT)[1]])
    env = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == here
