"""What README states was measured, by the code of today."""

from __future__ import annotations

import pytest

import evidence
from builder.pipeline import code_digest


@pytest.mark.parametrize("name", evidence.MEASUREMENTS)
def test_evidence_is_of_this_code(name: str):
    stored = evidence.read()[name]
    assert stored["code"] == code_digest(), "the code that decides answers has changed since: run `make evidence`"
    assert len(stored["commit"]) == 40


def test_readme_states_the_evidence():
    readme = (evidence.ROOT / "README.md").read_text()
    assert readme == evidence.filled(readme, evidence.render(evidence.read())), "README's table is not the evidence: run `make evidence`"


def test_scripted_people_cannot_be_guessed():
    """The bar of the published benchmark, on the full measurement (a smaller one is run again in test_priors)."""
    result = evidence.read()["blind_synthetic"]["result"]
    assert result["tracks"] == 1000
    assert result["per_track"] >= 40
    for solver in result["blind"].values():
        assert len(solver["by_category"]) == 7
        assert max(table["score"] for table in solver["by_category"].values()) <= 5.0
        assert solver["mean"]["score"] <= 3.0
