"""The track reader: a small transformer that reads a person's track and a question in words with its options, and picks one.

It sees the track, never pixels: what `motion.describe` makes of it, as STEPS equal stretches of the clip and the movements found in it.
Options are scored side by side and carry no letters, so their order cannot matter.  Torch is imported when a network is made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.motion import CHANNEL_OF, ROTATIONS
from builder.types import DataError, Motion

STEPS, EVENTS = 64, 64  # stretches of a clip (16 a quarter), and movements at most
WORD = re.compile(r"\d+(?:\.\d+)?|[a-z]+")
PAD, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unknown>")
KINDS = (*CHANNEL_OF, "walk", "run", "jump", "crouch", "stand_up", "turn_around", "still")
LONGEST, WIDEST = 64, 28  # words of a question, and of an option
FORMAT = "humanmovevqa-track-reader/1"
SCALES = {"displacement_x": 2.0, "displacement_y": 0.5, "displacement_z": 2.0, "radial": 2.0, **dict.fromkeys(ROTATIONS, 90.0)}
SCALES |= {"rotation_pitch": 40.0, "rotation_roll": 40.0}

Halves = NDArray[np.float16]
Told = tuple[Halves, Halves]  # `stretches` and `movements` of one person


@dataclass(frozen=True)
class Shape:
    """The sizes of a network."""

    words: int
    width: int = 96
    heads: int = 6
    readers: int = 2  # layers over the track
    listeners: int = 2  # layers over the words of a question
    askers: int = 3  # layers over its gist and options, each of which looks at the track
    gist: int = 4  # vectors that stand for a question
    inner: int = 192


def stretches(motion: Motion) -> Halves:
    """(STEPS, F) what the person does in each equal stretch of the clip: places, changes, speeds, in units near one."""
    n = motion.num_frames
    edges = np.linspace(0, n - 1, STEPS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    grid = np.arange(n)
    seconds = (n - 1) / motion.fps
    columns = []
    for name, scale in SCALES.items():
        signal = motion.signals[name] / scale
        at = np.interp(edges, grid, signal)
        columns += [np.interp(middles, grid, signal), np.diff(at)]
        columns.append(np.diff(np.interp(edges, grid, np.concatenate([[0.0], np.cumsum(np.abs(np.diff(signal)))]))))
    heading = np.radians(np.interp(middles, grid, motion.heading_deg))
    columns += [np.sin(heading), np.cos(heading)]
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(motion.path_m, axis=0).T))])
    speed = np.diff(np.interp(edges, grid, travelled)) / (seconds / STEPS)
    columns += [speed, speed < 0.12]
    columns += [np.interp(middles, grid, flag.astype(float)) for flag in (motion.heading_ok, motion.lean_ok)]
    place = (np.arange(STEPS) + 0.5) / STEPS
    columns += [place, *(np.floor(4 * place) == k for k in range(4)), np.full(STEPS, seconds / 20.0)]
    return np.clip(np.stack(columns, axis=1), -30, 30).astype(np.float16)


def movements(motion: Motion) -> Halves:
    """(E, G) the movements in order of their start, E at most EVENTS: kind, when, how much, how fast, and the share in each quarter."""
    n = motion.num_frames - 1
    rows = []
    for event in sorted(motion.events, key=lambda e: (e.start_frame, e.direction))[:EVENTS]:
        if event.direction not in KINDS:
            continue
        code = event.code
        scale = SCALES.get(code, 1.0)
        start, end = event.start_frame / n, event.end_frame / n
        inside = [max(0.0, min(end, (k + 1) / 4) - max(start, k / 4)) / max(1e-6, end - start) for k in range(4)]
        seconds = (event.end_frame - event.start_frame) / motion.fps
        size = abs(event.amount) / scale
        rows.append(
            [
                *(event.direction == kind for kind in KINDS),
                *(min(3, int(4 * start)) == k for k in range(4)),
                *inside,
                *(size * share for share in inside),
                start,
                end,
                seconds / 2.0,
                event.amount / scale,
                size,
                np.log(max(size, 1e-3)),
                event.speed / scale,
            ]
        )
    width = len(KINDS) + 19
    return np.clip(np.array(rows, dtype=np.float64).reshape(-1, width), -30, 30).astype(np.float16)


WIDTHS = (3 * len(SCALES) + 2 + 2 + 2 + 6, len(KINDS) + 19)  # columns of `stretches` and of `movements`


def split(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Words:
    """A vocabulary: a word's number is its place.  Words that it lacks are UNKNOWN."""

    known: tuple[str, ...]

    @staticmethod
    def of(texts: Iterable[str], least: int = 3) -> Words:
        """The words that occur at least so often, the most frequent first."""
        counted = Counter(word for text in texts for word in split(text))
        often = sorted((w for w, n in counted.items() if n >= least), key=lambda w: (-counted[w], w))
        return Words((*SPECIAL, *often))

    def numbers(self, text: str, longest: int) -> list[int]:
        """The numbers of a text's words, at most `longest`; never none."""
        place = _places(self.known)
        return [place.get(word, UNKNOWN) for word in split(text)[:longest]] or [UNKNOWN]


_PLACES: dict[int, tuple[tuple[str, ...], dict[str, int]]] = {}


def _places(known: tuple[str, ...]) -> dict[str, int]:
    found = _PLACES.get(id(known))
    if found is None or found[0] is not known:
        found = _PLACES[id(known)] = (known, {word: k for k, word in enumerate(known)})
    return found[1]


def padded(lists: Sequence[Sequence[int]], width: int | None = None) -> NDArray[np.int64]:
    """(N, W) the lists as rows, filled with PAD."""
    wide = width or max(map(len, lists))
    return np.array([[*one[:wide], *[PAD] * (wide - len(one))] for one in lists], dtype=np.int64)


def network(shape: Shape) -> Any:
    """A new network of that shape (torch.nn.Module), its weights drawn from torch's own generator.

    Called with steps (P, STEPS, F), events (P, E, G), there (P, E) bool, questions (P, Q, L) and options (P, Q, K, W) word numbers; gives
    (P, Q, K) scores, minus infinity where an option is all padding.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = shape.width, shape.heads

    class Attention(nn.Module):
        """Half of the heads average what they look at; with `adds`, the other half add it up, so that they can count."""

        def __init__(self, adds: bool = False) -> None:
            super().__init__()
            self.ask, self.tell, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
            self.mean = heads // 2 if adds else heads

        def forward(self, x: Any, memory: Any, seen: Any) -> Any:
            """x (B, N, D) looks at memory (B, M, D) where seen (B, M) says that there is something."""
            b, n, _ = x.shape
            q = self.ask(x).view(b, n, heads, -1).transpose(1, 2)
            k, v = self.tell(memory).view(b, memory.shape[1], 2, heads, -1).permute(2, 0, 3, 1, 4)
            m, there = self.mean, seen[:, None, None, :]
            found = functional.scaled_dot_product_attention(q[:, :m], k[:, :m], v[:, :m], attn_mask=there)
            if m < heads:
                gates = torch.sigmoid(q[:, m:] @ k[:, m:].transpose(2, 3) / q.shape[-1] ** 0.5 - 2.0) * there
                found = torch.cat([found, 0.3 * gates @ v[:, m:]], dim=1)
            return self.out(found.transpose(1, 2).reshape(b, n, width))

    class Layer(nn.Module):
        def __init__(self, looks: bool = False) -> None:
            super().__init__()
            self.attend, self.before = Attention(), nn.LayerNorm(width)
            self.look: Any = Attention(adds=True) if looks else None
            self.ahead: Any = nn.LayerNorm(width) if looks else None
            self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, shape.inner), nn.GELU(), nn.Linear(shape.inner, width))

        def forward(self, x: Any, here: Any, memory: Any = None, seen: Any = None) -> Any:
            y = self.before(x)
            x = x + self.attend(y, y, here)
            if self.look is not None:
                asked = self.ahead(x).reshape(memory.shape[0], -1, width)  # all questions to one track at once
                x = x + self.look(asked, memory, seen).reshape(x.shape)
            return x + self.mix(x)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step, self.event = nn.Linear(WIDTHS[0], width), nn.Linear(WIDTHS[1], width)
            self.step_place = nn.Parameter(0.02 * torch.randn(STEPS, width))
            self.kind = nn.Parameter(0.02 * torch.randn(3, width))  # nothing, a stretch, a movement
            self.reads = nn.ModuleList(Layer() for _ in range(shape.readers))
            self.settled = nn.LayerNorm(width)
            self.word = nn.Embedding(shape.words, width, padding_idx=PAD)
            nn.init.normal_(self.word.weight, std=0.3)
            self.place = nn.Parameter(0.1 * torch.randn(LONGEST, width))
            self.hears = nn.ModuleList(Layer() for _ in range(shape.listeners))
            self.heard = nn.LayerNorm(width)
            self.essence = nn.Parameter(0.3 * torch.randn(shape.gist, width))
            self.gather = Attention()
            self.choice = nn.Parameter(0.1 * torch.randn(width))
            self.phrase = Layer()
            self.asks = nn.ModuleList(Layer(looks=True) for _ in range(shape.askers))
            self.score = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

        def read(self, steps: Any, events: Any, there: Any) -> tuple[Any, Any]:
            """(P, M, D) what the questions look at, and where there is something."""
            people = len(steps)
            nothing = self.kind[0].expand(people, 1, width)
            stretch = self.step(steps) + self.step_place + self.kind[1]
            memory = torch.cat([nothing, stretch, self.event(events) + self.kind[2]], dim=1)
            seen = torch.cat([torch.ones(people, 1 + STEPS, dtype=torch.bool, device=there.device), there], dim=1)
            for layer in self.reads:
                memory = layer(memory, seen)
            return self.settled(memory), seen

        def listen(self, questions: Any) -> Any:
            """(N, G, D) the gist of N questions of (N, L) words."""
            said = questions != PAD
            x = self.word(questions) + self.place[: questions.shape[1]]
            for layer in self.hears:
                x = layer(x, said)
            start = self.essence.expand(len(questions), -1, -1)
            return start + self.gather(start, self.heard(x), said)

        def forward(self, steps: Any, events: Any, there: Any, questions: Any, options: Any) -> Any:
            return self.answer(*self.read(steps, events, there), questions, options)

        def answer(self, memory: Any, seen: Any, questions: Any, options: Any) -> Any:
            people, asked, length = questions.shape
            _, _, choices, wide = options.shape
            texts, place = torch.unique(questions.reshape(-1, length), dim=0, return_inverse=True)
            gist = self.listen(texts)[place]
            unique, where = torch.unique(options.reshape(-1, wide), dim=0, return_inverse=True)
            said = unique != PAD
            phrases = self.phrase(self.word(unique) + self.place[:wide], said | ~said.any(1, keepdim=True))
            phrases = (phrases * said[..., None]).sum(1) / said.sum(1, keepdim=True).clamp(min=1)
            picked = phrases[where].view(people * asked, choices, width) + self.choice
            offered = (options != PAD).any(-1).view(people * asked, choices)
            x = torch.cat([gist, picked], dim=1)
            here = torch.cat([torch.ones_like(offered[:, :1]).expand(-1, gist.shape[1]), offered], dim=1)
            for layer in self.asks:
                x = layer(x, here, memory, seen)
            scores = self.score(x[:, gist.shape[1] :]).squeeze(-1).float()
            return scores.masked_fill(~offered, float("-inf")).view(people, asked, choices)

    return Reader()


def save(path: Path, net: Any, shape: Shape, words: Words, about: Mapping[str, Any]) -> None:
    """Weights in half precision, with shape, vocabulary and `about` in the file's own header."""
    import torch
    from safetensors.torch import save as to_bytes

    from builder.store import write_atomic

    weights = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in net.state_dict().items()}
    head = {"format": FORMAT, "shape": asdict(shape), "words": list(words.known), "kinds": list(KINDS), **about}
    write_atomic(path, to_bytes(weights, metadata={name: json.dumps(value) for name, value in head.items()}))


def load(path: Path) -> tuple[Any, Words, dict[str, Any]]:
    """(network, vocabulary, the file's header).  Raises DataError for anything else than a file that `save` has made."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            head = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # it is no mapping
        if head.get("format") != FORMAT or head.get("kinds") != list(KINDS):
            raise ValueError(f"format {head.get('format')!r}, expected {FORMAT!r}")
        net = network(Shape(**head["shape"]))
        net.load_state_dict(weights)
    except FileNotFoundError:
        raise DataError(
            f"no track reader {path}; `humanmovevqa train --model track_reader --out DIR` makes one; name it track_reader=FILE"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(f"track reader {path}: not a file of this version's reader ({' '.join(str(error).split())[:200]})") from None
    return net.eval(), Words(tuple(head["words"])), head


def stacked(motions: Sequence[Told]) -> tuple[Any, Any, Any]:
    """Tensors (P, STEPS, F), (P, E, G) and (P, E) bool of several people's `stretches` and `movements`."""
    import torch

    most = max(1, max(len(events) for _, events in motions))
    steps = np.stack([one for one, _ in motions]).astype(np.float32)
    events = np.zeros((len(motions), most, WIDTHS[1]), dtype=np.float32)
    there = np.zeros((len(motions), most), dtype=bool)
    for k, (_, found) in enumerate(motions):
        events[k, : len(found)] = found
        there[k, : len(found)] = True
    return torch.from_numpy(steps), torch.from_numpy(events), torch.from_numpy(there)


def hidden(told: Told) -> Told:
    """The same clip with its track hidden: nothing moves."""
    steps, events = told
    return np.zeros_like(steps), events[:0]


def choose(net: Any, words: Words, told: Told, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
    """Log-probabilities of the options of each (question, options) about one person."""
    import torch

    questions = torch.from_numpy(padded([words.numbers(text, LONGEST) for text, _ in asked]))[None]
    offers = [[words.numbers(option, WIDEST) for option in options] for _, options in asked]
    most, wide = max(map(len, offers)), max(len(o) for offer in offers for o in offer)
    options = np.stack([padded([*offer, *[[]] * (most - len(offer))], wide) for offer in offers])[None]
    with torch.inference_mode():
        scores = net(*stacked([told]), questions, torch.from_numpy(options))[0].log_softmax(-1)
    return [row[: len(offer)].tolist() for row, offer in zip(scores, offers, strict=True)]
