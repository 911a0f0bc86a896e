"""What a person's own words ask: form, subject, sides and window, by tables of phrases.

Every phrase that is understood is taken out of the text in table order, longest meanings first; what remains and is not filler
is kept as `unread`, so that nobody is answered about a door when only the turn at it is known.  Filler are words that change nothing
about what is asked; a word that might ("slowly", "twice", "only") is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.quantities import QUARTERS, WINDOW_NAMES

LONGEST_TEXT = 400
SHORT_FORMS = re.compile(r"(?<=\w)[’'](?:s|re|ve|d|ll|m)\b")
VIDEO = r"(?: of the (?:whole |entire )?(?:video|clip|film|recording))?"

# Two parts of the video set against each other: each is one of these, with "half" or "quarter" behind one of them, or start and end.
PLACE = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3, "last": 3, "final": 3, "other": 3}
EDGE = {"beginning": 0, "start": 0, "end": 3}
PART = rf"(?:(?:at|in|during|near|towards?) )?(?:the )?(?:very )?({'|'.join((*PLACE, *EDGE))})(?: (half|quarter|part))?{VIDEO}\b"
AGAINST = re.compile(rf"\b{PART}(.{{0,25}}?\b(?:or|than|and|versus|vs|compared (?:to|with)) (?:rather )?){PART}")
HALVES = re.compile(r"\b(?:(?:in |during )?(?:which|what) half|early or late|earlier or later|over time)\b")
CHANGES = re.compile(
    r"\b(?:(?:speed|speeds|sped|speeding) up|(?:slow|slows|slowed|slowing) down|accelerat\w*|decelerat\w*"
    r"|(?:get|gets|got|getting|become|becomes|became) (?:faster|slower|quicker))\b"
)

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
    (r"(?:the |in the )?middle(?: of the (?:video|clip))?|half ?way(?: through)?", "middle"),
    (r"(?:first|last|final|next|another) (?:few |couple of )?(?:\d+(?:\.\d+)? ?)?(?:s|secs?|seconds?)", "stretch"),
)
BEHIND = r"(?:after|by|by the end of|at the end of)(?= (?:the )?(?:first|second|third|1st|2nd|3rd) (?:half|quarter))"
MARKS: tuple[tuple[str, str], ...] = (
    (r"right (?=away\b|after\b|before\b|now\b|at\b)", "filler"),
    (r"left (?=the (?:start|origin|spot|place)|where)", "away"),
    (r"(?:back )?(?:closer to|nearer to|towards?) (?=(?:the |their |his |her )?(?:start|origin|original|initial)|where)", "towards"),
    (r"(?:compared (?:with|to)|relative to|than at|as at|as in|as) the (?:start|beginning)(?: of the (?:video|clip))?", "filler"),
    (
        r"(?:at|by|in) the (?:very )?end(?: of the (?:video|clip))?|in the end|finally|end(?:s|ed)? up|ending up|end(?:s|ed)?"
        r"|finish(?:es|ed)?(?: up)?|(?:the |their |his |her )?(?:final|last|end) (?:position|place|spot|location|point)",
        "end",
    ),
    (r"side (?=step)", "sideways"),
    (r"at all", "filler"),
    (r"(?:the way|as) (?:they|he|she|the (?:person|man|woman)) (?:had )?(?:started|beg[au]n)(?: out)?", "filler"),
    (r"^(?:is|are|was|were) (?:they|he|she|the (?:person|man|woman))(?= (?:all the way )?back\b)", "end"),  # a state, not an event
    (
        r"(?:the |their |his |her )?(?:starting|start|original|initial) (?:point|place|position|spot|location)"
        r"|where (?:they|he|she|it|the person|the man|the woman) (?:had )?(?:start|beg[au]n)\w*|the start|the origin",
        "start",
    ),
    (r"at most(?! \d)", "most"),
    (
        r"all the time|(?:the |this )?(?:whole|entire) (?:time|video|clip|film)|from start to end|throughout"
        r"|always|constantly|continuously|in total|altogether|overall|in all|on average",
        "all",
    ),
)
FORMS: tuple[tuple[str, str], ...] = (
    (r"^(?:(?:can|could) you )?(?:tell|say|show)(?: me)? (?:if|whether)", "did"),
    (r"how much time", "duration"),
    (r"(?:(?:what|which)(?: is| was)?(?: the)? )?(?:total|overall|whole|entire) (?=distance|path|way|rotation|turning)", "amount"),
    (r"how (?:many (?:met(?:re|er)s|degrees|m|deg)|far|much|big)", "amount"),
    (
        r"(?:what|which)(?: is| was)?(?: the)?"
        r"(?= (?:total |overall |greatest |furthest |farthest |maximum |largest |longest )?(?:distance|angle)\b"
        r"| (?:furthest|farthest|most)(?: (?:that|point))? (?:they|he|she|it|the (?:person|man|woman)) )",
        "amount",
    ),
    (r"(?:what|which)(?: is| was)?(?= .*\b(?:in (?:degrees|met(?:re|er)s)|total (?:rotation|turning))\b)", "amount"),
    (r"how many (?:separate )?times|how often|how many|(?:what is |give )?(?:the )?number of(?: times)?|count(?: the)?", "count"),
    (r"how long(?: is| was)? the (?:path|route|way)", "amount"),
    (r"how long", "duration"),
    (
        r"how (?:fast|quick(?:ly)?|slow(?:ly)?)|(?:at )?(?:what|which)(?: is| was)?(?: the| their| his| her)? "
        r"(?:average |mean |top |maximum |highest )?(?:walking )?(?:speed|pace)",
        "speed",
    ),
    (
        r"(?:in |during )?(?:which|what) (?:quarter|part)|when(?: exactly)?|(?:at|in) (?:what|which) (?:time|moment|point|second)s?"
        r"|what time",
        "when",
    ),
    (r"(?:in |into |to |towards? |along |on )?(?:which|what) (?:way|direction|side|line)s?|where(?: to)?", "way"),
    (r"which (?:of|one)|which|what", "which"),
    (r"how", "how"),
    (r"^(?:true or false)|^(?:do|does|did|is|are|was|were|has|have|had|can)(?= )", "did"),
)
SUBJECTS: tuple[tuple[str, str], ...] = (
    (
        r"(?:turn|spin|spun|rotat|twist)\w* (?:all the way |right |completely |fully )?(?:a)?(?:round|bout)"
        r"|(?:complete|full|half)[- ](?:turns?|rotations?|spins?)|turn(?:s|ed|ing)? back(?! to)|u[- ]?turns?|about[- ]face",
        "turn_around",
    ),
    (r"(?:closest|nearest) (?:to )?(?=~)", "nearest"),
    (r"(?:stand|stands|stood|standing|gets?|got|getting|rises?|rose) (?:back )?up|rises? from|rose from|straightens? up", "stand_up"),
    (
        r"(?:stand|stands|stood|standing|stay|stays|stayed|staying|remain|remains|remained|keep|keeps|kept) "
        r"(?:completely )?(?:still|in place|on the spot|put|motionless|there)"
        r"|stop(?:s|ped|ping)?|paus(?:e|es|ed|ing)|wait(?:s|ed|ing)?|stationary|motionless|stand(?:s|ing)?|stood|idle"
        r"|(?:standing|sit|sits|sitting|hold|holds|holding) still|(?<=^~~ they )still$|(?<=^~~~ they )still$|(?:doing|do|does|did) nothing",
        "still",
    ),
    (
        r"(?:stay|stays|stayed|remain|remains|remained) (?:crouched|seated|down|low)"
        r"|(?:crouch\w*|squat\w*|sit(?:s|ting)?|sat|kneel\w*|knelt|duck(?:s|ed|ing)?)(?: down)?"
        r"|lower\w* (?:the |their )?(?:hips?|body|themselves)|(?:get|gets|got|go|goes|went) down",
        "crouch",
    ),
    (r"jump\w*|hop(?:s|ped|ping)?|leap\w*", "jump"),
    (r"run(?:s|ning)?|ran|jog\w*|sprint\w*", "run"),
    (r"lean\w*|bend(?:s|ing)?(?: over)?|bent(?: over)?|tilt\w*|bow(?:s|ed|ing)?", "lean"),
    (r"turn\w*|rotat\w*|spin(?:s|ning)?|spun|pivot\w*|swivel\w*|twist\w*|veer\w*", "turn"),
    (r"loop\w*|circles?|(?:the )?shape|outline|(?:look|looks|looking) like from above|(?<=from above )look like", "shape"),
    (r"fac(?:e|es|ed|ing)|look(?:s|ed|ing)?|orient(?:ed|ation)|heading", "face"),
    (
        r"return\w*|(?:come|comes|came|go|goes|went|get|gets|got|walk|walks|walked|make|makes|made it|find|be|is|are|was) "
        r"(?:all the way |straight |right )?back to"
        r"|(?:come|comes|came|get|gets|got) (?:all the way )?back"
        r"|(?:come|comes|came|get|gets|got|go|goes|went|walk\w*) (?:back )?home(?: again)?"
        r"|back(?: at| to| in)?(?= ~)|(?<=~ )back$|way back|home",
        "return",
    ),
    (
        r"far(?:ther)? (?:away )?from|distance (?:to|from)|(?<=furthest )(?:away )?from|(?<=farthest )(?:away )?from"
        r"|(?<=furthest )away|(?<=farthest )away|(?<=furthest )points?|(?<=farthest )points?",
        "distance",
    ),
    (r"go(?:es|ing) on", "do"),
    (
        r"mov\w*|walk(?:s|ed|ing)?|go(?:es|ing|ne)?|went|travel\w*|head(?:s|ed)|step(?:s|ped|ping)?|stroll\w*|shuffl\w*"
        r"|cover(?:s|ed|ing)?|displace\w*|shift\w*|pac(?:es|ed|ing)|march\w*|back(?:s|ed|ing)(?= (?:up|away))"
        r"|path|distance|ground|route|gets?|got|getting|motion|movements?",
        "move",
    ),
    (r"do(?:es|ing|ne)?|did|happen(?:s|ed|ing)?|activit(?:y|ies)|actions?|com(?:e|es|ing)|came|thing|reach(?:es|ed|ing)?", "do"),
)
SIDES: tuple[tuple[str, str], ...] = (
    (r"(?:counter|anti)[- ]?clockwise", "left"),
    (r"clockwise", "right"),
    (r"(?:to(?:wards?)? )?(?:the |their |his |her |its )?left(?:wards?| side)?", "left"),
    (r"(?:to(?:wards?)? )?(?:the |their |his |her |its )?right(?:wards?| side)?", "right"),
    (r"(?:straight )?(?:forwards?|ahead)|straight on|in front(?: of)?", "forward"),
    (r"backwards?|in reverse|back(?: up)?|behind|(?:the )?opposite(?: way| direction)?", "backward"),
    (r"up(?:wards?)?|higher", "up"),
    (r"down(?:wards?)?|lower", "down"),
    (r"away", "away"),
)
DEGREES: tuple[tuple[str, str], ...] = (
    (r"not once|never|(?:does|did|do|is|was|has|have)(?: not|n[’']?t)|without|not", "negated"),
    (r"more often|most often|most times|more times|more (?=(?:left|right) ~)", "often"),
    (r"faster|fastest|quickest|quicker|top speed|maximum speed|speed", "fast"),
    (r"slower|slowest|slow(?:ly)?", "slow"),
    (
        r"for (?:the )?longest(?: time)?|(?:spend(?:s|ing)? |spent )?(?:the )?most(?: of (?:the|their|his|her))? time"
        r"|prevails?|dominant|mainly|main|mostly|predominant\w*",
        "mainly",
    ),
    (
        r"(?:the )?(?:biggest|largest|longest|furthest|farthest|greatest|deepest|sharpest|maximum|most)(?: single)?",
        "most",
    ),
    (r"(?:the )?(?:least|shortest|smallest|fewest)", "least"),
    (r"(?:spend(?:s|ing)? |spent )?more(?: time)?|than|longer|further|farther|deeper", "compared"),
    (r"bigger|larger|sharper", "bigger"),
    (r"less|fewer|shorter|smaller", "fewer"),
    (r"sideways|aside|to (?:the|one) side", "sideways"),
    (r"(?:just |right |directly |immediately )?after(?:wards)?|next|then|following", "after"),
    (r"(?:just |right |directly |immediately )?before", "before"),
    (r"(?:for )?(?:the )?(?:very )?first(?: time| of all)?|earliest|begin(?:s|ning)?|start(?:s|ed|ing)?", "first"),
    (r"(?:for )?(?:the )?(?:very )?(?:last|final)(?: time| of all)?|latest", "last"),
    (r"or", "either"),
    (r"both", "both"),
)
FILLER = frozenset(
    """a about actually an and angle any anybody anyone approximately are around as at be been being body by can clip could degrees does
    doing during ever exactly film for from get gets got guy had has have he her him himself herself his in into is it its itself just kind
    lady make makes made man me meters metres must of on one over perform performs person please point question roughly scene she should
    show so some somebody someone subject take takes took tell that the their them themselves there they this time times to true false
    very video want was way were with within woman you moment did do direction side single separate own same stage footage figure
    individual actor walker compared have need needs to these those hey hi ok would spend spends""".split()
)
NUMBERS = {"one": 1, "two": 2, "three": 3, "a": 1}
TIME = re.compile(
    r"\b(?:(?:from|between|at|around|@) |(?:at |in )?(?:second|time) )(\d+(?:\.\d+)?) ?(?:s|sec|secs|seconds?)?"
    r"(?: ?(?:to|and|-|–) ?(\d+(?:\.\d+)?))? ?(?:s|sec|secs|seconds?)\b"
)
METRES = re.compile(r"(?:more than |over |beyond |further than |farther than )(\d+|one|two|three|a) ?(?:m|met(?:re|er)s?)\b")
OUTSIDE = {
    "what the person looks like or wears": r"colou?rs?|wear\w*|clothes|clothing|shirt|jacket|trousers|pants|dress\w*|shoes?|hair|hat|"
    r"glasses|old|age|young|gender|tall|fat|pretty|name|face expression|smil\w*",
    "why, or what is felt or said": r"why|feel\w*|happy|sad|angry|think\w*|mood|emotion\w*|sa(?:y|ys|id)|talk\w*|sing\w*|intend\w*|purpose",
    "things and places in the picture": r"room|street|door|chair|table|ball|dog|cat|car|tree|wall|floor colou?r|background|weather|"
    r"object\w*|phone|box|bag|indoors?|outdoors?|building|kitchen|holding|carry\w*|camera",
    "hands, arms, legs and head": r"hands?|arms?|legs?|feet|foot|head|fingers?|"
    r"wav(?:e|es|ed|ing)|kick\w*|point(?:s|ed|ing) at|clap\w*|nod\w*|throw\w*|punch\w*",
    "other people": r"other (?:person|people|man|woman)|friends?|everyone|everybody|people|crowd|(?:somebody|someone) else|who",
    "single steps": r"how many (?:\w+ )?steps|number of steps|count (?:the |their )?steps|footsteps?|strides?",
    "heights": r"how (?:high|deep|low|tall)|(?:what|which) height|stairs|steps up|climb\w*",
}


@dataclass(frozen=True)
class Reading:
    """What a text asks.  `window` is a name of `quantities`, "whole" when none is said, "" for one that no template has.
    `parts` are two of them that it sets against each other ("h1|h2"), "" when it does not.

    `sides` in order of mention; `flags` of MARKS and DEGREES; `metres`, a distance that is mentioned; `at_s`, times that are;
    `outside`, what it asks that no track holds; `unread`, the words that were not understood.
    """

    text: str
    form: str
    subjects: tuple[str, ...]
    sides: tuple[str, ...]
    window: str
    parts: str
    flags: frozenset[str]
    metres: int | None
    at_s: tuple[float, ...]
    outside: tuple[str, ...]
    unread: tuple[str, ...]


def read(text: str, seconds: float, start_s: float = 0.0) -> Reading:
    """The meaning of a question about a track of `seconds`; a time that it names becomes the quarter that holds it.

    `start_s`: when the track begins in the video in which the asker reads times.
    """
    rest = " ".join(re.sub(r"[^\w\s.’'–@-]|\.(?!\d)", " ", text.lower()[:LONGEST_TEXT]).split())
    rest = SHORT_FORMS.sub("", rest).replace("side-step", "side step").replace("sidestep", "side step")
    outside = tuple(what for what, pattern in OUTSIDE.items() if re.search(rf"\b(?:{pattern})\b", rest))

    def take(table: tuple[tuple[str, str], ...]) -> list[str]:
        nonlocal rest
        found: list[tuple[int, str]] = []
        for pattern, meaning in table:
            for match in re.finditer(rf"\b(?:{pattern})\b" if not pattern.startswith("^") else pattern, rest):
                found.append((match.start(), meaning))
            rest = re.sub(rf"\b(?:{pattern})\b" if not pattern.startswith("^") else pattern, _blank, rest)
        return list(dict.fromkeys(meaning for _, meaning in sorted(found)))

    parts, rest = _parts(rest)
    flags = set(take(((CHANGES.pattern, "fast"), (BEHIND, "end"))))
    windows = take(WINDOWS)
    times: tuple[float, ...] = ()
    if timed := TIME.search(rest):
        times = tuple(float(t) - start_s for t in timed.groups() if t is not None)
        rest = rest.replace(timed[0], "~" * len(timed[0]))
    metres = None
    if far := METRES.search(rest):
        metres = NUMBERS.get(far[1]) or int(far[1])
        rest = rest.replace(far[0], "~" * len(far[0]))
    flags |= set(take(MARKS))
    forms = take(FORMS)
    flags |= set(take(DEGREES[:1]))
    subjects = take(SUBJECTS)
    flags |= set(take(DEGREES[1:]))
    sides = take(SIDES)
    if "away" in flags:
        flags.remove("away")
        sides.append("away")
    form, window = forms[0] if forms else "did", _window(windows, times, seconds)
    if form == "did" and window in ("h1", "h2") and not (sides or parts) and flags & {"fast", "slow", "compared"}:
        parts, window = "h1|h2", "whole"  # "are they faster in the second half?"
    unread = tuple(w for w in re.findall(r"\w[\w’'-]*", rest) if w not in FILLER)
    return Reading(
        text=" ".join(text.split())[:LONGEST_TEXT],
        form=form,
        subjects=tuple(subjects),
        sides=tuple(sides),
        window=window,
        parts=parts,
        flags=frozenset(flags - {"filler"}),
        metres=metres,
        at_s=times,
        outside=outside,
        unread=unread,
    )


def _window(named: list[str], times: tuple[float, ...], seconds: float) -> str:
    if named:
        return named[0] if len(named) == 1 and named[0] in WINDOW_NAMES else ""
    if times:
        within = {min(3, int(4 * t / seconds)) for t in times if 0 <= t <= seconds}
        return QUARTERS[within.pop()] if len(within) == 1 else ""
    return "whole"


def _parts(rest: str) -> tuple[str, str]:
    """The two parts of the video that a text sets against each other, "" for none, and the text without them."""
    if found := AGAINST.search(rest):
        one, between, other, kind = found[1], found[3], found[4], found[2] or found[5]
        if kind in ("half", "quarter") or (one in EDGE and other in EDGE):
            at = sorted((PLACE | EDGE)[word] for word in (one, other))
            names = [f"h{1 + (k > 0)}" for k in at] if kind == "half" else [QUARTERS[k] for k in at]
            if names[0] != names[1]:
                return "|".join(names), rest.replace(found[0], f"~~~ {between} ~~~")
    halves = HALVES.search(rest) or CHANGES.search(rest)
    return "h1|h2" if halves else "", HALVES.sub(_blank, rest)


def _blank(match: re.Match[str]) -> str:
    return "~" * len(match[0])
