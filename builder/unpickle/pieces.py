"""Bytes, texts and arrays out of somebody's file, each checked before it is believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MIB = 1 << 20
KINDS = "?fiubcSU"  # of numbers and texts; no objects, no structures, no dates


class Refused(Exception):
    """What is wrong with the file, in words that follow its name."""


class Stream:
    """A file that never gives, nor makes room for, more than there is."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, size

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes.  Refuses when there are fewer."""
        if not 0 <= count <= self.left:
            raise Refused("ends early; copy or download it again")
        self.left -= count
        return bytes(self.file.read(count))

    def readline(self) -> bytes:
        """Up to the end of a line."""
        line = bytes(self.file.readline(min(self.left, MIB)))
        self.left -= len(line)
        return line


def need_numbers(dtype: Any) -> None:
    if dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype is not None:
        raise Refused(f"holds an array of {dtype}; expected numbers or texts")


def count(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
        raise Refused("holds an array with a damaged shape")
    return math.prod(int(n) for n in shape)


def array_of(raw: bytes, dtype: Any, shape: Any, fortran: bool) -> Any:
    if count(shape) * dtype.itemsize != len(raw):
        raise Refused(f"holds an array of shape {shape} with {len(raw)} bytes of {dtype}")
    if not dtype.itemsize:
        return np.zeros(shape, dtype) if count(shape) <= MIB else refuse("holds an array of endless empty texts")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="K")


def refuse(problem: str) -> Any:
    raise Refused(problem)


def raw_bytes(data: Any) -> bytes:
    """The bytes of an array; Python 2 kept them as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    raise Refused("holds an array without its bytes")


def text_of(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def shown(name: str) -> str:
    """A name from a file, fit for one line of a terminal."""
    return "".join(c if c.isprintable() and c != " " else "?" for c in name)[:80]
