"""Everything the page says, as HTML: one function per kind of saying, and nothing unescaped.

Texts of visitors, files and models pass through `escape`; no other module writes HTML from values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from builder.asking import Moment, Reply
from builder.schema import LETTERS
from demo import limits, quiz
from demo.answerers import Answerer
from demo.quiz import Answered, Quiz
from demo.speech import Said

SUGGESTED = (
    "Which way did they turn?",
    "How far did they walk?",
    "When did they first turn right?",
    "Where did they end up?",
    "Did they come back to the start?",
    "Which way do they face at the end?",
    "How fast did they move?",
    "What did they do first?",
)
EXAMPLES_TITLE = '<h2 class="side-title">Examples</h2>'
CLIP_TITLE = '<h2 class="side-title">Your clip</h2>'
HEAD = """<div class="page-head"><h1>HumanMoveVQA</h1>
<p>A clip, where its person went, and answers about it. Pick an example or bring <a href="#clip-title">your own clip</a>.</p></div>"""
PRIVACY = f"""<p>Your clip is processed on the machine that serves this page. It is re-encoded without sound and metadata; it, the track and
everything made from them are deleted at the latest {limits.KEPT_S / 3600:g} hour after they were last written, or at once with
“Delete my clip”. Until then whoever has a file's full address (it holds a hash that nobody can guess) could fetch it. Nothing is sent
elsewhere, except that a question goes, with frames of the clip, to a model endpoint if the operator configured one and you choose it;
the list of models says which. Upload only people who agreed to it.</p>"""


def note(text: str, kind: str = "plain") -> str:
    """One line under an input: kind "plain", "good" or "bad"."""
    role = ' role="alert"' if kind == "bad" else ""
    return f'<p class="note {escape(kind)}"{role}>{escape(text)}</p>' if text else ""


def working(stage: str, share: float | None, seconds: float | None = None) -> str:
    """The progress of a clip by named stage; without a share the bar only says that something goes on."""
    percent = "" if share is None else f"{100 * min(1.0, max(0.0, share)):.0f}"
    bar = f'<progress max="100" {f"value={percent}" if percent else ""} aria-label="{escape(stage)}"></progress>'
    after = f"{seconds:.0f} s" if seconds is not None and seconds >= 1 else ""
    return f'<div class="working" role="status"><p><b>{escape(stage)}</b><span>{after}</span></p>{bar}</div>'


def moments(found: Sequence[Moment], start_s: float) -> str:
    """Buttons that bring the playhead to where something happens."""
    out = []
    for moment in found[:6]:
        a, b = moment.start_s + start_s, moment.end_s + start_s
        span = f"{a:.1f} s" if b - a < 0.15 else f"{a:.1f}–{b:.1f} s"
        out.append(
            f'<button type="button" class="moment" data-seek="{a:.3f}" aria-label="Go to {a:.1f} seconds: {escape(moment.what)}">'
            f"{span} <span>{escape(moment.what)}</span></button>"
        )
    return f'<div class="moments">{"".join(out)}</div>' if out else ""


def models(found: Sequence[Answerer]) -> str:
    """The list of those who can be asked beside the track; who cannot be asked here is disabled and says why."""
    options = "".join(
        f'<option value="{escape(a.name)}"{" disabled" if a.why_not else ""}>'
        f"{escape(a.label)}{escape(f' — not here: {a.why_not}') if a.why_not else ''}</option>"
        for a in found
    )
    return f'<label class="models"><span>Beside the track, ask</span><select>{options}</select></label>'


def turn(reply: Reply, start_s: float, lifter: str, model: Said | None = None) -> str:
    """One question and what was answered to it: the track's side and, where one was asked, the model's."""
    parts = [f'<p class="asked">{escape(reply.text)}</p>', '<div class="sides">']
    if model is not None:
        busy = "" if model.done else ' aria-busy="true"'
        parts.append(
            f'<div class="side"{busy}><h3>{escape(model.label)} {_verdict(model)}</h3><p class="said">{_speaking(model)}</p>'
            f'<p class="fine">{escape(model.detail)}</p></div>'
        )
    if reply.answer is None:
        head, said = "The track cannot tell", f"{reply.because[:1].upper()}{reply.because[1:]}."
        parts.append(f'<div class="side"><h3>{head}</h3><p class="said weak">{escape(said)}</p>{_read_as(reply)}</div>')
    else:
        close = (
            '<span class="badge close" title="perturbed copies of the track give other answers">close call</span>' if reply.close else ""
        )
        parts.append(
            f'<div class="side"><h3>The track says {close}</h3><p class="said">{escape(reply.answer)}</p>{moments(reply.moments, start_s)}'
            f'<p class="fine">{escape(reply.because)}{_counted(reply.answer + reply.because, start_s)} '
            f"<span>Track: {escape(lifter)}.</span></p>"
            f"{_read_as(reply)}</div>"
        )
    return f'<article class="turn">{"".join(parts)}</div></article>'


def _verdict(model: Said) -> str:
    if model.agrees is None:
        return ""
    return f'<span class="badge {"agree" if model.agrees else "differ"}">{"agrees" if model.agrees else "differs"}</span>'


def _speaking(model: Said) -> str:
    """The text so far; a mark behind it while there may be more."""
    if model.done:
        return escape(model.text)
    return f'{escape(model.text)}<span class="caret"></span>' if model.text else '<span class="wait">thinking …</span>'


def _read_as(reply: Reply) -> str:
    return f'<p class="fine">Read as: {escape(reply.read_as)}</p>' if reply.read_as else ""


def _counted(text: str, start_s: float) -> str:
    """What to know of the seconds in a text of the track's, which begins when the person is first seen; the buttons have the video's."""
    if start_s < 0.1 or not re.search(r"\d s\b", text):
        return ""
    return f" Seconds in these words count from {start_s:.1f} s of the video, when the person is first seen."


def talk(turns: Sequence[str]) -> str:
    """The conversation, the newest turn first."""
    if not turns:
        return note("Ask in your own words. The track answers what it can decide, shows when it happened, and says so when it cannot tell.")
    return f'<div class="talk" role="log" aria-live="polite">{"".join(turns)}</div>'


def options(question_options: Sequence[str]) -> list[tuple[str, int]]:
    """A question's options as labelled choices: ("A. Left", 0), ..."""
    return [(f"{letter}. {text}", k) for k, (letter, text) in enumerate(zip(LETTERS, question_options, strict=False))]


def quiz_head(game: Quiz) -> str:
    """Where in the quiz the visitor is, and the question."""
    question = game.current
    if question is None:
        return ""
    step = f"Question {len(game.answered) + 1} of {len(game.questions)} · {question.category.replace('_', ' ')}"
    return f'<div class="quiz"><p class="fine">{escape(step)}</p><p class="asked">{escape(question.text)}</p></div>'


def revealed(given: Answered, why: str, found: Sequence[Moment], start_s: float, lifter: str) -> str:
    """What was chosen, what the model chose, what the track says, and when."""
    question = given.question
    right = given.choice == question.answer
    lines = _line("You", escape(question.options[given.choice]), right)
    if given.model is not None:
        lines += _line(given.model.label, _speaking(given.model), given.model.agrees or False, given.model.done)
    track = f"<li><span>Track</span><b>{escape(question.answer_text)}</b></li>"
    return (
        f'<div class="quiz" role="status"><p class="asked">{escape(question.text)}</p><ul class="reveal">{lines}{track}</ul>'
        f'{moments(found, start_s)}<p class="fine">{escape(why)}{_counted(why, start_s)} <span>Track: {escape(lifter)}.</span></p></div>'
    )


def _line(who: str, what: str, right: bool, done: bool = True) -> str:
    badge = f'<span class="badge {"agree" if right else "differ"}">{"correct" if right else "wrong"}</span>' if done else ""
    return f"<li><span>{escape(who)}</span><b>{what}</b>{badge}</li>"


def standing(game: Quiz) -> str:
    """The running score."""
    if not game.answered:
        return ""
    right, points = quiz.score(game.answered)
    asked = len(game.answered)
    text = f"{right} of {asked} correct"
    extra = "".join(f" · {name}: {rights} of {n}, {_points(theirs)} points" for name, rights, n, theirs in quiz.models(game.answered))
    scale = f"{_points(points)} points, where 0 is guessing and 100 all correct{extra}"
    return f'<p class="standing"><b>{escape(text)}</b> <span>{escape(scale)}</span></p>'


def _points(value: float) -> str:
    return f"{value:.0f}".replace("-0", "0").replace("-", "−")


def example_cards(cards: Sequence[dict[str, str]], chosen: str) -> str:
    """The examples as buttons with a small map each."""
    out = []
    for card in cards:
        pressed = "true" if card["name"] == chosen else "false"
        out.append(
            f'<button type="button" class="card" data-name="{escape(card["name"])}" aria-pressed="{pressed}">{card["map"]}'
            f"<span><b>{escape(card['title'])}</b><small>{escape(card['camera'])}</small></span></button>"
        )
    return f'<div class="cards" role="group" aria-label="Examples">{"".join(out)}</div>'


def small_map(path: Sequence[tuple[float, float]]) -> str:
    """A path (left, forward) in metres as a small picture: up is ahead, the person's left is left."""
    xs, ys = [-left for left, _ in path], [-forward for _, forward in path]
    side = max(max(xs) - min(xs), max(ys) - min(ys), 1.5) * 1.25
    cx, cy = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    dots = [(32 + 64 * (x - cx) / side, 32 + 64 * (y - cy) / side) for x, y in zip(xs, ys, strict=True)]
    quarter = len(dots) // 4
    parts = [dots[k * quarter : (k + 1) * quarter + 1 if k < 3 else None] for k in range(4)]
    lines = "".join(
        f'<polyline style="stroke:var(--q{k + 1})" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in part)}"/>'
        for k, part in enumerate(parts)
    )
    x, y = dots[0]
    return f'<svg viewBox="0 0 64 64" aria-hidden="true">{lines}<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg>'


def suggestions() -> str:
    """The suggested questions as buttons."""
    return (
        '<div class="chips">' + "".join(f'<button type="button" data-name="{escape(q)}">{escape(q)}</button>' for q in SUGGESTED) + "</div>"
    )


FILES = """<p class="note plain">The track (npz) and its facts (json), the path frame by frame (csv), the questions that survive doubt as
rows of the dataset (jsonl), and your quiz answers as an evaluation run (a zipped folder for <code>humanmovevqa score</code>).</p>"""


def api(client: str) -> str:
    """How to call the three public functions from a program; `client`: the address or the Space that it names."""
    return f"""<p>From a program, with <code>pip install gradio_client</code>:</p>
<pre><code>from gradio_client import Client, handle_file
client = Client("{escape(client)}")
facts, track = client.predict(handle_file("clip.mp4"), api_name="/lift")
print(client.predict("Which way did they turn?", handle_file(track), api_name="/ask"))
print(client.predict(api_name="/examples"))</code></pre>"""
