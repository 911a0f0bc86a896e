"""What a person's own words ask: form, subject, sides and window, by tables of phrases.

Every phrase that is understood is taken out of the text in table order, longest meanings first; what remains and is not filler
is kept as `unread`, so that nobody is answered about a door when only the turn at it is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.quantities import QUARTERS

LONGEST_TEXT = 400

# (pattern, what it means); taken out of the text from the top down.
WINDOWS: tuple[tuple[str, str], ...] = (
    (r"(?:first|1st|opening|initial) (?:quarter|fourth)", "q1"),
    (r"(?:second|2nd) (?:quarter|fourth)", "q2"),
    (r"(?:third|3rd) (?:quarter|fourth)", "q3"),
    (r"(?:fourth|4th|last|final) (?:quarter|fourth)", "q4"),
    (r"first half", "h1"),
    (r"(?:second|last|other) half", "h2"),
    (r"(?:at|in) the (?:very )?beginning|early on|to begin with|at the start of the (?:video|clip)", "q1"),
    (r"(?:near|towards?|close to) the (?:very )?end(?: of the (?:video|clip))?|late in the (?:video|clip)", "q4"),
    (r"(?:the |in the )?middle(?: of the (?:video|clip))?|halfway(?: through)?", "middle"),
)
MARKS: tuple[tuple[str, str], ...] = (
    (r"right (?=away\b|after\b|before\b|now\b|at\b)", "filler"),
    (r"left (?=the (?:start|origin|spot|place)|where)", "away"),
    (r"(?:compared (?:with|to)|relative to|than at) the (?:start|beginning)(?: of the (?:video|clip))?", "filler"),
    (r"(?:at|by|in) the (?:very )?end(?: of the (?:video|clip))?|in the end|finally|end(?:s|ed)? up|ending up|end(?:s|ed)?", "end"),
    (
        r"(?:the |their |his |her )?(?:starting|start|original|initial) (?:point|place|position|spot|location)"
        r"|where (?:they|he|she|it|the person|the man|the woman) (?:had )?(?:start|beg[au]n)\w*|the start|the origin",
        "start",
    ),
    (r"at most(?! \d)", "most"),
    (r"at most|at least|or more|or less|more or less", "filler"),
)
FORMS: tuple[tuple[str, str], ...] = (
    (r"how (?:many (?:met(?:re|er)s|degrees|m|deg)|far|much|big)", "amount"),
    (
        r"(?:what|which)(?: is| was|s)?(?: the)?"
        r"(?= (?:total |overall |greatest |furthest |farthest |maximum |largest |longest )?(?:distance|angle)\b)",
        "amount",
    ),
    (r"(?:what|which)(?: is| was|s)?(?= .*\b(?:in (?:degrees|met(?:re|er)s)|total (?:rotation|turning))\b)", "amount"),
    (r"how many (?:separate )?times|how often|how many|(?:what is |give )?the number of(?: times)?|count(?: the)?", "count"),
    (r"how long(?: is| was)? the (?:path|route|way)", "amount"),
    (r"how long", "duration"),
    (r"how (?:fast|quick(?:ly)?|slow(?:ly)?)|(?:what|which)(?: is| was)? the (?:average |mean |top )?(?:speed|pace)|what speed", "speed"),
    (r"(?:in |during )?(?:which|what) (?:quarter|part)|when(?: exactly)?|at (?:what|which) (?:time|moment|point)|what time", "when"),
    (r"(?:in |to |towards? |along )?(?:which|what) (?:way|direction|side|line)|which of|where|which|what|how", "which"),
    (r"^(?:true or false)|^(?:do|does|did|is|are|was|were|has|have|had|can|will|would)(?= )", "did"),
)
SUBJECTS: tuple[tuple[str, str], ...] = (
    (r"turn(?:s|ed|ing)? (?:a)?(?:round|bout)|turn(?:s|ed|ing)? back(?! to)|u[- ]?turns?|about[- ]face|half[- ]turns?", "turn_around"),
    (r"(?:stand|stands|stood|standing|gets?|got|getting|rises?|rose) (?:back )?up|rises? from|rose from|straightens? up", "stand_up"),
    (
        r"(?:stand|stands|stood|standing|stay|stays|stayed|staying|remain|remains|remained|keep|keeps|kept) "
        r"(?:completely )?(?:still|in place|on the spot|put|motionless|there)"
        r"|stop(?:s|ped|ping)?|paus(?:e|es|ed|ing)|wait(?:s|ed|ing)?|stationary|motionless|stand(?:s|ing)?|stood|idle|rest(?:s|ing)?",
        "still",
    ),
    (
        r"crouch\w*|squat\w*|sit(?:s|ting)?(?: down)?|sat(?: down)?|kneel\w*|knelt|duck(?:s|ed|ing)?"
        r"|lower\w* (?:the |their )?(?:hips?|body|themselves)|(?:get|gets|got|go|goes|went) down",
        "crouch",
    ),
    (r"jump\w*|hop(?:s|ped|ping)?|leap\w*", "jump"),
    (r"run(?:s|ning)?|ran|jog\w*|sprint\w*", "run"),
    (r"lean\w*|bend(?:s|ing)?(?: over)?|bent(?: over)?|tilt\w*|bow(?:s|ed|ing)?", "lean"),
    (r"turn\w*|rotat\w*|spin(?:s|ning)?|spun|pivot\w*|swivel\w*|twist\w*|veer\w*", "turn"),
    (r"fac(?:e|es|ed|ing)|look(?:s|ed|ing)?|orient(?:ed|ation)|heading", "face"),
    (
        r"return\w*|(?:come|comes|came|go|goes|went|get|gets|got|walk|walks|walked|make|makes|made it|find|be|is|are|was) "
        r"(?:all the way |straight |right )?back to"
        r"|(?:come|comes|came|get|gets|got) (?:all the way )?(?:back|home)|back (?:at|to)(?= the start|$)",
        "return",
    ),
    (r"loop\w*|circle\w*|(?:the )?shape|outline|(?:look|looks) like from above", "shape"),
    (
        r"closest|nearest|far(?:ther)? (?:away )?from|distance (?:to|from)|(?<=furthest )(?:away )?from|(?<=farthest )(?:away )?from",
        "distance",
    ),
    (
        r"side[- ]?step\w*|mov\w*|walk\w*|go(?:es|ing|ne)?|went|travel\w*|head(?:s|ed)|step(?:s|ped|ping)?|stroll\w*|shuffl\w*"
        r"|cover(?:s|ed|ing)?|displace\w*|shift\w*|pac(?:es|ed|ing)|march\w*|back(?:s|ed|ing)(?= (?:up|away))"
        r"|path|distance|ground|route|gets?|got|getting",
        "move",
    ),
    (r"do(?:es|ing|ne)?|did|happen(?:s|ed|ing)?|activity|action", "do"),
)
SIDES: tuple[tuple[str, str], ...] = (
    (r"(?:counter|anti)[- ]?clockwise", "left"),
    (r"clockwise", "right"),
    (r"(?:to(?:wards?)? )?(?:the |their |his |her |its )?left(?:wards?| side)?", "left"),
    (r"(?:to(?:wards?)? )?(?:the |their |his |her |its )?right(?:wards?| side)?", "right"),
    (r"forwards?|ahead|straight", "forward"),
    (r"backwards?|in reverse|back(?: up)?|behind|opposite(?: way| direction)?", "backward"),
    (r"up(?:wards?)?|higher", "up"),
    (r"down(?:wards?)?|lower", "down"),
    (r"away", "away"),
)
DEGREES: tuple[tuple[str, str], ...] = (
    (r"not once|never|(?:does|did|do|is|was|has|have)(?: not|n[’']?t)|without|not", "negated"),
    (r"more often|most often|most times|more times", "often"),
    (r"faster|fastest|quickest|quicker|top speed|maximum speed|speed", "fast"),
    (r"for (?:the )?longest(?: time)?|most of the time|the most time", "most"),
    (
        r"(?:the )?(?:biggest|largest|longest|furthest|farthest|greatest|deepest|sharpest|maximum|most)(?: single)?"
        r"|(?:longer|further|bigger|larger|more)(?= than)"
        r"|prevails?|dominant|mainly|mostly|predominant\w*|overall",
        "most",
    ),
    (r"(?:the )?(?:least|shortest|smallest|fewest)", "least"),
    (r"more|less|fewer|than", "compared"),
    (r"sideways", "sideways"),
    (r"(?:just |right |directly |immediately )?after|next|then|following", "after"),
    (r"(?:just |right |directly |immediately )?before", "before"),
    (r"(?:for )?(?:the )?(?:very )?first(?: time| of all)?|earliest|begin(?:s|ning)?|start(?:s|ed|ing)?", "first"),
    (r"(?:for )?(?:the )?(?:very )?(?:last|final)(?: time| of all)?|latest", "last"),
    (r"or", "either"),
    (r"both", "both"),
)
FILLER = frozenset(
    """a about actually also an and any anybody anyone anything approximately are around as at be been being body by can clip could
    degrees does doing during each ever every exactly film for from get gets got guy had has have he her him himself herself his i if
    in into is it its itself just kind lady make makes man many me meters metres much must of off on once one or over p perform
    performs person please point question roughly scene second seconds she should show shown so some somebody someone subject tell
    than that the their them themselves there they thing things this throughout time times to total towards toward true false up
    very video want was way were will with within woman would you moment moments did do direction side single separate whole entire
    completely altogether in-total own same still stage footage figure individual actor walker compared how again need needs
    order these those which what movement movements motion straightaway away out it's""".split()
)
NUMBERS = {"one": 1, "two": 2, "three": 3, "a": 1}
TIME = re.compile(
    r"(?:(?:from|between) )?(\d+(?:\.\d+)?) ?(?:s|sec|secs|seconds?)?(?: ?(?:to|and|-|–) ?(\d+(?:\.\d+)?))? ?(?:s|sec|secs|seconds?)\b"
)
METRES = re.compile(r"(?:more than |over |beyond |at least |further than |farther than )?(\d+|one|two|three|a) ?(?:m|met(?:re|er)s?)\b")
OUTSIDE = {
    "what the person looks like or wears": r"colou?rs?|wear\w*|clothes|clothing|shirt|jacket|trousers|pants|dress\w*|shoes?|hair|hat|"
    r"glasses|old|age|young|gender|tall|fat|pretty|name|face expression|smil\w*",
    "why, or what is felt or said": r"why|feel\w*|happy|sad|angry|think\w*|mood|emotion\w*|sa(?:y|ys|id)|talk\w*|sing\w*|intend\w*|purpose",
    "things and places in the picture": r"room|street|door|chair|table|ball|dog|cat|car|tree|wall|floor colou?r|background|weather|"
    r"object\w*|phone|box|bag|indoors?|outdoors?|building|kitchen|holding|carry\w*|camera",
    "hands, arms, legs and head": r"hands?|arms?|legs?|feet|foot|head|fingers?|"
    r"wav(?:e|es|ed|ing)|kick\w*|point(?:s|ed|ing) at|clap\w*|nod\w*|throw\w*|punch\w*",
    "other people": r"other (?:person|people|man|woman)|friend|everyone|people|crowd|somebody else",
}


@dataclass(frozen=True)
class Reading:
    """What a text asks.  `window` is a name of `quantities`, "whole" when none is said, "" for one that no template has.

    `sides` in order of mention; `flags` of MARKS and DEGREES; `metres`, a distance that is mentioned; `at_s`, times that are;
    `outside`, what it asks that no track holds; `unread`, the words that were not understood.
    """

    text: str
    form: str
    subjects: tuple[str, ...]
    sides: tuple[str, ...]
    window: str
    flags: frozenset[str]
    metres: int | None
    at_s: tuple[float, ...]
    outside: tuple[str, ...]
    unread: tuple[str, ...]


def read(text: str, seconds: float) -> Reading:
    """The meaning of a question about a clip of `seconds`; a time that it names becomes the quarter that holds it."""
    rest = " ".join(re.sub(r"[^\w\s.’'–-]|\.(?!\d)", " ", text.lower()[:LONGEST_TEXT]).split())
    outside = tuple(what for what, pattern in OUTSIDE.items() if re.search(rf"\b(?:{pattern})\b", rest))

    def take(table: tuple[tuple[str, str], ...]) -> list[str]:
        nonlocal rest
        found: list[tuple[int, str]] = []
        for pattern, meaning in table:
            for match in re.finditer(rf"\b(?:{pattern})\b" if not pattern.startswith("^") else pattern, rest):
                found.append((match.start(), meaning))
            rest = re.sub(rf"\b(?:{pattern})\b" if not pattern.startswith("^") else pattern, lambda m: "~" * len(m[0]), rest)
        return list(dict.fromkeys(meaning for _, meaning in sorted(found)))

    windows = take(WINDOWS)
    times: tuple[float, ...] = ()
    if timed := TIME.search(rest):
        times = tuple(float(t) for t in timed.groups() if t is not None)
        rest = rest.replace(timed[0], "~" * len(timed[0]))
    metres = None
    if far := METRES.search(rest):
        metres = NUMBERS.get(far[1]) or int(far[1])
        rest = rest.replace(far[0], "~" * len(far[0]))
    flags = set(take(MARKS))
    forms = take(FORMS)
    flags |= set(take(DEGREES[:1]))
    subjects = take(SUBJECTS)
    flags |= set(take(DEGREES[1:]))
    sides = take(SIDES)
    if "away" in flags:
        flags.remove("away")
        sides.append("away")
    unread = tuple(w for w in re.findall(r"\w[\w’'-]*", rest) if w not in FILLER)
    return Reading(
        text=" ".join(text.split())[:LONGEST_TEXT],
        form=forms[0] if forms else "did",
        subjects=tuple(subjects),
        sides=tuple(sides),
        window=_window(windows, times, seconds),
        flags=frozenset(flags - {"filler"}),
        metres=metres,
        at_s=times,
        outside=outside,
        unread=unread,
    )


def _window(named: list[str], times: tuple[float, ...], seconds: float) -> str:
    if len(named) > 1 or "middle" in named:
        return ""
    if named:
        return named[0]
    if times:
        within = {min(3, int(4 * t / seconds)) for t in times if 0 <= t <= seconds}
        return QUARTERS[within.pop()] if len(within) == 1 else ""
    return "whole"
