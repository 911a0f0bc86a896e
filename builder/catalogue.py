"""Many questions in few bytes each: what assembling them needs to know, as columns of numbers.

Most of a question is shared with thousands of others: its words, its options, its template.  That is kept once, as its kind; the
question itself is four numbers.  Evidence stays in the artefacts and is read again for what is published.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.types import BuildError, Question

Ints = NDArray[Any]


class Kind(NamedTuple):
    """What questions of one kind have in common."""

    category: str
    template: str
    quantity: str
    window: str
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Columns:
    """Questions in some order: of each (N,) its kind's place in `kinds`, the right option's place, and whose question it is."""

    kinds: Sequence[Kind]
    kind: Ints
    answer: Ints
    holder: Ints


class Catalogue:
    """Questions about people, added one by one; about 20 bytes each, and the kinds."""

    def __init__(self) -> None:
        self.people: list[tuple[str, str]] = []
        self.kinds: list[Kind] = []
        self._number: dict[Kind, int] = {}
        self._id, self._kind, self._answer, self._holder = array("Q"), array("i"), array("b"), array("i")

    def __len__(self) -> int:
        return len(self._id)

    def add(self, clip_id: str, person_id: str, questions: Iterable[Question]) -> range:
        """Add a person's questions; the places they got.  Raises BuildError for an id that is not 16 hex digits."""
        first = len(self)
        self.people.append((clip_id, person_id))
        for q in questions:
            self._id.append(number_of(q.id))
            self._kind.append(self._kind_of(Kind(q.category, q.template, q.quantity, q.window, q.text, q.options)))
            self._answer.append(q.answer)
            self._holder.append(len(self.people) - 1)
        return range(first, len(self))

    def _kind_of(self, kind: Kind) -> int:
        number = self._number.setdefault(kind, len(self.kinds))
        if number == len(self.kinds):
            self.kinds.append(kind)
        return number

    def ids(self, places: Ints) -> NDArray[np.uint64]:
        """The ids (N,) of some questions, as numbers."""
        return np.frombuffer(self._id, np.uint64)[places] if len(self) else np.zeros(0, np.uint64)

    def by_id(self, places: Ints) -> Ints:
        """The same places, sorted by the questions' ids."""
        return places[np.argsort(self.ids(places), kind="stable")]

    def columns(self, places: Ints) -> Columns:
        """Some questions as columns, in this order."""
        if not len(places):
            nothing = np.zeros(0, np.int32)
            return Columns(self.kinds, nothing, nothing, nothing)
        kind, answer = np.frombuffer(self._kind, np.int32)[places], np.frombuffer(self._answer, np.int8)[places]
        return Columns(self.kinds, kind, answer, np.frombuffer(self._holder, np.int32)[places])

    def holder(self, place: int) -> int:
        """Whose question it is: a place in `people`."""
        return self._holder[place]

    def question(self, place: int) -> Question:
        """One question, without its evidence and robustness."""
        kind, (clip_id, person_id) = self.kinds[self._kind[place]], self.people[self._holder[place]]
        return Question(
            id=f"{self._id[place]:016x}",
            clip_id=clip_id,
            person_id=person_id,
            category=kind.category,
            template=kind.template,
            quantity=kind.quantity,
            window=kind.window,
            text=kind.text,
            options=kind.options,
            answer=self._answer[place],
            evidence={},
        )


class Questions(Sequence[Question]):
    """Some questions of a catalogue in some order, each made when it is looked at."""

    def __init__(self, catalogue: Catalogue, places: Ints) -> None:
        self.catalogue, self.places = catalogue, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Questions(self.catalogue, self.places[index])
        return self.catalogue.question(int(self.places[index]))

    def __iter__(self) -> Iterator[Question]:
        return (self.catalogue.question(int(place)) for place in self.places)


def number_of(question_id: str) -> int:
    """An id as a number that sorts as the id does.  Raises BuildError for one that is not 16 hex digits."""
    try:
        if len(question_id) == 16:
            return int(question_id, 16)
    except ValueError:
        pass
    raise BuildError(f"question {question_id!r}: expected an id of 16 hex digits, as builder/families.py gives")


def columns_of(questions: Sequence[Question]) -> Columns:
    """Questions as columns, in their order; ids may be any text."""
    held: dict[tuple[str, str], int] = {}
    number: dict[Kind, int] = {}
    kind, answer, holder = array("i"), array("b"), array("i")
    for q in questions:
        kind.append(number.setdefault(Kind(q.category, q.template, q.quantity, q.window, q.text, q.options), len(number)))
        answer.append(q.answer)
        holder.append(held.setdefault((q.clip_id, q.person_id), len(held)))
    return Columns(list(number), *(np.array(a) for a in (kind, answer, holder)))
