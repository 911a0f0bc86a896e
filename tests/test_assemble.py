"""Assembly: splits by hash, answers without priors, and no two questions of a clip that cannot both be true."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest

from builder import assemble, recipe, selection
from builder.consistency import contradictions
from builder.performer import Arc, Jump, Lean, Run, Turn, Wait, Walk, draw_script, perform
from builder.recipe import Recipe
from builder.spool import ASKED
from builder.types import Question

RECIPE = recipe.load()
DIRECTIONS = ("Left", "Right", "Forward", "Backward")


def loose(**changes: Any) -> Recipe:
    return replace(RECIPE, assembly=replace(RECIPE.assembly, **changes))


def ask(number: int, answer: str, options: Sequence[str] = DIRECTIONS, **changes: Any) -> Question:
    given: dict[str, Any] = {
        "id": f"{number:06d}",
        "clip_id": f"clip {number % 50}",
        "person_id": "0",
        "category": "dominant",
        "template": "main_direction",
        "quantity": "floor",
        "window": "whole",
        "text": "Where to?",
        "options": tuple(options),
        "answer": options.index(answer),
        "evidence": {},
    }
    return Question(**given | changes)


@cache
def real() -> tuple[Question, ...]:
    """Every robust question about a few scripted people."""
    everything = replace(RECIPE, questions=replace(RECIPE.questions, pool=10_000))
    scripts = [draw_script("assemble", "real", number) for number in range(6)]
    scripts.append(
        (Walk(3.0), Turn(90.0), Lean(pitch_deg=30.0), Jump(0.3), Arc(2.0, 120.0), Wait(1.0), Run(4.0), Turn(-150.0), Walk(1.0, 180.0))
    )
    people = [perform(script, seed=number, clip_id=f"clip {number}") for number, script in enumerate(scripts)]
    return tuple(q for person in people for q in selection.questions_of(person, everything)[1])


# ---- splits ------------------------------------------------------------------------------------------------------------


def test_a_split_depends_on_group_and_seed_alone():
    groups = [f"subject {n}" for n in range(4000)]
    test = {g for g in groups if assemble.split_of(g, RECIPE) == "test"}
    assert {assemble.split_of(g, RECIPE) for g in groups} == {"train", "test"}
    share = RECIPE.assembly.test_share
    assert abs(len(test) / len(groups) - share) < 3 * (share * (1 - share) / len(groups)) ** 0.5
    assert {g for g in reversed(groups) if assemble.split_of(g, replace(RECIPE, name="other")) == "test"} == test
    other = {g for g in groups if assemble.split_of(g, replace(RECIPE, seed=1)) == "test"}
    assert 0.15 * len(test) < len(test & other) < 0.35 * len(test)
    larger = {g for g in groups if assemble.split_of(g, loose(test_share=0.5)) == "test"}
    assert test < larger, "a larger test split keeps what was in it"


def test_published_splits_never_move():
    """Frozen: whoever changes these gives a trained model its test questions."""
    found = "".join(assemble.split_of(f"subject {n}", RECIPE)[1] for n in range(24))
    assert found == "rereeereerrerrrerrrrrrer"


# ---- flat answers ------------------------------------------------------------------------------------------------------


def excesses(questions: Sequence[Question], flatness: float) -> list[tuple[float, object]]:
    """How far each cell is over its bound, counted plainly: one pass per level, group and option text."""
    found = []
    for level, key in enumerate(assemble.LEVELS):
        groups: dict[object, list[Question]] = {}
        for q in questions:
            groups.setdefault(key(q), []).append(q)
        for name, members in groups.items():
            for option in {o for q in members for o in q.options}:
                offering = [q for q in members if option in q.options]
                expected = sum(1 / len(q.options) for q in offering)
                hits = sum(q.answer_text == option for q in offering)
                others = len(offering) / expected - 1
                found.append((hits - expected - flatness * others / 3 * expected**0.5 - 0.5, (level, name, option)))
    return found


def skewed(count: int, share: float, seed: int = 0) -> list[Question]:
    """Questions that "Forward" answers in `share` of all cases, in a few templates and windows."""
    rng = random.Random(seed)
    out = []
    for number in range(count):
        answer = "Forward" if rng.random() < share else rng.choice(("Left", "Right", "Backward"))
        options = rng.sample(DIRECTIONS, 4)
        out.append(ask(number, answer, options, template=f"t{number % 3}", window=("whole", "q1")[number // 3 % 2]))
    return out


def test_flattening_only_drops_and_any_order_gives_the_same():
    questions = [*skewed(600, 0.7), *real()]
    kept = assemble.flatten(questions, RECIPE)
    given = {id(q) for q in questions}
    assert all(id(q) in given for q in kept), "a question was changed"
    assert [q.id for q in kept] == sorted({q.id for q in kept})
    for seed in range(3):
        mixed = random.Random(seed).sample(questions, len(questions))
        assert [q.id for q in assemble.flatten(mixed, RECIPE)] == [q.id for q in kept]
        assert [q.id for q in assemble.choose(mixed, RECIPE)] == [q.id for q in assemble.choose(questions, RECIPE)]
    assert assemble.flatten([], RECIPE) == []
    assert assemble.choose([], RECIPE) == []


def test_what_is_flat_stays_and_flattening_twice_is_flattening_once():
    even = [ask(number, DIRECTIONS[number % 4]) for number in range(200)]
    assert assemble.flatten(even, RECIPE) == even
    once = assemble.flatten(list(real()), RECIPE)
    assert assemble.flatten(once, RECIPE) == once


@pytest.mark.parametrize("flatness", [0.25, 1.0, 3.0])
def test_no_cell_is_over_its_bound_afterwards(flatness: float):
    for questions in ([*skewed(500, 0.6)], list(real())):
        assert max(excesses(questions, flatness))[0] > 0
        for kept in (assemble.flatten(questions, loose(flatness=flatness)), assemble.choose(questions, loose(flatness=flatness))):
            assert kept
            worst = max(excesses(kept, flatness), key=lambda e: e[0])
            assert worst[0] <= 1e-6, worst


def test_a_skewed_corpus_becomes_flat():
    questions = skewed(2000, 0.9)
    kept = assemble.flatten(questions, RECIPE)
    answers = Counter(q.answer_text for q in kept)
    before = Counter(q.answer_text for q in questions)
    assert before["Forward"] > 1700
    rare = sum(before.values()) - before["Forward"]
    assert len(kept) > 0.75 * rare, "the rarest answer of a template and window bounds what can stay"
    expected = len(kept) / 4
    assert all(abs(n - expected) < 0.2 * expected for n in answers.values())
    assert answers["Forward"] <= expected + RECIPE.assembly.flatness * expected**0.5 + 0.5


def test_yes_and_no_become_even():
    rng = random.Random(1)
    questions = [
        ask(n, "Yes" if rng.random() < 0.9 else "No", ("Yes", "No"), category="existence", template="moves", quantity=f"k{n % 5}")
        for n in range(1000)
    ]
    kept = assemble.flatten(questions, RECIPE)
    yes = sum(q.answer_text == "Yes" for q in kept)
    assert len(kept) > 100
    assert abs(yes - len(kept) / 2) < 0.06 * len(kept)


def test_choosing_respects_the_quota():
    many = [replace(q, clip_id=f"clip {n % 4}") for n, q in enumerate(skewed(800, 0.25))]
    for quota in (1, 3, 10):
        few = replace(RECIPE, questions=replace(RECIPE.questions, per_category=quota))
        for questions in (many, list(real())):
            kept = Counter((q.clip_id, q.person_id, q.category) for q in assemble.choose(questions, few))
            assert kept
            assert max(kept.values()) <= quota


def test_two_people_of_a_clip_have_their_own_quota():
    two = [replace(q, clip_id="one clip", person_id=str(n // 4 % 2)) for n, q in enumerate(ask(n, DIRECTIONS[n % 4]) for n in range(160))]
    kept = Counter(q.person_id for q in assemble.choose(two, RECIPE))
    quota = RECIPE.questions.per_category
    assert set(kept) == {"0", "1"}
    assert all(quota / 2 < n <= quota for n in kept.values())


def test_tables_of_priors_count_every_question():
    before, after = skewed(300, 0.8), skewed(300, 0.8)[::4]
    outcomes = sorted({assemble.outcome_of(q) for q in before})
    counts = (np.array([Counter(map(assemble.outcome_of, asked))[o] for o in outcomes]) for asked in (before, after))
    tables = assemble.prior_tables(outcomes, *counts)
    assert [t["template"] for t in tables] == ["t0", "t1", "t2"]
    assert sum(sum(t["before"].values()) for t in tables) == len(before)
    assert sum(sum(t["after"].values()) for t in tables) == len(after)
    assert all(sum(t["expected"].values()) == pytest.approx(1.0) for t in tables)


# ---- the same, plainly -------------------------------------------------------------------------------------------------


def plainly(questions: Sequence[Question], flatness: float) -> list[Question]:
    """`assemble.flatten` on lists of questions, as its description reads."""
    kept = sorted(questions, key=lambda q: q.id)
    while True:
        over, heavy = {}, {}
        for level, key in enumerate(assemble.LEVELS):
            for name in {key(q) for q in kept}:
                members = [q for q in kept if key(q) == name]
                for option in {o for q in members for o in q.options}:
                    offering = [q for q in members if option in q.options]
                    expected = float(sum(Fraction(1, len(q.options)) for q in offering))
                    excess = sum(q.answer_text == option for q in offering) - expected
                    allowed = flatness * (len(offering) / expected - 1) / 3 * expected**0.5 + 0.5
                    over[level, name, option] = excess - allowed
                    heavy[level, name, option] = excess / (expected + 1) ** 0.5
        if max(over.values(), default=0.0) <= 1e-9:
            return kept

        def cells(q: Question) -> list[Any]:
            return [(level, key(q), q.answer_text) for level, key in enumerate(assemble.LEVELS)]

        def turn(q: Question, heavy: dict[Any, float] = heavy) -> Any:
            return -float(np.sum([heavy[c] for c in cells(q)])), assemble.turn(assemble.outcome_of(q), len(questions)), q.id

        gone = set()
        for cell in [c for c, n in over.items() if n > 1e-9]:
            gone |= {q.id for q in sorted((q for q in kept if cell in cells(q)), key=turn)[: math.ceil(0.5 * over[cell])]}
        kept = [q for q in kept if q.id not in gone]


@pytest.mark.parametrize("seed", range(8))
def test_counting_outcomes_is_dropping_questions(seed: int):
    """On small random corpora: the plain way above, and choosing as its steps one after the other."""
    rng = random.Random(seed)
    questions = []
    for number in rng.sample(range(10_000), 120):
        options = rng.choice((("Yes", "No"), DIRECTIONS, DIRECTIONS[:3]))
        answer = options[min(len(options) - 1, int(rng.expovariate(1.5)))]
        where = {"template": rng.choice("ab"), "quantity": rng.choice("xy"), "window": rng.choice(("whole", "q1")), "text": "?"}
        categories = {"a": "existence", "b": rng.choice(("existence", "dominant"))}
        shuffled = rng.sample(options, len(options))
        questions.append(ask(number, answer, shuffled, **where, category=categories[where["template"]], clip_id=f"{number % 4}"))
    flatness, few = rng.choice((0.25, 1.0)), 2
    known = replace(loose(flatness=flatness), questions=replace(RECIPE.questions, per_category=few))
    kept = plainly(questions, flatness)
    assert 0 < len(kept) < len(questions)
    assert assemble.flatten(questions, known) == kept
    within = [[q for q in kept if (q.clip_id, q.category) == own][:few] for own in sorted({(q.clip_id, q.category) for q in kept})]
    assert sum(map(len, within)) < len(kept)
    assert assemble.choose(questions, known) == plainly([q for own in within for q in own], flatness)


def test_another_category_changes_nothing():
    questions = skewed(400, 0.7)
    kept = assemble.choose(questions, RECIPE)
    more = [replace(q, id=f"9{q.id}", category="existence", template=f"{q.template} too") for q in skewed(300, 0.9, 1)]
    assert [q for q in assemble.choose([*more, *questions], RECIPE) if q.category == "dominant"] == kept


# ---- any number of questions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parts", "few"), [(1 << 3, 1 << 16), (1 << 22, 1 << 16), (1 << 6, 25)])
@pytest.mark.parametrize("spread", [1, 1 << 50])
def test_ids_are_found_by_their_rank(parts: int, few: int, spread: int, monkeypatch: pytest.MonkeyPatch):
    """However ids lie, however coarsely they are counted, and however often before they are sorted."""
    monkeypatch.setattr(assemble, "PARTS", parts)
    monkeypatch.setattr(assemble, "FEW", few)
    rng = np.random.default_rng(0)
    block = np.zeros(4000, ASKED)
    block["outcome"], block["id"] = rng.integers(0, 5, 4000), rng.permutation(4000).astype(np.uint64) * np.uint64(spread)
    counts = np.bincount(block["outcome"], minlength=6)
    wanted = [(key, rank) for key in range(5) for rank in (0, 1, counts[key] // 2, counts[key] - 1)]
    found = assemble.ids_at(np.split(block, 7 * [0] + [100, 3000]), lambda b: b["outcome"], counts, *np.array(wanted).T)
    assert found.tolist() == [sorted(block["id"][block["outcome"] == key].tolist())[rank] for key, rank in wanted]


# ---- contradictions ----------------------------------------------------------------------------------------------------


def test_real_questions_never_contradict():
    assert len(real()) > 1000
    assert contradictions(real()) == []
    assert contradictions(reversed(real())) == []


def planted(q: Question) -> Question | None:
    """The same question with another deciding value: as if a second family had measured something else."""
    e = dict(q.evidence)
    if q.template in ("count_moves", "count_turns", "count_leans", "count_actions"):
        e["count"] += 1
    elif q.template in ("metres_furthest", "metres_path", "metres_from_start") or q.template.startswith(("metres_in_", "degrees_to_")):
        name = "metres" if "metres" in e else "degrees"
        e[name] += 0.5
    elif q.category == "existence" and "events" in e:
        return replace(q, id=f"{q.id}x", answer=1 - q.answer)
    elif q.template.startswith("more_often"):
        e["first"] += 1
    else:
        return None
    return replace(q, id=f"{q.id}x", evidence=e)


def test_planted_contradictions_are_found():
    by_template: dict[str, Question] = {}
    for q in real():
        if (false := planted(q)) is not None and q.template not in by_template:
            by_template[q.template] = q
            assert contradictions([q, false]), q.template
            assert contradictions([q, replace(false, clip_id="another clip")]) == []
            assert contradictions([q, replace(false, person_id="another person")]) == []
            (line,) = contradictions([*real(), false])[:1]
            assert q.clip_id in line
            assert "\n" not in line
    assert len(by_template) > 12


def test_contradictions_across_families_are_found():
    """A count of none against a "yes", more often left than right against equal counts, a limit against a distance."""
    said = {"quantity": "left", "window": "q1"}
    none = ask(1, "0", ("0", "1", "2", "3"), category="numerical", template="count_moves", evidence={"count": 0, "events": []}, **said)
    one = replace(none, id="1b", answer=1, evidence={"count": 1, "events": [["left", 0.0, 1.0]]})
    yes = ask(
        2, "Yes", ("Yes", "No"), category="existence", template="moves", evidence={"count": 1, "events": [["left", 0.0, 1.0]]}, **said
    )
    clip = {"clip_id": "clip", "person_id": "0"}
    none, one, yes = (replace(q, **clip) for q in (none, one, yes))
    never = replace(yes, id="3", template="moves_never", options=("True", "False"), answer=1)
    often = replace(none, id="4", category="comparative", template="more_often", quantity="left|right", evidence={"first": 2, "second": 1})
    for a, b, wrong in (
        (none, yes, 1),
        (one, yes, 0),
        (none, never, 1),
        (one, never, 0),
        (one, replace(never, answer=0), 1),
        (one, often, 1),
        (none, often, 1),
        (yes, often, 0),
        (none, replace(yes, window="q2"), 0),
        (none, replace(yes, quantity="right"), 0),
    ):
        assert len(contradictions([a, b])) == wrong, (a.template, b.template)
        assert len(contradictions([b, a])) == wrong
    far = replace(none, id="5", template="metres_furthest", quantity="radial", window="whole", evidence={"metres": 2.4})
    beyond = replace(yes, id="6", template="beyond", quantity="3 m", window="whole", evidence={"furthest": 3.9, "count": 1})
    assert len(contradictions([far, beyond])) == 1
    assert contradictions([far, replace(beyond, answer=1)]) == []
