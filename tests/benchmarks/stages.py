"""CPU time of a build by stage: `python tests/benchmarks/stages.py [N]` prints milliseconds per track; nothing is asserted.

N scripted people (default 20) in this process, every stage over all of them, three times over; of each stage the fastest counts,
which others on the machine disturbed least.  The start and the report's pictures, which do not grow with N, are left out.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from builder import corpus, motion, pipeline, recipe, selection, spool, store  # noqa: E402
from builder.performer import cast_reference  # noqa: E402
from builder.quantities import Measures  # noqa: E402

ROUNDS = 3


class Stages:
    """The least CPU seconds that each stage took."""

    def __init__(self) -> None:
        self.least: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """What happens inside is the stage `name`."""
        started = time.process_time()
        yield
        spent = time.process_time() - started
        self.least[name] = min(spent, self.least.get(name, spent))


def build(stages: Stages, count: int, folder: Path) -> None:
    """A build of `synthetic=count` into `folder`, first stage by stage and then as `pipeline.process` does it."""
    cfg, families = recipe.load(), selection.families().values()
    plan = pipeline.Plan((("synthetic", str(count)),), "", cfg, folder / "work")
    with stages.timed("draw clips"):
        clips = pipeline.clips_of(plan)
    with stages.timed("perform"):
        tracks = [cast_reference(clip)[0] for clip in clips]
    with stages.timed("describe"):
        motions = [motion.describe(track, cfg) for track in tracks]
    with stages.timed("ask"):
        for described in motions:
            measures = Measures(described, cfg)
            for family in families:
                family.ask(described, cfg, measures)
    with stages.timed("describe, ask, doubt"):
        asked = [selection.questions_of(track, cfg)[1] for track in tracks]
    with stages.timed("write"):
        for clip, questions in zip(clips, asked, strict=True):
            store.Work(folder / "alone").put(pipeline.STAGE, clip.clip_id, "", {"questions": [store.to_json(q) for q in questions]})
    with stages.timed("all of the above"):
        pipeline.process(pipeline.clips_of(plan), plan, 1, lambda done, total, name: None)
    with stages.timed("read back"):
        people, _, _ = pipeline.gather(clips, plan)
    with spool.scratch(folder / "sorting") as scratch:
        with stages.timed("merge"):
            made = corpus.build(people, [], cfg, scratch)
        with stages.timed("export"):
            corpus.export_to(folder / "out", made)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    stages = Stages()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            build(stages, count, Path(folder))
    for name, seconds in stages.least.items():
        print(f"{name:<22}{1e3 * seconds / count:>8.1f} ms per track")


if __name__ == "__main__":
    main()
