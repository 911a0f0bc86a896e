"""One prompt and one parser: what is asked, and what every kind of reply is taken for."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from builder import prompts, schema

SIDES = ("Moves left", "Moves right", "About the same", "Neither")
QUARTERS = ("The second quarter", "The first quarter", "The third quarter", "The last quarter")
COUNTS = ("0", "3", "2", "1")
METRES = ("About 4 metres", "About 1.5 metres", "About 2 metres", "About 5 metres")
DEGREES = ("Hardly at all (less than 45 degrees)", "About 90 degrees (a quarter turn)", "About 180 degrees (a half turn)")
YES = ("Yes", "No")
TRUE = ("False", "True")
ORDER = ("Left", "Left, then right", "Right, then left", "Right")

# (reply, options, the option's place or None)
REPLIES = [
    # a letter
    ("B", SIDES, 1),
    ("b", SIDES, 1),
    ("a", SIDES, 0),
    (" C \n", SIDES, 2),
    ("B.", SIDES, 1),
    ("(D)", SIDES, 3),
    ("[C]", SIDES, 2),
    ("**B**", SIDES, 1),
    ("`A`", SIDES, 0),
    ('"C"', SIDES, 2),
    ("Option B", SIDES, 1),
    ("option (c).", SIDES, 2),
    ("$\\boxed{B}$", SIDES, 1),
    ("\\boxed{\\text{D}}", SIDES, 3),
    ("B<|im_end|>", SIDES, 1),
    ("<|begin_of_box|>C<|end_of_box|>", SIDES, 2),
    ("E", SIDES, None),
    ("C", YES, None),
    # a statement
    ("Answer: B", SIDES, 1),
    ("answer: d", SIDES, 3),
    ("**Answer:** C", SIDES, 2),
    ("**Answer: A**", SIDES, 0),
    ("### Final Answer\n\nThe answer is **D**.", SIDES, 3),
    ("Final answer: (B) Moves right", SIDES, 1),
    ("The correct answer is B, because the person steps to the right.", SIDES, 1),
    ("The correct option is C.", SIDES, 2),
    ("The answer is option A because the person goes left first.", SIDES, 0),
    ("The answer is clearly B", SIDES, 1),
    ("The answer is A... wait, they face the camera, so the answer is B.", SIDES, 1),
    ("Based on the video, option C is correct.", SIDES, 2),
    ("B is the correct answer.", SIDES, 1),
    ("I would choose D.", SIDES, 3),
    ("Option B seems to be the most plausible.", SIDES, 1),
    ("The answer is \\(B\\)", SIDES, 1),
    ("\\[ \\boxed{C} \\]", SIDES, 2),
    ("I'd go with B since the hips turn.", SIDES, 1),
    ("It is C.", SIDES, 2),
    ("Answer: A. Moves left", SIDES, 0),
    ("Answer: A Moves left", SIDES, 0),
    ("Answer: F", SIDES, None),
    ("The answer is not A, it's C.", SIDES, 2),
    ("答案是 B", SIDES, 1),
    ("答案:C", SIDES, 2),
    ("正确答案\uff1aD\u3002", SIDES, 3),
    # a letter and the option's text
    ("B. Moves right", SIDES, 1),
    ("C) About the same", SIDES, 2),
    ("D: Neither", SIDES, 3),
    ("B - Moves right", SIDES, 1),
    ("**A. Moves left**\n\nThe person walks to the left for most of the video.", SIDES, 0),
    ("B\n\nThe person moves to the right twice.", SIDES, 1),
    ("B because they go right", SIDES, 1),
    ("A, because they go left", SIDES, 0),
    ("D. It seems that the person does neither of them", SIDES, 3),
    ("A. Moves right", SIDES, None),
    # the option's text alone
    ("Moves left", SIDES, 0),
    ("moves right.", SIDES, 1),
    ("The person moves right more often in this part.", SIDES, 1),
    ("Answer: About the same", SIDES, 2),
    ("Both happen, but moves left is shorter, so the answer is: moves right", SIDES, 1),
    ("second quarter", QUARTERS, 0),
    ("It happens in the last quarter of the video.", QUARTERS, 3),
    ("It starts in the first quarter and ends in the third quarter.", QUARTERS, None),
    ("2", COUNTS, 2),
    ("Three", COUNTS, 1),
    ("The person turns left 3 times.", COUNTS, 1),
    ("Between 2 and 3 times", COUNTS, None),
    ("about 1.5 metres", METRES, 1),
    ("1.5 metres", METRES, 1),
    ("90 degrees", DEGREES, 1),
    ("They turned about 180 degrees (a half turn) in total.", DEGREES, 2),
    ("Left, then right", ORDER, 1),
    ("First left, then right, as the feet show", ORDER, 1),
    ("Left or right", ORDER, None),
    ("Not left", ORDER, None),
    # yes and no
    ("Yes", YES, 0),
    ("No, the person stays where they are.", YES, 1),
    ("Yes the person jumps", YES, 0),
    ("no", YES, 1),
    ("No person is visible in this video.", YES, None),
    ("I have no idea.", YES, None),
    ("B. No", YES, 1),
    ("A. No", YES, None),
    ("True", TRUE, 1),
    ("The statement is false", TRUE, 0),
    ("The statement is not true", TRUE, None),
    ("Yes", TRUE, None),
    # JSON and tags
    ('{"answer": "B"}', SIDES, 1),
    ('```json\n{"reasoning": "walks A to B", "answer": "C. About the same"}\n```', SIDES, 2),
    ('{"Answer": ["D"]}', SIDES, 3),
    ('{"answer": 1}', SIDES, None),
    ('{"answer": "E"}', SIDES, None),
    ("<answer>B</answer>", SIDES, 1),
    ("<reasoning>steps left; answer A?</reasoning><answer>C</answer>", SIDES, 2),
    ("<answer>A</answer> No: <answer>D</answer>", SIDES, 3),
    ("<answer>A and B</answer>", SIDES, None),
    ("<answer>B", SIDES, 1),
    # thinking
    ("<think>It could be A or C. The answer is A?</think>\n\nB", SIDES, 1),
    ("They seem to go left, A.</think>Answer: B", SIDES, 1),
    ("<think>The answer is A. But wait, let me look at the", SIDES, None),
    ("The person first walks, then turns.\nSo they go right.\n\nB", SIDES, 1),
    ("The person ends on the right side (B).", SIDES, 1),
    # traps
    ("A person moves across the room.", SIDES, None),
    ("A person moves right and stops.", SIDES, 1),
    ("A man walks forward", QUARTERS, None),
    ("Answer: A person walks in the room", QUARTERS, None),
    ("The answer is a turn of the body", QUARTERS, None),
    ("A and B", SIDES, None),
    ("A, B", SIDES, None),
    ("B or C", SIDES, None),
    ("Answer: A/B", SIDES, None),
    ("Both A and C are right", SIDES, None),
    ("The answer is A or D.", SIDES, None),
    ("not A", SIDES, None),
    ("D is incorrect.", SIDES, None),
    ("Option A is wrong", SIDES, None),
    ("A. Moves left\nB. Moves right\nC. About the same\nD. Neither", SIDES, None),
    ("(A) Moves left (B) Moves right", SIDES, None),
    ("A. Moves left: wrong\nB. Moves right: right\n\nAnswer: B", SIDES, 1),
    ("Does the person move left or right?", SIDES, None),
    ("Based on the video, the answer is", SIDES, None),
    ("", SIDES, None),
    ("   \n", SIDES, None),
    ("...", SIDES, None),
    ("I'm sorry, but I can't help with identifying people in videos.", SIDES, None),
    ("I cannot determine the answer from the given frames.", SIDES, None),
    ("As an AI, I cannot watch videos.", YES, None),
    ("The video shows 64 frames, each of 256 pixels.", COUNTS, None),
]


def test_the_table_is_large_and_has_no_entry_twice():
    keys = [(reply, options) for reply, options, _ in REPLIES]
    assert len(keys) == len(set(keys)) >= 80


@pytest.mark.parametrize(("reply", "options", "place"), REPLIES)
def test_a_reply_is_taken_for(reply: str, options: tuple[str, ...], place: int | None):
    assert prompts.parse(reply, len(options), options) == place


@pytest.mark.parametrize(("reply", "options", "place"), [r for r in REPLIES if r[2] is None])
def test_what_is_unreadable_stays_so_without_the_texts(reply: str, options: tuple[str, ...], place: None):
    contradicts = "A. " in reply and "\n" not in reply  # only the texts show that letter and text disagree
    assert contradicts or prompts.parse(reply, len(options)) is None


@pytest.mark.parametrize("n", range(2, 9))
def test_every_letter_of_the_question_is_read_and_no_other(n: int):
    for k, letter in enumerate(prompts.LETTERS):
        for form in ("{}", "({})", "Answer: {}", "{}. Something", "<answer>{}</answer>"):
            assert prompts.parse(form.format(letter), n) == (k if k < n else None)


@pytest.mark.parametrize("options", [SIDES, QUARTERS, COUNTS, METRES, DEGREES, YES, TRUE, ORDER])
def test_what_training_asks_for_and_every_text_is_read_back(options: tuple[str, ...]):
    for k, option in enumerate(options):
        for reply in (prompts.target(k), prompts.target(k, "The person walks."), option, option.lower(), f"{prompts.LETTERS[k]}. {option}"):
            assert prompts.parse(reply, len(options), options) == k


def test_the_prompt_states_the_frame_the_options_and_what_to_reply():
    text = prompts.render("Where to?", SIDES[:2], seen="The track.")
    assert text == "The track.\n\nWhere to?\nOptions:\nA. Moves left\nB. Moves right\nAnswer with the option letter."
    for said in ("first frame", "not of the camera", "four equal parts", "letter"):
        assert said in prompts.SYSTEM


def test_the_digest_follows_the_prompt(monkeypatch: pytest.MonkeyPatch):
    before, parser = prompts.digest(), prompts.parser_digest()
    assert before == prompts.digest()
    monkeypatch.setattr(prompts, "SYSTEM", "Guess.")
    assert prompts.digest() != before
    assert prompts.parser_digest() == parser


def test_letters_are_those_of_the_dataset():
    assert prompts.LETTERS == schema.LETTERS


def test_the_file_can_be_carried_elsewhere():
    tree = ast.parse(Path(prompts.__file__).read_text())
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
