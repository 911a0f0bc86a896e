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
    """A row: forms ("" = any), a subject ("" = none), flags, and targets in order of preference.

    Flags must be there ("+x") or may be ("~x"); a text with any other is not what the row answers.  They are those of `reading`,
    "sided" (a direction is named), "paired" (two opposite ones), "metres", "parts" (two parts of the video against each other), and
    further subjects.
    """

    forms: str
    subject: str
    flags: str
    targets: tuple[str, ...]

    @property
    def needed(self) -> set[str]:
        """Flags that must be there."""
        return {word[1:] for word in self.flags.split() if word[0] == "+"}

    @property
    def known(self) -> set[str]:
        """Flags that may be there."""
        return {word[1:] for word in self.flags.split()}


def _rules(*rows: tuple[str, str, str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(forms, subject, flags, tuple(targets.split())) for forms, subject, flags, targets in rows)


TURN_PAIR = "turn_left|turn_right"
RULES = _rules(
    # one part of the video against another
    *(
        (("did which", subject, f"+parts {fast} ~compared ~either", "=faster:{parts}"))
        for subject in ("", "move")
        for fast in ("+fast", "+slow", "+fast +slow")
    ),
    *(
        (("did which", subject, f"+parts {more} ~compared ~either ~end", f"{template}:{{parts}}"))
        for subject, template in (("turn", "quarter_turning"), ("still", "quarter_still"), ("move", "quarter_path"))
        for more in ("+compared", "+most")
    ),
    *((("did which", act, "+parts ~either", f"=times:{act}")) for act in ACTIONS),
    *((("did which", subject, "+parts +sided ~either", "=times:{side}")) for subject in SIDED),
    # which of two
    ("which did way", "turn", "+compared +often ~paired ~sided ~either", f"more_often_turns:{TURN_PAIR}"),
    ("which did way", "turn", "+fast +paired ~compared ~either", f"faster_turn:{TURN_PAIR}"),
    ("did which way", "turn", "+most +paired +either", f"bigger_single_turn:{TURN_PAIR}"),
    ("did which way", "turn", "+bigger ~paired ~either ~compared", f"bigger_single_turn:{TURN_PAIR}"),
    ("did", "turn", "+most +sided", f"bigger_single_turn:{TURN_PAIR}"),
    ("which way", "turn", "+compared ~paired ~either", f"turns_more_in_total:{TURN_PAIR} bigger_single_turn:{TURN_PAIR}"),
    ("did", "turn", "+compared +paired ~either", f"turns_more_in_total:{TURN_PAIR} bigger_single_turn:{TURN_PAIR}"),
    ("which did way", "turn", "+either +paired ~mainly", f"turns_more_in_total:{TURN_PAIR} bigger_single_turn:{TURN_PAIR}"),
    ("which did way", "move", "+compared +often +paired ~either", "more_often_moves:{pair}"),
    ("which did way", "move", "+fast +paired ~compared ~either", "faster_move:{pair}"),
    ("which did way", "move", "+sideways +compared ~either ~sided ~paired", "main_axis:axes"),
    ("which did way", "move", "+compared +paired ~either", "further_in_total:{pair}"),
    ("which did way", "move", "+either +paired ~most ~mainly", "further_in_total:{pair}"),
    ("which did way", "lean", "+compared +often +paired ~either", "more_often_leans:{pair}"),
    ("which did way", "lean", "+compared +paired ~either", "deeper_lean:{pair}"),
    ("which did way", "lean", "+either +paired ~most ~mainly", "deeper_lean:{pair}"),
    # when
    ("when", "distance", "~most ~start ~away ~return", "furthest_quarter:distance"),
    ("when", "move", "+start +most ~away", "furthest_quarter:distance"),
    ("when", "", "+most +away ~start", "furthest_quarter:distance"),
    ("when", "move", "+fast", "fastest_quarter:speed =speed:x"),
    ("when", "", "+fast", "fastest_quarter:speed =speed:x"),
    ("when", "run", "+fast", "fastest_quarter:speed =speed:x"),
    ("when", "move", "+most +sided", "most_direction_quarter:{side}"),
    ("when", "turn", "+most +sided", "most_turning_to_side_quarter:{side} biggest_onset:{side}"),
    ("when", "turn", "+most", "most_turning_quarter:turning"),
    ("when", "move", "+most", "most_path_quarter:path"),
    ("when", "move", "+least", "least_path_quarter:path"),
    ("when", "still", "+most", "stillest_quarter:still =times:still"),
    ("when", "move", "+first", "=times:walk"),
    ("when", "move", "+last", "=times:walk"),
    *((("when", act, "+last", f"last_action:{act} =times:{act}")) for act in ACTIONS),
    *((("when", act, "+first", f"first_action:{act} =times:{act}")) for act in ACTIONS),
    *((("when", act, "", f"=times:{act}")) for act in ACTS if act != "walk"),
    ("when", "return", "~start", "=times:towards"),
    *(
        (("when", subject, flags, f"{template}:{{side}} =times:{{side}}"))
        for subject in SIDED
        for flags, template in (("+sided +last", "last_onset"), ("+sided +first", "first_onset"), ("+sided +most", "biggest_onset"))
    ),
    *((("when", subject, "+sided", "=times:{side}")) for subject in SIDED),
    ("when", "move", "+away ~start", "=times:away"),
    ("when", "move", "+towards +start", "=times:towards"),
    ("when", "turn", "", "=times:{any}"),
    ("when", "lean", "", "=times:{any}"),
    ("when", "move", "", "=times:walk"),
    # how many times
    ("count", "turn", "+sided ~all", "count_turns:{side}"),
    ("count", "lean", "+sided ~all", "count_leans:{side}"),
    ("count", "move", "+sided ~all", "count_moves:{side}"),
    ("count", "turn", "~all", "=count:{any}"),
    ("count", "lean", "~all", "=count:{any}"),
    *((("count", act, "~all", f"count_actions:{act} =count:{act}")) for act in ACTS if act != "run"),
    ("count", "run", "~all", "=count:run"),
    ("count", "move", "~all", "count_actions:walk"),
    # how far, how much, how long, how fast
    ("amount", "turn", "+sided +most", "degrees_biggest_turn:{side}"),
    ("amount", "turn", "+sided ~all", "degrees_to_side:{side} =degrees:{side}"),
    ("amount", "turn_around", "~all", f"degrees_both:{TURN_PAIR} =degrees:{{turns}}"),
    ("amount", "turn", "+end", "degrees_net:net"),
    ("amount", "turn", "~all", f"degrees_both:{TURN_PAIR} =degrees:{{turns}}"),
    ("amount", "face", "~end", "degrees_net:net"),
    ("amount", "lean", "+sided ~most", "=lean:{side}"),
    ("amount", "return", "~start ~end", "metres_from_start:distance =from_start:x"),
    ("amount", "distance", "+most ~start ~away ~move", "metres_furthest:furthest =furthest:x"),
    ("amount", "distance", "~start ~end ~away ~move", "metres_from_start:distance =from_start:x"),
    ("amount", "move", "+start +most ~away", "metres_furthest:furthest =furthest:x"),
    ("amount", "move", "+start ~away ~end", "metres_from_start:distance =from_start:x"),
    ("amount", "", "+sided", "metres_in_direction:{side} =metres:{side}"),
    ("amount", "", "+start +most", "metres_furthest:furthest =furthest:x"),
    ("amount", "", "+start ~end ~away", "metres_from_start:distance =from_start:x"),
    ("amount", "", "+end +away", "metres_from_start:distance =from_start:x"),
    ("amount", "move", "+end +away", "metres_from_start:distance =from_start:x"),
    ("amount", "move", "+away +most ~start", "metres_furthest:furthest =furthest:x"),
    ("amount", "move", "+sided +most", "metres_longest_move:{side}"),
    ("amount", "move", "+sided ~all", "metres_in_direction:{side} =metres:{side}"),
    ("amount", "move", "~all", "metres_path:path =path:x"),
    ("amount", "run", "~all", "=metres:run"),
    ("duration", "still", "~all", "=seconds:still"),
    ("duration", "move", "~all", "=seconds:walk"),
    ("duration", "turn", "+sided", "=seconds:{side}"),
    ("duration", "turn", "~all", "=seconds:{any}"),
    *((("duration", act, "~all", f"=seconds:{act}")) for act in ("run", "crouch")),
    ("speed", "move", "+sided +first", "pace_of_first:{side}"),
    ("speed", "turn", "+sided ~first", "pace_of_first:{side}"),
    ("speed", "", "~all ~fast", "=speed:x"),
    ("speed", "move", "~all ~fast", "=speed:x"),
    ("speed", "run", "~all ~fast", "=speed:x"),
    # which way, where, what
    ("which way", "return", "~turn ~move ~start ~end ~first", "way_back:back"),
    ("which way", "turn", "+start +end", "way_back:back"),
    *((("which way", "face", most, "facing_most:facing")) for most in ("+most", "+mainly")),
    ("which way", "face", "~end", "facing_at_end:facing =facing:x"),
    ("way which did", "shape", "~move ~face", "outline:outline shape:shape"),
    ("how", "shape", "~move ~face", "outline:outline shape:shape"),
    ("way", "move", "+first", "earliest_floor:forward|backward|left|right"),
    ("way", "turn", "+first", "=order:turn_left,first,turn_right"),
    ("did", "turn", "+first +sided", "=order:turn_left,first,turn_right"),
    ("which", "do", "+first ~move", "first_of_all:any =first:x"),
    ("which", "move", "+first", "first_of_all:any =first:x"),
    ("which", "", "+first", "first_of_all:any =first:x"),
    ("which", "do", "+last ~move", "last_of_all:any =last:x"),
    ("which", "move", "+last", "last_of_all:any =last:x"),
    ("which", "", "+last", "last_of_all:any =last:x"),
    *(
        (("which", subject, f"+{beside} +sided ~first ~move", f"{template}:{{side}}#1 ={beside}:{{side}}"))
        for beside, template in (("after", "next_any"), ("before", "before_any"))
        for subject in ("turn", "move")
    ),
    *(
        (("which", subject, f"+{beside} +sided ~first ~move", f"={beside}:{{side}}"))
        for beside in ("after", "before")
        for subject in ("lean",)
    ),
    *((("which", act, f"+{beside} ~first ~move", f"={beside}:{act}")) for act in ACTIONS for beside in ("after", "before")),
    ("which way", "turn", "+most", f"bigger_single_turn:{TURN_PAIR} turns_more_in_total:{TURN_PAIR}"),
    ("which way", "turn", "~mainly", f"side_in_quarter:{TURN_PAIR} turns_more_in_total:{TURN_PAIR} side_of_turning:{TURN_PAIR}"),
    ("which way", "turn_around", "", f"bigger_single_turn:{TURN_PAIR}"),
    ("which way", "lean", "~most", "deepest_lean:lean"),
    ("which way", "distance", "~start ~most ~away ~move", "furthest_side:furthest"),
    ("which way", "move", "+most +start ~away", "furthest_side:furthest"),
    ("which way", "", "+most +start ~away", "furthest_side:furthest"),
    ("which way", "move", "+fast", "fastest_direction:direction"),
    ("which way", "", "+fast", "fastest_direction:direction"),
    ("which way", "move", "+often", "most_often:direction"),
    ("which way", "move", "+end", "place_at_end:place corner_at_end:corner =place:x"),
    ("which way", "", "+end ~start", "place_at_end:place corner_at_end:corner =place:x"),
    ("did", "", "+end +sided ~either ~paired ~start", "place_at_end:place corner_at_end:corner =place:x"),
    ("did", "", "+end +start", "=place:x"),
    *((("which way", "move", most, "most_ground:direction =ground:x")) for most in ("+most", "+mainly")),
    ("which way", "move", "", "=ground:x"),
    ("which", "do", "+instant", "=doing:{at}"),
    ("which", "do", "~mainly ~all", "main_activity:activity"),
    ("which", "do", "+most", "main_activity:activity"),
    ("which", "move", "+mainly", "main_activity:activity"),
    *(
        (("which did", subject, f"{most} ~either ~still ~move ~turn", "main_activity:activity"))
        for subject in ("still", "move", "turn")
        for most in ("+mainly", "+mainly +compared", "+compared +either")
    ),
    # did it happen
    *((("did", subject, "+instant ~sided", "=doing:{at}")) for subject in (*SIDED, *ACTIONS, "still")),
    ("did", "return", "+end ~start", "=place:x"),
    ("", "return", "~start ~negated", "returns:return"),
    ("did", "face", "+end ~sided", "=facing:x"),
    ("did", "face", "+back ~negated", "faces_back:opposite"),
    ("did", "distance", "+metres ~start ~away ~move ~negated", "beyond:{metres}"),
    ("did", "move", "+metres +away ~start ~negated", "beyond:{metres}"),
    ("did", "move", "+metres +start ~away ~negated", "beyond:{metres}"),
    ("did", "", "+metres +start ~away ~negated", "beyond:{metres}"),
    ("did", "", "+metres +away ~negated", "beyond:{metres}"),
    *((("did", subject, "+paired ~both ~negated", "both:{pair}")) for subject in SIDED),
    *((("did", act, "~negated", f"acts:{act} =did:{act}")) for act in ACTIONS),
    ("did", "turn", "+sided ~negated", "turns:{side}"),
    ("did", "lean", "+sided ~negated", "leans:{side}"),
    ("did", "move", "+towards +start ~negated", "moves:towards"),
    ("did", "move", "+away ~start ~negated", "moves:away"),
    ("did", "", "+away +start ~negated", "moves:away"),
    ("did", "move", "+sided ~negated", "moves:{side}"),
    ("did", "still", "~negated", "acts:still"),
    ("did", "move", "+sideways", "=did:left|right"),
    ("did", "turn", "", "=did:{any}"),
    ("did", "lean", "", "=did:{any}"),
    ("did", "move", "~negated", "acts:walk"),
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


STRONG = ("turn_around", "stand_up", "still", "crouch", "jump", "run", "lean", "turn", "return")


def several(reading: Reading) -> bool:
    """Does the text ask about more than one movement at once?"""
    strong = [s for s in reading.subjects if s in STRONG]
    return len(strong) > 1 or (bool(strong) and "move" in reading.subjects and len(reading.sides) > 1)


def fitting(reading: Reading) -> list[str]:
    """The targets of the first row that fits a reading, in order of preference, placeholders filled in; none when no row fits.

    A row fits when it accounts for everything that was understood: what it does not know of changes what is asked.
    """
    said = reading.flags | {subject for subject in reading.subjects if subject != "do"}
    what = reading.form == "which" and "do" in reading.subjects
    said |= {name for name, there in (("metres", reading.metres), ("parts", reading.parts), ("instant", len(reading.at_s) == 1)) if there}
    for rule in RULES:
        if (rule.forms and reading.form not in rule.forms.split()) or (rule.subject and rule.subject not in reading.subjects):
            continue
        if what and rule.subject == "":
            continue  # what somebody does is no place and no way
        sides = directions(reading, rule.subject or "move")
        pair = PAIR_NAMES.get(frozenset(s for s in sides if s != "away"), "")
        have = (said - {rule.subject}) | ({"sided"} if set(reading.sides) - {"away"} else set())
        have |= ({"paired"} if pair else set()) | ({"away"} if "away" in reading.sides else set())
        have -= {"sideways"} if "sided" in have and "sideways" not in rule.known else set()  # the side is said
        have |= {"back"} if reading.sides == ("backward",) and "back" in rule.known else set()
        implied = {"sided"} if {"paired", "back"} & rule.known else set()
        if not rule.needed <= have or not have <= rule.known | implied:
            continue
        filled = list(_filled(rule, tuple(s for s in sides if s != "away"), pair, reading))
        if filled:
            return filled
    return []


def _filled(rule: Rule, sides: tuple[str, ...], pair: str, reading: Reading) -> Iterator[str]:
    for target in rule.targets:
        if "{side}" in target and len(sides) != 1:
            continue  # two sides at once are a comparison, or another question
        if "{pair}" in target and not pair:
            continue
        text = target.replace("{pair}", pair).replace("{metres}", f"{reading.metres} metre{'' if reading.metres == 1 else 's'}")
        text = text.replace("{any}", "|".join(SIDED.get(rule.subject, ()))).replace("{turns}", "|".join(TURNS))
        text = text.replace("{parts}", reading.parts).replace("{at}", f"{reading.at_s[0]:g}" if reading.at_s else "")
        yield text.replace("{side}", sides[0] if sides else "")


def movement(reading: Reading) -> str:
    """The one movement that a text names and nothing else, as a direction or action of `quantities`; "" for any other text."""
    subjects = [s for s in reading.subjects if s != "do"]
    if reading.unread or reading.outside or reading.parts or reading.window != "whole" or reading.at_s or reading.flags - {"first"}:
        return ""
    if len(subjects) != 1:
        return ""
    (subject,) = subjects
    sides = directions(reading, subject)
    if len(sides) != len(reading.sides):
        return ""
    if subject in ACTS and not sides:
        return subject
    if subject == "turn" and not sides:
        return "|".join(TURNS)
    if subject not in SIDED or len(sides) > 1:
        return ""
    return sides[0] if sides else "walk" if subject == "move" else ""
