"""`build_info.json` of a repo whose splits come from one build, from a part of one, or from several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from builder.hub.shards import Content, Unit

LEARNED, ATTACKED = "train", "test"  # the splits that the blind solvers' scores are about
BESIDE = ("validation", "builds", "parts")  # not of the build itself


def build_id(info: Mapping[str, Any]) -> str:
    """16 hex digits of a build's own numbers."""
    own = {key: value for key, value in info.items() if key not in BESIDE}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:16]


def merged(
    info: Mapping[str, Any], whole: Sequence[Unit], contents: Mapping[Unit, Content], mine: Sequence[Unit], there: Mapping[str, Any]
) -> dict[str, Any]:
    """What the repo's `build_info.json` says.

    `info` is the folder's own and `whole` its units; `contents` the repo's after the push, of which `mine` come from the folder
    and the others stay; `there` is the repo's file before.  A repo that holds one whole build gets that build's file.  Otherwise
    numbers that are not about exactly what is published (what was generated, how much of it can be guessed) are left out.
    """
    validation = {"validation": there["validation"]} if "validation" in there else {}
    own, theirs = _part(info), _part(there)
    known = there.get("builds", {})
    builds = {
        f"{source}/{split}": (own if (source, split) in mine else known.get(f"{source}/{split}", theirs))
        | {"lifter": (info if (source, split) in mine else there).get("lifters", {}).get(source, "unknown")}
        for source, split in sorted(contents)
    }
    ids = {part["build"] for part in builds.values()}
    if ids == {own["build"]} and set(contents) == set(whole):
        return {**info, **validation}
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (source, split), found in sorted(contents.items()):
        counts.setdefault(source, {})[split] = dict(found.counts)
    out: dict[str, Any] = {"version": info.get("version"), "counts": counts, "builds": builds, "lifters": _lifters(builds), **validation}
    attacked = {part["build"] for unit, part in builds.items() if unit.split("/")[1] in (LEARNED, ATTACKED)}
    present = {split for _, split in contents} >= {LEARNED, ATTACKED}
    for one, record in ((own, info), (theirs, there)):
        complete = {unit for unit in contents if unit[1] in (LEARNED, ATTACKED)} >= {
            u for u in _units(record) if u[1] in (LEARNED, ATTACKED)
        }
        if present and complete and attacked == {one["build"]} and "blind" in record:
            out |= {key: record[key] for key in ("blind", "max_blind") if key in record}
            break
    if len(ids) == 1:
        return out | {"recipe": info.get("recipe", {})}
    return out | {"parts": _parts(builds, contents)}


def _part(info: Mapping[str, Any]) -> dict[str, Any]:
    recipe = info.get("recipe", {})
    return {
        "build": build_id(info),
        "version": info.get("version"),
        "recipe": {"name": recipe.get("name"), "digest": recipe.get("digest")},
    }


def _units(info: Mapping[str, Any]) -> set[Unit]:
    return {(source, split) for source, splits in info.get("counts", {}).items() for split in splits}


def _lifters(builds: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    names: dict[str, set[str]] = {}
    for unit, part in builds.items():
        names.setdefault(unit.split("/")[0], set()).update(part["lifter"].split(", "))
    return {source: ", ".join(sorted(found)) for source, found in sorted(names.items())}


def _parts(builds: Mapping[str, Mapping[str, Any]], contents: Mapping[Unit, Content]) -> dict[str, Any]:
    """Split -> what its builds were, for the card; several are joined by commas."""
    out = {}
    for split in sorted({split for _, split in contents}):
        here = [part for unit, part in sorted(builds.items()) if unit.split("/")[1] == split]
        out[split] = {
            "version": _joined(part["version"] for part in here),
            "recipe": {key: _joined(part["recipe"][key] for part in here) for key in ("name", "digest")},
            "lifters": _joined(part["lifter"] for part in here),
            "questions": sum(found.rows for unit, found in contents.items() if unit[1] == split),
        }
    return out


def _joined(values: Any) -> str:
    return ", ".join(sorted({str(v) for v in values if v is not None})) or "unknown"
