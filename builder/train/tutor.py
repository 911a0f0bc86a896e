"""Help in training a track reader: what is heard must tell what is asked, and what is looked at first must be repeated.

Without it a network finds out only after many thousand questions that words name rows of a table.  It is no part of the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import quantities, reader, told
from builder.types import Question

MOST = 4  # options
HEARD, REPEATED = 0.5, 2.0  # weights of telling what was asked and of repeating what it is about, beside answering it


@dataclass(frozen=True, eq=False)
class Programs:
    """What is asked, as help in training: what is heard must tell it, and what is looked at must be repeated.

    `marks` (Q, S): the template one-hot, then movements, windows and number; `cells` (Q, 2) and `windows` (Q, 2): rows of `told`'s tables
    `sums` and `places` that a question is about, -1 for none; `option_cells` and `option_windows` (Q, MOST): those that an option names.
    """

    templates: int
    marks: NDArray[np.float32]
    cells: NDArray[np.int64]
    windows: NDArray[np.int64]
    option_cells: NDArray[np.int64]
    option_windows: NDArray[np.int64]

    @staticmethod
    def of(questions: Sequence[Question]) -> Programs:
        """The programs of these questions."""
        names = sorted({(q.category, q.template) for q in questions})
        place = {name: k for k, name in enumerate(names)}
        listed = (*told.KINDS, *told.WINDOWS, "1", "2", "3", "4")
        marks = np.zeros((len(questions), len(names) + len(listed)), dtype=np.float32)
        cells, windows = np.full((len(questions), 2), -1), np.full((len(questions), 2), -1)
        option_cells, option_windows = np.full((len(questions), MOST), -1), np.full((len(questions), MOST), -1)
        for k, q in enumerate(questions):
            marks[k, place[q.category, q.template]] = 1
            parts = (*q.quantity.replace("#", "|").split("|"), q.window)
            for part in parts:
                if part in listed:
                    marks[k, len(names) + listed.index(part)] = 1
            kinds = [p for p in parts if p in told.KINDS]
            during = [p for p in parts[:-1] if p in told.WINDOWS] or [q.window]
            for n, window in enumerate(during[:2]):
                windows[k, n] = told.WINDOWS.index(window)
            cells[k, : len(kinds[:2])] = [_cell(kind, during[0]) for kind in kinds[:2]]
            for n, option in enumerate(q.options):
                named, when = NAMED.get(option.lower(), (None, None))
                if when is not None:
                    option_windows[k, n] = told.WINDOWS.index(when)
                if named or (when and len(kinds) == 1):
                    option_cells[k, n] = _cell(named or kinds[0], when or during[0])
        return Programs(len(names), marks, cells, windows, option_cells, option_windows)


def _cell(kind: str, window: str) -> int:
    return told.KINDS.index(kind) * len(told.WINDOWS) + told.WINDOWS.index(window)


# The movement or the window that an option names.
NAMED: dict[str, tuple[str | None, str | None]] = {
    **{text.lower(): (kind, None) for kind in told.KINDS for text in quantities.WORDS[kind]},
    **{name: (None, f"q{k + 1}") for k, name in enumerate(quantities.QUARTER_NAMES)},
    "the first half": (None, "h1"),
    "the second half": (None, "h2"),
}


def tutoring(shape: reader.Shape, programs: Programs) -> Any:
    """A module (torch) that gives the loss of the helps: telling what is asked, and repeating the cells that it is about.

    It is no part of the reader, which keeps only what it has learnt by it.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Tutor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heard = nn.Linear(shape.gist * shape.width, programs.marks.shape[1])
            self.cell, self.window = nn.Linear(shape.width, told.COLUMNS[0]), nn.Linear(shape.width, told.COLUMNS[2])

        def forward(self, tables: Any, gist: Any, found: Any, helps: Any) -> Any:
            marks, *cells = (table.flatten(0, 1) for table in helps)
            heard, n = self.heard(gist.flatten(1)), programs.templates
            loss = functional.cross_entropy(heard[:, :n], marks[:, :n].argmax(1))
            loss = HEARD * (loss + 4 * functional.binary_cross_entropy_with_logits(heard[:, n:], marks[:, n:]))
            person = torch.arange(len(found)) // (len(found) // len(tables[0]))
            places = (range(2), range(2, 4), range(shape.gist, found.shape[1]), range(shape.gist, found.shape[1]))
            for rows, at, table, says in zip(cells, places, (0, 2, 0, 2), (self.cell, self.window) * 2, strict=True):
                vectors = found[:, at.start : at.stop]
                rows = rows[:, : vectors.shape[1]]
                which = rows >= 0
                if which.any():
                    true = tables[table][person[:, None].expand_as(rows)[which], rows[which]]
                    loss = loss + REPEATED * functional.smooth_l1_loss(says(vectors[which]), true)
            return loss

    return Tutor()


class Halves:
    """A network and its tutor, if it has one, twice over, with the same weights: each half of a batch has its own, in its own thread.

    Two cores then meet once a step, and not once an operation, which halves the time where other work shares them.
    """

    def __init__(self, net: Any, tutor: Any, threads: Executor) -> None:
        self.first, self.second, self.threads = (net, tutor), (deepcopy(net), deepcopy(tutor)), threads
        self.parameters: list[Any] = [p for module in self.first if module is not None for p in module.parameters()]
        self.copies: list[Any] = [p for module in self.second if module is not None for p in module.parameters()]
        for own, copy in zip(self.parameters, self.copies, strict=True):
            copy.data = own.data

    def backward(self, batch: Sequence[Any]) -> float:
        """Leave the mean gradient of a batch of `lessons.Batches` in `parameters`, and return the mean loss of its answers."""
        middle = max(1, len(batch[1]) // 2)
        for parameter in (*self.parameters, *self.copies):
            parameter.grad = None
        jobs = [
            self.threads.submit(_backward, *networks, _part(batch, part), (part.stop - part.start) / len(batch[1]))
            for networks, part in ((self.first, slice(0, middle)), (self.second, slice(middle, len(batch[1]))))
            if part.stop > part.start
        ]
        loss = sum(job.result() for job in jobs)
        for own, copy in zip(self.parameters, self.copies, strict=True):
            if copy.grad is not None:
                own.grad = copy.grad if own.grad is None else own.grad + copy.grad
        return float(loss)


def _part(batch: Sequence[Any], part: slice) -> tuple[Any, ...]:
    """Some people of a batch."""
    tables, there, questions, phrases, offers, answers, helps = batch
    return [t[part] for t in tables], there[part], questions[part], phrases, offers[part], answers[part], [h[part] for h in helps]


def _backward(net: Any, tutor: Callable[..., Any] | None, batch: Sequence[Any], share: float) -> float:
    import torch

    tables, there, questions, phrases, offers, answers, helps = batch
    gist = net.listen(questions.flatten(0, 1))
    scores, found = net.answer(*net.read(tables, there), gist, phrases, offers)
    loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), answers.flatten())
    (share * (loss if tutor is None else loss + tutor(tables, gist, found, helps))).backward()
    return share * float(loss.item())
