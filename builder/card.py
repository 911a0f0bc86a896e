"""A dataset's page on the Hub: the card, filled in from the build, and `eval.yaml`, which names the tasks that leaderboards list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import schema
from builder.types import CATEGORIES, BuildError

ALL = "all"
TEMPLATE = Path(__file__).resolve().parent.parent / "cards" / "dataset.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
NOWHERE = "ORGANISATION/humanmovevqa"  # stands in the card for a repo that is not known yet
TEST = "test"

Listing = Mapping[str, Mapping[str, list[str]]]


def render(
    info: Mapping[str, Any],
    about: Mapping[str, Mapping[str, Any]],
    listing: Listing,
    total: int,
    repo: str = "",
    playing: Sequence[str] = (),
) -> str:
    """The dataset card: front matter with every config's files, then `cards/dataset.md` filled in from the build.

    `info` is `build_info.json`, `about[source]` a source's ABOUT, `listing` config -> split -> paths, `total` the number of
    rows, `repo` the id on the Hub (empty: not published yet), `playing` the sources whose clips are in it.
    """
    import jinja2
    from huggingface_hub import DatasetCardData

    front: dict[str, Any] = {
        "pretty_name": "HumanMoveVQA",
        "license": "other",
        "license_name": "terms-per-source",
        "language": ["en"],
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "size_categories": [next((name for bound, name in SIZES if total < bound), "n>10M")],
        "tags": ["benchmark", "video", "human-motion", "spatial-reasoning", "multiple-choice", "smpl-x"],
        "configs": [
            {"config_name": config, "data_files": [{"split": s, "path": list(paths)} for s, paths in splits.items()]}
            | ({"default": True} if config == ALL else {})
            for config, splits in listing.items()
        ],
    }
    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    try:
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(f"card template {TEMPLATE} is missing; install the project again, its folder `cards` belongs to it") from None
    sources = [config for config in listing if config != ALL]
    terms = {source: about.get(source, {}) for source in sources}
    known = {"about": terms, "sources": sources, "splits": list(listing[ALL]), "total": total}
    closed = [source for source in sources if terms[source].get("redistribution") != "open"]
    place = {"repo": repo or NOWHERE, "playing": sorted(playing), "closed": closed}
    body = template.render({**info, **known, **place, "columns": schema.COLUMNS, "categories": CATEGORIES})
    return f"---\n{DatasetCardData(**front).to_yaml()}\n---\n{body}"


def tasks(listing: Listing) -> str:
    """`eval.yaml`: the whole test split, each source's, and each category's; empty where there is no test split.

    The Hub's format for benchmark datasets (hub-docs, docs/hub/eval-results.md); ids are what results refer to.
    """
    sources = [config for config, splits in listing.items() if config != ALL and TEST in splits]
    if not sources:
        return ""
    lines = [
        "name: HumanMoveVQA",
        "description: Multiple-choice questions about where a person in a video went and which way they faced. "
        "Values are chance-normalised scores, 100 for all right and 0 for guessing.",
        "evaluation_framework: humanmovevqa",
        "tasks:",
    ]
    for task, config in [("overall", ALL), *((s, s) for s in sources), *((c, ALL) for c in CATEGORIES)]:
        lines += [f"- id: {task}", f"  config: {config}", f"  split: {TEST}"]
    return "\n".join(lines) + "\n"
