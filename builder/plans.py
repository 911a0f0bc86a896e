"""A work folder remembers what it is for: the plan of the last build that began in it, so that `status WORK` needs no more words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder import recipe, store
from builder.pipeline import Plan
from builder.types import StoreError

FILE = "plan.json"
FORMAT = "humanmovevqa-plan/1"


def remember(plan: Plan, recipe_name: str, changes: Mapping[str, Any], workers: int) -> None:
    """Write the plan into its work folder.  Raises StoreError."""
    record = {
        "format": FORMAT,
        "sources": [[name, _place(root)] for name, root in plan.sources],
        "lifter": plan.lifter,
        "options": dict(plan.options),
        "recipe": str(Path(recipe_name).absolute()) if recipe_name.endswith(".toml") else recipe_name,
        "changes": dict(changes),
        "limit": plan.limit,
        "workers": workers,
    }
    store.write_atomic(plan.work / FILE, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def _place(root: str | None) -> str | None:
    """A folder or file as an absolute path; any other root, such as a number of scripted people, as it is."""
    return str(Path(root).absolute()) if root and not root[0].isdigit() and Path(root).exists() else root


def recall(work: Path) -> tuple[Plan, int]:
    """The plan of a work folder, and with how many processes it was begun.  Raises StoreError, and RecipeError for a lost recipe."""
    try:
        found = json.loads((work / FILE).read_bytes())
    except FileNotFoundError:
        there = "there is no such folder" if not work.is_dir() else f"it has no {FILE}"
        raise StoreError(
            f"{work}: expected the work folder of a build, and {there}; name the folder that `build --work` was given"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{work / FILE}: cannot be read ({error}); build again with this --work, which writes it anew") from None
    try:
        if found["format"] != FORMAT:
            raise KeyError("format")
        sources = tuple((str(name), None if root is None else str(root)) for name, root in found["sources"])
        used = recipe.load(str(found["recipe"]), **{"seed": int(found["changes"]["seed"])} if "seed" in found["changes"] else {})
        options = {str(k): str(v) for k, v in found["options"].items()}
        limit = None if found["limit"] is None else int(found["limit"])
        return Plan(sources, str(found["lifter"]), used, work, limit, options), int(found["workers"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise StoreError(f"{work / FILE}: expected a plan of format {FORMAT}; build again with this --work, which writes it anew") from None
