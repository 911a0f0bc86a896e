"""Plugins are modules in a folder: the file name is the plugin's name, and the folder is the registry."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from builder.types import PluginError

PACKAGES = ("sources", "lifters", "questions", "models")


def names(package: str) -> list[str]:
    """Names of the plugins in `builder/<package>/`, sorted, without importing any."""
    folder = importlib.import_module(f"builder.{package}").__path__
    return sorted(m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_"))


def load(package: str, name: str, needs: Sequence[str] = ()) -> ModuleType:
    """The plugin module `name` of `package`, or the module of an outside dotted path ("mypkg.mylifter").

    Raises PluginError when there is none or when it lacks one of the attributes in `needs`.
    """
    known = names(package)
    if name in known:
        path = f"builder.{package}.{name}"
    elif "." in name and not name.startswith("."):
        path = name
    else:
        raise PluginError(f"no plugin {name!r} in {package}: expected one of {', '.join(known) or '(none)'}, or a dotted path to your own")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise PluginError(f"plugin {name!r} of {package} cannot be imported: no module named {error.name!r}; is it installed?") from error
    for attribute in needs:
        if not hasattr(module, attribute):
            raise PluginError(f"plugin {name!r} of {package} ({module.__file__}) lacks {attribute!r}; see CONTRIBUTING.md")
    return module
