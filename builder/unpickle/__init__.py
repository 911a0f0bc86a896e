"""Reads other people's pickles as plain data, and runs nothing in them.

Datasets and lifters leave pickles: plain ones of any protocol, joblib streams, dictionaries inside an `.npy`, torch files.  A
pickle is a program.  Here its every global is either one of the inert stand-ins of `standins`, which build numbers and nothing
else, or the file is refused with the global's name.  Neither numpy's, joblib's nor torch's own constructors are called by a file;
a torch zip goes through `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import io
import math
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, ClassVar

import numpy as np

from builder.types import SourceError
from builder.unpickle.pieces import MIB, Refused, Stream, array_of, need_numbers, shown
from builder.unpickle.standins import BODY_MODEL, GLOBALS, fill_of, plain
from builder.unpickle.torchfiles import read_torch

LIMIT_BYTES = 64 * MIB  # the largest fit file of the datasets; readers of larger files say so
ZLIB, GZIP, ZIP, NPY = b"\x78", b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY"
OTHER_PACKINGS = {b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x5d\x00\x00": "lzma", b"\x04\x22\x4d\x18": "lz4", b"ZF": "an old joblib"}


def read(path: str | Path, limit_bytes: int = LIMIT_BYTES, body_model: bool = False) -> Any:
    """The data in one file: dictionaries, lists, tuples, texts, numbers and NumPy arrays (torch's tensors become these).

    Plain pickles of any protocol, by Python 2 or 3 and NumPy 1 or 2; joblib streams, plain or packed with zlib or gzip; an `.npy`
    that holds one object; torch zip files.  `limit_bytes` bounds the file and what it unpacks to.  `body_model` also lets chumpy's
    arrays and SciPy's sparse matrices in, as arrays.  Raises SourceError, one line naming the file and, if that is why, the global
    that it asks for; and SetupError when torch is missing for a torch file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = path.stat().st_size
            if size > limit_bytes:
                raise Refused(f"is larger than expected ({size / MIB:.1f} MiB; at most {limit_bytes / MIB:g}); is it the right file?")
            return _data(file, size, limit_bytes, GLOBALS | BODY_MODEL if body_model else GLOBALS)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Refused as refused:
        raise SourceError(f"{path}: {refused}") from None


def _data(file: Any, size: int, limit: int, known: Mapping[str, Any]) -> Any:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise Refused("is empty; copy or download it again")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise Refused("is a web page, not data: the download asked for a login or failed; download it again")
    if start.startswith(b"version https://git-lfs"):
        raise Refused("is a Git LFS pointer, not the data; fetch it with `git lfs pull`")
    if head.startswith(ZIP):
        return plain(read_torch(file, limit, "torch"))
    if head.startswith((ZLIB, GZIP)):
        file, size = _unpacked(file, limit)
        head = file.read(8)
        file.seek(0)
    for magic, name in OTHER_PACKINGS.items():
        if head.startswith(magic):
            raise Refused(f"is packed with {name}, which is not read; write it again without compression")
    if head.startswith(NPY):
        return _npy(file, size, known)
    return _unpickled(Stream(file, size), known)


def _unpacked(file: Any, limit: int) -> tuple[io.BytesIO, int]:
    """The unpacked content of a zlib or gzip file, never more than `limit` bytes of it."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    out = io.BytesIO()
    try:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(MIB)
            piece = unpacker.decompress(packed, MIB)
            if not packed and not piece:
                raise Refused("ends early; copy or download it again")
            out.write(piece)
            if out.tell() > limit:
                raise Refused(f"unpacks to more than {limit / MIB:g} MiB; is it the right file?")
    except zlib.error as error:
        raise Refused(f"is damaged ({error}); copy or download it again") from None
    size = out.tell()
    out.seek(0)
    return out, size


def _npy(file: Any, size: int, known: Mapping[str, Any]) -> Any:
    """An `.npy`: an array, or the one object that an array without dimensions holds."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except (ValueError, SyntaxError, TokenError) as error:  # the last two from numpy's attempts to read a spoilt header
        raise Refused(f"is no .npy ({' '.join(str(error).split())[:100]})") from None
    if dtype.hasobject:
        return _unpickled(Stream(file, size - file.tell()), known)
    need_numbers(dtype)
    raw = Stream(file, size - file.tell()).read(math.prod(shape) * dtype.itemsize)
    return array_of(raw, dtype, shape, fortran)


_Python: Any = pickle._Unpickler  # type: ignore[attr-defined,unused-ignore]


class _Unpickler(_Python):
    """Python's own reader in Python: the one in C makes room for whatever a file claims, and cannot stop where joblib's arrays begin."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, stream: Stream, known: Mapping[str, Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self.stream, self.known = stream, known

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global."""
        if f"{module}.{name}" not in self.known:
            raise Refused(
                f"refused, nothing of it was run: it asks for {shown(module)}.{shown(name)}; "
                "expected numbers, texts and NumPy arrays only. Write it again with these"
            )
        return self.known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Any:
        """There are no other files to refer to."""
        raise Refused("refers to data outside of the file")

    def load_build(self) -> None:
        """Only stand-ins take a state; a class or a function would be changed by it for good."""
        state = self.stack.pop()
        instance = self.stack[-1]
        fill_of(instance)(state, self.stream)

    def load_bytearray8(self) -> None:
        """As Python's, but without first making room for the length that the file claims."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _unpickled(stream: Stream, known: Mapping[str, Any]) -> Any:
    try:
        data = _Unpickler(stream, known).load()
    except Refused:
        raise
    except RecursionError:
        raise Refused("is nested too deep") from None
    except Exception as error:  # a damaged stream can break its reader in any way, and none of them is a bug of ours
        raise Refused(f"is damaged or no pickle at all ({type(error).__name__}); copy or download it again") from None
    if stream.left:
        raise Refused(f"goes on for {stream.left} bytes after its data, as torch's old files do; save it again in a form of today")
    return plain(data)
