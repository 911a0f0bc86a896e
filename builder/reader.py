"""The track reader: a small transformer that reads a person's track and a question in words with its options, and picks one.

It sees the track, never pixels: the tables of `told`.  Options are scored side by side and carry no letters, so their order cannot
matter.  Torch is imported when a network is made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import told
from builder.types import DataError

WORD = re.compile(r"\d+(?:\.\d+)?|[a-z]+")
PAD, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unknown>")
LONGEST, WIDEST = 64, 28  # words of a question, and of an option
FORMAT = "humanmovevqa-track-reader/2"


@dataclass(frozen=True)
class Shape:
    """The sizes of a network."""

    words: int
    width: int = 96
    heads: int = 4
    readers: int = 1  # layers over movements and stretches
    slots: int = 6  # vectors that stand for the places of a window
    small: int = 64  # width of what is heard
    listeners: int = 2  # layers over the words of a question
    gist: int = 4  # vectors that stand for a question
    askers: int = 3  # layers over its gist and options, each of which looks at the tables
    inner: int = 192


def split(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Words:
    """A vocabulary: a word's number is its place.  Words that it lacks are skipped; UNKNOWN is a text of nothing else."""

    known: tuple[str, ...]

    @staticmethod
    def of(texts: Iterable[str]) -> Words:
        """The words of these texts, the most frequent first."""
        counted = Counter(word for text in texts for word in split(text))
        return Words((*SPECIAL, *sorted(counted, key=lambda w: (-counted[w], w))))

    def numbers(self, text: str, longest: int) -> list[int]:
        """The numbers of a text's words, at most `longest`, those that are not known left out; never none."""
        return [self._place[word] for word in split(text) if word in self._place][:longest] or [UNKNOWN]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {word: k for k, word in enumerate(self.known)}


def padded(lists: Sequence[Sequence[int]], width: int | None = None) -> NDArray[np.int64]:
    """(N, W) the lists as rows, filled with PAD."""
    wide = width or max(map(len, lists))
    return np.array([[*one[:wide], *[PAD] * (wide - len(one))] for one in lists], dtype=np.int64)


def network(shape: Shape) -> Any:
    """A new network of that shape (torch.nn.Module), its weights drawn from torch's own generator.

    Called with the tables of `told` (P, rows, columns) each, there (P, EVENTS) bool, questions (P, Q, L) and phrases (N, W) word
    numbers, and offers (P, Q, K), which phrase each option is (-1: none); gives (P, Q, K) scores, minus infinity where there is none.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Attention(nn.Module):
        def __init__(self, width: int, heads: int, of: int | None = None) -> None:
            super().__init__()
            self.ask, self.tell, self.out = nn.Linear(width, width), nn.Linear(of or width, 2 * width), nn.Linear(width, width)
            self.heads = heads

        def forward(self, x: Any, memory: Any, seen: Any) -> Any:
            """x (B, N, D) looks at memory (B, M, E) where seen (B, M) says that there is something."""
            b, n, width = x.shape
            q = self.ask(x).view(b, n, self.heads, -1).transpose(1, 2)
            k, v = self.tell(memory).view(b, memory.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            likeness = (q @ k.transpose(2, 3)).div_((width // self.heads) ** 0.5)  # for tables this small quicker than a fused kernel
            found = likeness.masked_fill(~seen[:, None, None, :], float("-inf")).softmax(-1) @ v
            return self.out(found.transpose(1, 2).reshape(b, n, width))

    class Layer(nn.Module):
        def __init__(self, width: int, heads: int, inner: int, looks: bool = False) -> None:
            super().__init__()
            self.attend, self.before = Attention(width, heads), nn.LayerNorm(width)
            self.look: Any = Attention(width, heads) if looks else None
            self.ahead: Any = nn.LayerNorm(width) if looks else None
            self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

        def forward(self, x: Any, here: Any, memory: Any = None, seen: Any = None) -> Any:
            y = self.before(x)
            x = x + self.attend(y, y, here)
            if self.look is not None:
                asked = self.ahead(x).reshape(memory.shape[0], -1, x.shape[-1])  # all questions to one track at once
                x = x + self.look(asked, memory, seen).reshape(x.shape)
            return x + self.mix(x)

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            wide, small, inner = shape.width, shape.small, shape.inner
            kinds, windows, slots = len(told.KINDS), len(told.WINDOWS), shape.slots
            sizes = (wide, wide, slots * wide, wide, wide)
            self.tables = nn.ModuleList(nn.Linear(n, size) for n, size in zip(told.COLUMNS, sizes, strict=True))
            self.kind, self.window = nn.Parameter(torch.randn(kinds, 1, wide)), nn.Parameter(torch.randn(windows, wide))
            self.slot, self.table = nn.Parameter(torch.randn(slots, wide)), nn.Parameter(torch.randn(5, wide))
            self.time = nn.Parameter(0.5 * torch.randn(told.STRETCHES, wide))
            self.reads = nn.ModuleList(Layer(wide, shape.heads, inner) for _ in range(shape.readers))
            self.settled = nn.LayerNorm(wide)
            self.word = nn.Embedding(shape.words, small, padding_idx=PAD)
            nn.init.normal_(self.word.weight, std=0.5)
            self.place = nn.Parameter(0.2 * torch.randn(LONGEST, small))
            self.hears = nn.ModuleList(Layer(small, 4, 2 * small) for _ in range(shape.listeners))
            self.heard = nn.LayerNorm(small)
            self.essence = nn.Parameter(0.5 * torch.randn(shape.gist, wide))
            self.gather = Attention(wide, shape.heads, small)
            self.phrase = Layer(small, 4, 2 * small)
            self.spoken = nn.Linear(small, wide)
            self.choice = nn.Parameter(0.2 * torch.randn(wide))
            self.asks = nn.ModuleList(Layer(wide, shape.heads, inner, looks=True) for _ in range(shape.askers))
            self.score = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, 1))

        def read(self, tables: Any, there: Any) -> tuple[Any, Any]:
            """(P, M, D) what the questions look at, and where there is something."""
            sums, onsets, places, moves, steps = (layer(t) for layer, t in zip(self.tables, tables, strict=True))
            people, wide = len(sums), shape.width
            sums = sums + (self.kind + self.window + self.table[0]).flatten(0, 1)
            onsets = onsets + self.kind[:, 0] + self.table[1]
            places = places.view(people, len(told.WINDOWS), shape.slots, wide) + self.window[:, None] + self.slot
            always = torch.ones(people, 1, dtype=torch.bool, device=there.device)
            track = torch.cat([moves + self.table[3], steps + self.time], dim=1)
            seen = torch.cat([there, always.expand(-1, told.STRETCHES)], dim=1)
            for layer in self.reads:
                track = layer(track, seen)
            nothing = self.table[4].expand(people, 1, wide)
            memory = torch.cat([nothing, sums, onsets, places.flatten(1, 2), track], dim=1)
            seen = torch.cat([always.expand(-1, memory.shape[1] - track.shape[1]), seen], dim=1)
            return self.settled(memory), seen

        def listen(self, questions: Any) -> Any:
            """(N, G, D) the gist of N questions of (N, L) words."""
            said = questions != PAD
            x = self.word(questions) + self.place[: questions.shape[1]]
            for layer in self.hears:
                x = layer(x, said)
            start = self.essence.expand(len(questions), -1, -1)
            return start + self.gather(start, self.heard(x), said)

        def forward(self, tables: Any, there: Any, questions: Any, phrases: Any, offers: Any) -> Any:
            return self.answer(*self.read(tables, there), self.listen(questions.flatten(0, 1)), phrases, offers)[0]

        def answer(self, memory: Any, seen: Any, gist: Any, phrases: Any, offers: Any) -> tuple[Any, Any]:
            """Scores (P, Q, K) from `read` and `listen`, and (P * Q, G + K, D) what was found at the first look."""
            said = phrases != PAD
            spoken = self.phrase(self.word(phrases) + self.place[: phrases.shape[1]], said)
            spoken = self.spoken((spoken * said[..., None]).sum(1) / said.sum(1, keepdim=True)) + self.choice
            people, asked, choices = offers.shape
            offers = offers.view(people * asked, choices)
            x = torch.cat([gist, functional.embedding(offers.clamp(min=0), spoken)], dim=1)
            here = torch.cat([torch.ones_like(gist[..., 0], dtype=torch.bool), offers >= 0], dim=1)
            found = x
            for k, layer in enumerate(self.asks):
                x = layer(x, here, memory, seen)
                found = x if k == 0 else found
            scores = self.score(x[:, gist.shape[1] :]).squeeze(-1).float()
            return scores.masked_fill(offers < 0, float("-inf")).view(people, asked, choices), found

    return Reader()


def save(path: Path, net: Any, shape: Shape, words: Words, about: Mapping[str, Any]) -> None:
    """Weights in half precision, with shape, vocabulary and `about` in the file's own header."""
    import torch
    from safetensors.torch import save as to_bytes

    from builder.store import write_atomic

    weights = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in net.state_dict().items()}
    head = {"format": FORMAT, "shape": asdict(shape), "words": list(words.known), "tables": list(told.COLUMNS), **about}
    write_atomic(path, to_bytes(weights, metadata={name: json.dumps(value) for name, value in head.items()}))


def load(path: Path) -> tuple[Any, Words, dict[str, Any]]:
    """(network, vocabulary, the file's header).  Raises DataError for anything else than a file that `save` has made."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            head = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # it is no mapping
        if head.get("format") != FORMAT or head.get("tables") != list(told.COLUMNS):
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


def stacked(people: Sequence[told.Told]) -> tuple[list[Any], Any]:
    """Tensors (P, rows, columns) of each table of several people, and (P, EVENTS) which movements there are."""
    import torch

    tables, there = [], np.zeros((len(people), told.EVENTS), dtype=bool)
    for k, (rows, columns) in enumerate(zip(told.ROWS, told.COLUMNS, strict=True)):
        table = np.zeros((len(people), rows, columns), dtype=np.float32)
        for n, person in enumerate(people):
            table[n, : len(person[k])] = person[k]
        tables.append(torch.from_numpy(table))
    for n, person in enumerate(people):
        there[n, : len(person[3])] = True
    return tables, torch.from_numpy(there)


def choose(net: Any, words: Words, tables: told.Told, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
    """Log-probabilities of the options of each (question, options) about one person."""
    import torch

    questions = torch.from_numpy(padded([words.numbers(text, LONGEST) for text, _ in asked]))[None]
    place = {option: k for k, option in enumerate(dict.fromkeys(o for _, options in asked for o in options))}
    phrases = torch.from_numpy(padded([words.numbers(option, WIDEST) for option in place]))
    most = max(len(options) for _, options in asked)
    offers = torch.tensor([[*(place[o] for o in options), *[-1] * (most - len(options))] for _, options in asked])[None]
    with torch.inference_mode():
        scores = net(*stacked([tables]), questions, phrases, offers)[0].log_softmax(-1)
    return [row[: len(options)].tolist() for row, (_, options) in zip(scores, asked, strict=True)]
