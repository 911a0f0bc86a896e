"""Spoilt files and wild replies: errors of ours and nothing else, soon, and in little memory."""

from __future__ import annotations

import importlib.util

import fuzz
import pytest


@pytest.mark.parametrize("name", fuzz.QUICK)
def test_spoilt_files_are_read_or_refused(name: str):
    found = fuzz.against(name, 20 if name == "video" else 40)
    assert sum(found.values()) > 10


def test_wild_replies_are_read_or_not():
    assert set(fuzz.replies(60)) <= {"read", "unreadable"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*fuzz.TARGETS, "replies"])
def test_many_spoilt_files(name: str):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch writes some of the files")
    found = fuzz.replies(1000) if name == "replies" else fuzz.against(name, 500)
    assert sum(found.values()) >= 400
