"""`build_info.json` of a repo whose splits come from one build, from a part of one, or from several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from builder.hub.shards import Content, Unit

LEARNED, ATTACKED = "train", "test"  # the splits that the blind solvers' scores are about
BESIDE = ("validation", "builds", "parts", "blind_of")  # not of the build itself


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
    builds = {"/".join(unit): _part(info, unit) if unit in mine else _kept(there, unit) for unit in sorted(contents)}
    ids = {part["build"] for part in builds.values()}
    if ids == {build_id(info)} and set(contents) == set(whole):
        return {**info, **validation}
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (source, split), found in sorted(contents.items()):
        counts.setdefault(source, {})[split] = dict(found.counts)
    out: dict[str, Any] = {"version": info.get("version"), "counts": counts, "builds": builds, "lifters": _lifters(builds), **validation}
    for record in (info, there):
        if _tells_of(record, builds):
            out |= {key: record[key] for key in ("blind", "max_blind") if key in record} | {"blind_of": _attacked(record)}
            break
    if len(ids) == 1:
        return out | {"recipe": info.get("recipe", {})}
    return out | {"parts": _parts(builds, contents)}


def _tells_of(record: Mapping[str, Any], builds: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a build's blind scores are about exactly the training and test splits that are published."""
    published = {unit: part["build"] for unit, part in builds.items() if unit.split("/")[1] in (LEARNED, ATTACKED)}
    made = {f"{source}/{split}" for source, splits in record.get("counts", {}).items() for split in splits if split in (LEARNED, ATTACKED)}
    both = {unit.split("/")[1] for unit in published} == {LEARNED, ATTACKED}
    return both and set(published) == made and set(published.values()) == {_attacked(record)} and "blind" in record


def _attacked(record: Mapping[str, Any]) -> str:
    """The build that a file's blind scores are about."""
    return str(record.get("blind_of") or build_id(record))


def _part(info: Mapping[str, Any], unit: Unit) -> dict[str, Any]:
    """What is known of one source and split of a build."""
    recipe = info.get("recipe", {})
    return {
        "build": build_id(info),
        "version": info.get("version"),
        "recipe": {"name": recipe.get("name"), "digest": recipe.get("digest")},
        "lifter": info.get("lifters", {}).get(unit[0], "unknown"),
    }


def _kept(there: Mapping[str, Any], unit: Unit) -> dict[str, Any]:
    """The same of one that stays in the repo: as an earlier push has put it down, else of the one build that was there."""
    return dict(there.get("builds", {}).get("/".join(unit)) or _part(there, unit))


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
