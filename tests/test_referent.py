"""Whom a question means, by place."""

from __future__ import annotations

import pytest

from builder.referent import WORDS, by_place


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([0.5], [None]),
        ([0.2, 0.8], ["left", "right"]),
        ([0.8, 0.5], ["right", "middle"]),
        ([0.7, 0.95], ["lefter", "righter"]),  # both are on the right: neither is "on the left"
        ([0.3, 0.1], ["righter", "lefter"]),
        ([0.7, 0.75], [None, None]),
        ([0.1, 0.2, 0.9], [None, None, "right"]),
        ([0.2, None], [None, None]),
    ],
)
def test_places_in_words(places: list[float | None], expected: list[str | None]) -> None:
    assert by_place(places) == [None if word is None else WORDS[word] for word in expected]
