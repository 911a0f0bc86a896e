"""What an answer of the track reader costs: `python tests/benchmarks/read.py` prints CPU milliseconds; nothing is asserted.

One question about a track that is known already, ten at once, and what is done once for a track: describing it and filling the tables.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from builder import motion, plugins, reader, recipe, selection, told  # noqa: E402
from builder.performer import cast_clips, cast_reference  # noqa: E402

TIMES = 30


def milliseconds(what: Callable[[], Any]) -> float:
    """The median CPU time of one call: other work on the machine does not count."""
    spent = []
    for _ in range(TIMES):
        started = time.process_time()
        what()
        spent.append(1000 * (time.process_time() - started))
    return round(sorted(spent)[TIMES // 2], 2)


def read() -> dict[str, float]:
    """CPU milliseconds of each part, on one thread."""
    import torch

    torch.set_num_threads(1)
    net, words, _ = reader.load(Path(plugins.load("models", "track_reader").PACKAGED))
    known = recipe.load("default")
    (track,) = cast_reference(next(cast_clips("synthetic", "seed-7", 1)))
    described, questions = selection.questions_of(track, known)
    tables = told.told(described, known)
    asked = [(q.text, q.options) for q in questions]
    return {
        "describe a track": milliseconds(lambda: motion.describe(track, known)),
        "fill its tables": milliseconds(lambda: told.told(described, known)),
        "one question": milliseconds(lambda: reader.choose(net, words, tables, asked[:1])),
        "ten questions": milliseconds(lambda: reader.choose(net, words, tables, asked[:10])),
    }


if __name__ == "__main__":
    for name, value in read().items():
        print(f"{name:18} {value:6.1f} ms")
