"""Torch's files and tensors, which torch itself reads with `weights_only=True`: tensors, numbers and texts, nothing else."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from builder.types import SetupError
from builder.unpickle.pieces import MIB, Refused, shown


def numpy_of(tensor: Any) -> Any:
    import torch

    whole = tensor.detach()
    if whole.layout != torch.strided or whole.is_quantized:
        raise Refused("holds a sparse or quantized torch tensor; expected plain numbers")
    return (whole.float() if whole.dtype == torch.bfloat16 else whole.resolve_conj().resolve_neg()).cpu().numpy().copy()


def read_torch(file: Any, limit: int, what: str) -> Any:
    """What torch itself reads with `weights_only=True`: tensors in dictionaries and lists."""
    try:
        import torch
    except ImportError as error:
        raise SetupError(f"this file holds torch tensors, and torch cannot be imported ({error}); run: pip install torch") from None
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = {Path(name).name for name in archive.namelist()}
                if "data.pkl" not in names:
                    raise Refused("is a zip of something else; expected torch's data.pkl in it")
                if sum(member.file_size for member in archive.infolist()) > limit:
                    raise Refused(f"unpacks to more than {limit / MIB:g} MiB; is it the right file?")
        elif what == "torch":
            raise Refused("ends early; copy or download it again")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (Refused, SetupError):
        raise
    except Exception as error:  # torch raises whatever its readers in C++ and Python raise
        found = re.search(r"(?:GLOBAL|function|class) [`<]?([A-Za-z_][\w.]*)", str(error))
        if found:
            raise Refused(f"refused, nothing of it was run: it asks for {shown(found[1])}; expected tensors and numbers only") from None
        raise Refused(f"is damaged or no {what} file ({type(error).__name__}); copy or download it again") from None
