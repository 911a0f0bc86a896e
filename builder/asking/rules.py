"""Which template answers which reading: a table, tried from the top; the first row that fits and is decided by the track wins.

A target is "template:quantity"; {side} is each direction that the text names, {pair} both of them in the family's order,
{any} every direction of the subject in turn.  A target that begins with "=" is computed directly (`direct`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.asking.reading import Reading
from builder.quantities import FLOOR, LEANS, TURNS

ACTIONS = ("jump", "crouch", "stand_up", "turn_around", "run")
ACTS = (*ACTIONS, "walk", "still")
# Where the subject is turning or leaning, "left" is a turn or a lean; otherwise a move.
SIDED = {"turn": TURNS, "lean": LEANS, "move": (*FLOOR, "up", "down")}
PAIR_NAMES = {frozenset(p): "|".join(p) for p in (("left", "right"), ("forward", "backward"), TURNS, LEANS[:2], LEANS[2:])}


@dataclass(frozen=True)
class Rule:
    """A row: forms ("" = any), a subject, flags that must be there ("+x") or not ("-x"), and targets in order of preference.

    Among the flags: "sided" (a direction is named), "paired" (two opposite ones), and those of `reading`.
    """

    forms: str
    subject: str
    flags: str
    targets: tuple[str, ...]


def _rules(*rows: tuple[str, str, str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(forms, subject, flags, tuple(targets.split())) for forms, subject, flags, targets in rows)


RULES = _rules(
    # which of two
    ("which did count", "turn", "+compared +often", "more_often_turns:turn_left|turn_right"),
    ("which", "turn", "+compared", "turns_more_in_total:turn_left|turn_right bigger_single_turn:turn_left|turn_right"),
    ("did", "turn", "+compared +paired", "turns_more_in_total:turn_left|turn_right bigger_single_turn:turn_left|turn_right"),
    ("which did", "move", "+compared +often +paired", "more_often_moves:{pair}"),
    ("which did", "move", "+compared +fast +paired", "faster_move:{pair}"),
    ("which did", "move", "+compared +paired", "further_in_total:{pair}"),
    ("which did", "lean", "+compared +often +paired", "more_often_leans:{pair}"),
    ("which did", "lean", "+compared +paired", "deeper_lean:{pair}"),
    ("which did", "turn", "+either", "turns_more_in_total:turn_left|turn_right bigger_single_turn:turn_left|turn_right"),
    ("which did", "move", "+either +paired", "further_in_total:{pair}"),
    ("which did", "lean", "+either +paired", "deeper_lean:{pair}"),
    # when
    ("when", "distance", "-least", "furthest_quarter:distance"),
    ("when", "move", "+start +most", "furthest_quarter:distance"),
    ("when", "move", "+fast", "fastest_quarter:speed =speed:x"),
    ("when", "run", "+fast", "fastest_quarter:speed =speed:x"),
    ("when", "move", "+most +sided", "most_direction_quarter:{side}"),
    ("when", "turn", "+most +sided", "most_turning_to_side_quarter:{side} biggest_onset:{side}"),
    ("when", "turn", "+most", "most_turning_quarter:turning"),
    ("when", "move", "+most", "most_path_quarter:path"),
    ("when", "move", "+least", "least_path_quarter:path"),
    ("when", "still", "+most", "stillest_quarter:still =times:still"),
    ("when", "still", "", "=times:still"),
    *((("when", act, "+last", f"last_action:{act} =times:{act}")) for act in ACTIONS),
    *((("when", act, "+first", f"first_action:{act} =times:{act}")) for act in ACTIONS),
    *((("when", act, "", f"=times:{act}")) for act in ACTIONS),
    ("when", "return", "", "=times:towards"),
    *(
        (("when", subject, flags, f"{template}:{{side}} =times:{{side}}"))
        for subject in SIDED
        for flags, template in (("+sided +last", "last_onset"), ("+sided +first", "first_onset"), ("+sided +most", "biggest_onset"))
    ),
    *((("when", subject, "+sided", "=times:{side}")) for subject in SIDED),
    ("when", "move", "+away", "=times:away"),
    ("when", "turn", "", "=times:{any}"),
    ("when", "lean", "", "=times:{any}"),
    ("when", "move", "", "=times:walk"),
    # how many times
    ("count", "turn", "+sided", "count_turns:{side}"),
    ("count", "lean", "+sided", "count_leans:{side}"),
    ("count", "move", "+sided", "count_moves:{side}"),
    ("count", "turn", "", "=count:{any}"),
    ("count", "lean", "", "=count:{any}"),
    *((("count", act, "", f"count_actions:{act} =count:{act}")) for act in ACTS if act != "run"),
    ("count", "run", "", "=count:run"),
    ("count", "move", "", "count_actions:walk"),
    # how far, how much, how long, how fast
    ("amount", "turn", "+sided +most", "degrees_biggest_turn:{side}"),
    ("amount", "turn", "+sided", "degrees_to_side:{side} =degrees:{side}"),
    ("amount", "turn_around", "", "degrees_both:turn_left|turn_right =degrees:{turns}"),
    ("amount", "turn", "+end", "degrees_net:net"),
    ("amount", "turn", "", "degrees_both:turn_left|turn_right =degrees:{turns}"),
    ("amount", "face", "", "degrees_net:net"),
    ("amount", "lean", "+sided", "=lean:{side}"),
    ("amount", "distance", "+most", "metres_furthest:furthest =furthest:x"),
    ("amount", "distance", "", "metres_from_start:distance =from_start:x"),
    ("amount", "move", "+start +most", "metres_furthest:furthest =furthest:x"),
    ("amount", "move", "+start", "metres_from_start:distance =from_start:x"),
    ("amount", "", "+start +most", "metres_furthest:furthest =furthest:x"),
    ("amount", "", "+start", "metres_from_start:distance =from_start:x"),
    ("amount", "move", "+away +most", "metres_furthest:furthest =furthest:x"),
    ("amount", "move", "+sided +most", "metres_longest_move:{side}"),
    ("amount", "move", "+sided", "metres_in_direction:{side} =metres:{side}"),
    ("amount", "move", "", "metres_path:path =path:x"),
    ("amount", "run", "", "=metres:run"),
    ("duration", "still", "", "=seconds:still"),
    ("duration", "move", "-sided", "=seconds:walk"),
    *((("duration", act, "", f"=seconds:{act}")) for act in ("run", "crouch")),
    ("speed", "move", "+sided +first", "pace_of_first:{side}"),
    ("speed", "turn", "+sided", "pace_of_first:{side}"),
    ("speed", "", "", "=speed:x"),
    # which way, where, what
    ("which", "return", "", "way_back:back"),
    ("which", "turn", "+start +end", "way_back:back"),
    ("which", "face", "+most", "facing_most:facing"),
    ("which", "face", "", "facing_at_end:facing =facing:x"),
    ("which did", "shape", "", "outline:outline shape:shape"),
    ("which", "", "+first -sided", "first_of_all:any =first:x"),
    ("which", "", "+last -sided", "last_of_all:any =last:x"),
    ("which", "turn", "+after +sided", "next_any:{side}#1 =after:{side}"),
    ("which", "lean", "+after +sided", "=after:{side}"),
    *((("which", act, "+after", f"=after:{act}")) for act in ACTIONS),
    ("which", "move", "+after +sided", "next_any:{side}#1 =after:{side}"),
    ("which", "turn", "+before +sided", "before_any:{side}#1 =before:{side}"),
    ("which", "lean", "+before +sided", "=before:{side}"),
    *((("which", act, "+before", f"=before:{act}")) for act in ACTIONS),
    ("which", "move", "+before +sided", "before_any:{side}#1 =before:{side}"),
    ("which", "turn", "+most", "bigger_single_turn:turn_left|turn_right turns_more_in_total:turn_left|turn_right"),
    (
        "which",
        "turn",
        "",
        "side_in_quarter:turn_left|turn_right turns_more_in_total:turn_left|turn_right side_of_turning:turn_left|turn_right",
    ),
    ("which", "turn_around", "", "bigger_single_turn:turn_left|turn_right"),
    ("which", "lean", "", "deepest_lean:lean"),
    ("which", "distance", "", "furthest_side:furthest"),
    ("which", "move", "+fast", "fastest_direction:direction"),
    ("which", "move", "+often", "most_often:direction"),
    ("which", "move", "+end", "place_at_end:place corner_at_end:corner =place:x"),
    ("which", "", "+end", "place_at_end:place corner_at_end:corner =place:x"),
    ("did", "", "+end +either", "place_at_end:place corner_at_end:corner =place:x"),
    ("which", "move", "+most", "most_ground:direction =ground:x"),
    ("which", "move", "", "=ground:x"),
    ("which", "do", "", "main_activity:activity"),
    # did it happen
    ("", "return", "", "returns:return"),
    ("", "face", "+sided", "faces_back:opposite"),
    ("did", "face", "+end", "=facing:x"),
    ("did", "distance", "+metres", "beyond:{metres}"),
    ("did", "move", "+metres", "beyond:{metres}"),
    ("did", "", "+metres +start", "beyond:{metres}"),
    ("did", "turn", "+paired -compared", "both:{pair}"),
    ("did", "lean", "+paired -compared", "both:{pair}"),
    ("did", "move", "+paired -compared", "both:{pair}"),
    *((("did", act, "", f"acts:{act} =did:{act}")) for act in ACTIONS),
    ("did", "turn", "+sided", "turns:{side}"),
    ("did", "lean", "+sided", "leans:{side}"),
    ("did", "move", "+away", "moves:away"),
    ("did", "move", "+sided", "moves:{side}"),
    ("did", "still", "", "acts:still"),
    ("did", "move", "+sideways", "=did:left|right"),
    ("did", "turn", "", "=did:{any}"),
    ("did", "lean", "", "=did:{any}"),
    ("did", "move", "", "acts:walk"),
)


def directions(reading: Reading, subject: str) -> tuple[str, ...]:
    """The directions of `quantities` that the sides of a text name for this subject, in order of mention."""
    if subject == "turn":
        names = [f"turn_{s}" for s in reading.sides if s in ("left", "right")]
    elif subject == "lean":
        names = [f"lean_{s}" for s in reading.sides]
    else:
        names = list(reading.sides)
    known = (*SIDED.get(subject, SIDED["move"]), "away")
    return tuple(n for n in names if n in known)


# What changes the meaning of a question so much that a row which does not name it cannot answer it.
DECISIVE = {"before", "after", "compared", "least", "either", "often", "sideways"}
ONCE = {"first", "last"}  # likewise where an amount, a number or a length of time is asked
STRONG = ("turn_around", "stand_up", "still", "crouch", "jump", "run", "lean", "turn", "return")


def several(reading: Reading) -> bool:
    """Does the text ask about more than one movement at once?"""
    strong = [s for s in reading.subjects if s in STRONG]
    return len(strong) > 1 or (bool(strong) and "move" in reading.subjects and len(reading.sides) > 1)


def fitting(reading: Reading) -> list[str]:
    """The targets of the first row that fits a reading, in order of preference, placeholders filled in; none when no row fits."""
    for rule in RULES:
        if (rule.forms and reading.form not in rule.forms.split()) or (rule.subject and rule.subject not in reading.subjects):
            continue
        sides = directions(reading, rule.subject or "move")
        pair = PAIR_NAMES.get(frozenset(sides[:2]), "")
        have = reading.flags | ({"sided"} if sides else set()) | ({"paired"} if pair else set())
        have |= ({"metres"} if reading.metres else set()) | ({"away"} if "away" in sides else set())
        if any((word[1:] in have) != (word[0] == "+") for word in rule.flags.split()):
            continue
        have -= {"sideways"} if sides else set()  # the side is said
        named = {word[1:] for word in rule.flags.split()}
        if (have & DECISIVE) - named or (reading.form in ("amount", "count", "duration") and (have & ONCE) - named):
            continue
        filled = list(_filled(rule, sides, pair, reading.metres))
        if filled:
            return filled
    return []


def _filled(rule: Rule, sides: tuple[str, ...], pair: str, metres: int | None) -> Iterator[str]:
    for target in rule.targets:
        if "{side}" in target and len(sides) != 1:
            continue  # two sides at once are a comparison, or another question
        text = target.replace("{pair}", pair).replace("{metres}", f"{metres} metre{'' if metres == 1 else 's'}")
        text = text.replace("{any}", "|".join(SIDED.get(rule.subject, ()))).replace("{turns}", "|".join(TURNS))
        yield text.replace("{side}", sides[0] if sides else "")


def movement(reading: Reading) -> str:
    """The one movement that a text names, as a direction or action of `quantities`, or "" when it names none or several."""
    for subject in (*ACTIONS, "still", "turn", "lean", "move"):
        if subject in reading.subjects:
            if subject in ACTS:
                return subject
            sides = directions(reading, subject)
            if subject == "turn" and not sides:
                return "|".join(TURNS)
            return sides[0] if len(sides) == 1 else "walk" if subject == "move" and not sides else ""
    return ""
