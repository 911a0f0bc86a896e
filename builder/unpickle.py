"""Reads other people's pickles as plain data, and runs nothing in them.

Datasets and lifters leave pickles: plain ones of any protocol, joblib streams, dictionaries inside an `.npy`, torch files.  A
pickle is a program.  Here its every global is either one of the inert stand-ins of a table below, which build numbers and
nothing else, or the file is refused with the global's name.  Neither numpy's, joblib's nor torch's own constructors are called by
a file; a torch zip goes through `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from builder.types import SetupError, SourceError

MIB = 1 << 20
LIMIT_BYTES = 64 * MIB  # the largest fit file of the datasets; readers of larger files say so
ZLIB, GZIP, ZIP, NPY = b"\x78", b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY"
OTHER_PACKINGS = {b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x5d\x00\x00": "lzma", b"\x04\x22\x4d\x18": "lz4", b"ZF": "an old joblib"}
KINDS = "?fiubcSU"  # of numbers and texts; no objects, no structures, no dates
PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)


class _Refused(Exception):
    """What is wrong with the file, in words that follow its name."""


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
                raise _Refused(f"is larger than expected ({size / MIB:.1f} MiB; at most {limit_bytes / MIB:g}); is it the right file?")
            return _data(file, size, limit_bytes, GLOBALS | BODY_MODEL if body_model else GLOBALS)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except _Refused as refused:
        raise SourceError(f"{path}: {refused}") from None


def _data(file: Any, size: int, limit: int, known: Mapping[str, Any]) -> Any:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise _Refused("is empty; copy or download it again")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise _Refused("is a web page, not data: the download asked for a login or failed; download it again")
    if start.startswith(b"version https://git-lfs"):
        raise _Refused("is a Git LFS pointer, not the data; fetch it with `git lfs pull`")
    if head.startswith(ZIP):
        return plain(_torch(file, limit, "torch"))
    if head.startswith((ZLIB, GZIP)):
        file, size = _unpacked(file, limit)
        head = file.read(8)
        file.seek(0)
    for magic, name in OTHER_PACKINGS.items():
        if head.startswith(magic):
            raise _Refused(f"is packed with {name}, which is not read; write it again without compression")
    if head.startswith(NPY):
        return _npy(file, size, known)
    return _unpickled(_Stream(file, size), known)


def _unpacked(file: Any, limit: int) -> tuple[io.BytesIO, int]:
    """The unpacked content of a zlib or gzip file, never more than `limit` bytes of it."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    out = io.BytesIO()
    try:
        while not unpacker.eof:
            packed = unpacker.unconsumed_tail or file.read(MIB)
            piece = unpacker.decompress(packed, MIB)
            if not packed and not piece:
                raise _Refused("ends early; copy or download it again")
            out.write(piece)
            if out.tell() > limit:
                raise _Refused(f"unpacks to more than {limit / MIB:g} MiB; is it the right file?")
    except zlib.error as error:
        raise _Refused(f"is damaged ({error}); copy or download it again") from None
    size = out.tell()
    out.seek(0)
    return out, size


def _npy(file: Any, size: int, known: Mapping[str, Any]) -> Any:
    """An `.npy`: an array, or the one object that an array without dimensions holds."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except ValueError as error:
        raise _Refused(f"is no .npy ({' '.join(str(error).split())[:100]})") from None
    if dtype.hasobject:
        return _unpickled(_Stream(file, size - file.tell()), known)
    _need_numbers(dtype)
    raw = _Stream(file, size - file.tell()).read(math.prod(shape) * dtype.itemsize)
    return _array(raw, dtype, shape, fortran)


class _Stream:
    """A file that never gives, nor makes room for, more than there is."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, size

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes.  Refuses when there are fewer."""
        if not 0 <= count <= self.left:
            raise _Refused("ends early; copy or download it again")
        self.left -= count
        return bytes(self.file.read(count))

    def readline(self) -> bytes:
        """Up to the end of a line."""
        line = bytes(self.file.readline(min(self.left, MIB)))
        self.left -= len(line)
        return line


# What globals become.  Nothing here has a method that a pickle could use, except through `_Unpickler.load_build`.


class _Object:
    """An instance whose state is only kept.  `value` is what stands for it in the data that `read` returns."""

    value: Any = None

    def fill(self, state: Any, stream: _Stream) -> None:
        """Take the state that the pickle gives it."""
        raise _Refused(f"gives a state to {type(self).__name__.strip('_')}, which has none")


class _Type(_Object):
    """NumPy's description of one number."""

    def __init__(self, code: Any = None, *flags: Any) -> None:
        self.object = _text(code) in ("O", "O8", "|O")
        self.value = np.dtype(object)
        if not self.object:
            try:
                self.value = np.dtype(_text(code))
            except TypeError:
                raise _Refused(f"holds an array of an unknown kind, {_text(code)[:40]!r}; expected numbers") from None
            _need_numbers(self.value)

    def fill(self, state: Any, stream: _Stream) -> None:
        """Byte order; anything else that a state can hold belongs to structures."""
        order, structure = _text(state[1]), state[2:5]
        if any(part is not None for part in structure) or order not in ("<", ">", "|", "="):
            raise _Refused("holds an array of structures; expected numbers")
        if not self.object:
            self.value = self.value.newbyteorder(order)


class _Array(_Object):
    """NumPy's array."""

    def fill(self, state: Any, stream: _Stream) -> None:
        """(version, shape, type, Fortran order, bytes)."""
        _, shape, dtype, fortran, raw = state
        if dtype.object:
            if shape != () or not isinstance(raw, list) or len(raw) != 1:
                raise _Refused(f"holds an array of Python objects of shape {shape}; expected numbers")
            self.value = raw[0]
        else:
            self.value = _array(_raw(raw), dtype.value, shape, bool(fortran))


class _JoblibArray(_Object):
    """joblib's array: its description is pickled, its bytes follow in the stream."""

    def fill(self, state: Any, stream: _Stream) -> None:
        """The description; reads the bytes."""
        dtype, shape, order = state["dtype"], state["shape"], state["order"]
        if dtype.object:
            raise _Refused(f"holds an array of Python objects of shape {shape}; expected numbers")
        if state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        raw = stream.read(_count(shape) * dtype.value.itemsize)
        self.value = _array(raw, dtype.value, shape, _text(order) == "F")


class _Kept(_Object):
    """chumpy's array ("x" in its state) or SciPy's sparse matrix."""

    def fill(self, state: Any, stream: _Stream) -> None:
        """The array that the state holds, if it holds one."""
        if "x" in state:
            self.value = state["x"]
        elif {"data", "indices", "indptr", "_shape"} <= state.keys():
            self.value = _Sparse(state)


class _Sparse(_Object):
    """A compressed sparse column matrix; dense in the end, because a joint regressor is small."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = {name: state[name] for name in ("data", "indices", "indptr", "_shape")}

    def dense(self) -> Any:
        """The matrix (rows, columns).  Refuses indices that are no indices."""
        data, rows, ends, shape = (plain(part) for part in self.state.values())
        if len(shape) != 2 or not 0 <= _count(shape) <= 64 * MIB or len(ends) != shape[1] + 1 or not len(data) == len(rows) == ends[-1]:
            raise _Refused("holds a damaged sparse matrix")
        columns = np.repeat(np.arange(shape[1]), np.diff(ends))
        out = np.zeros(shape)
        np.add.at(out, (rows, columns), data)
        return out


class _Storage(_Object):
    """The numbers of torch tensors, flat, as torch packs them into a plain pickle."""

    def __init__(self, packed: Any) -> None:
        storage = _torch(io.BytesIO(_raw(packed)), LIMIT_BYTES * 64, "torch tensor")
        if not hasattr(storage, "_untyped_storage"):
            raise _Refused("holds a torch tensor in a form that is not read; save it as NumPy arrays")
        import torch

        self.flat = plain(torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage))


class _Nothing:
    """Stands for a class or type that is only named, such as the base of an object."""

    def __init__(self, *arguments: Any) -> None:
        raise _Refused("calls a type that is only expected as a name")

    def __new__(cls, *arguments: Any) -> _Nothing:
        """Never made."""
        raise _Refused("calls a type that is only expected as a name")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _Nothing or shape != (0,):
        raise _Refused("makes an array of another kind than NumPy's")
    return _Array()


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, _Object)) or base is not _Nothing or state is not None:
        raise _Refused("makes an object that is not expected here")
    return kind()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    if dtype.object:
        raise _Refused("holds an array of Python objects; expected numbers")
    array = _array(_raw(buffer), dtype.value, shape, order == "F")
    return array if axes is None else array.transpose(axes)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    if dtype.object:
        raise _Refused("holds a Python object where a number is expected")
    return _array(_raw(raw), dtype.value, (), False)[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("encodes something else than bytes kept as text")
    return text.encode("latin1")


def _empty_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise _Refused("makes bytes out of something else")
    return b""


def _dict(*arguments: Any) -> dict[Any, Any]:
    """Of dict, OrderedDict() and defaultdict(dict): their items follow one by one, or as a list of pairs."""
    pairs = [] if not arguments or arguments[0] is None or callable(arguments[0]) else arguments[0]
    return {key: value for key, value in pairs}


def _set(items: Any = ()) -> list[Any]:
    return list(items)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
    flat = storage.flat
    numbers = (offset, *size, *stride)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(size) != len(stride):
        raise _Refused("holds a damaged torch tensor")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.zeros(size, flat.dtype)
    if last >= len(flat) or math.prod(size) > len(flat):
        raise _Refused("holds a torch tensor that is larger than its numbers")
    steps = tuple(step * flat.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(flat[offset:], tuple(size), steps).copy()


def _spelt(modules: str, names: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{module}.{name}": value for module in modules.split() for name, value in names.items()}


GLOBALS: dict[str, Any] = {
    **_spelt("numpy.core.multiarray numpy._core.multiarray", {"_reconstruct": _reconstruct, "scalar": _scalar}),
    **_spelt("numpy.core.numeric numpy._core.numeric", {"_frombuffer": _frombuffer}),
    **_spelt("numpy", {"ndarray": _Nothing, "dtype": _Type}),
    **_spelt("_codecs", {"encode": _encode}),
    **_spelt("builtins __builtin__", {"bytes": _empty_bytes, "dict": _dict, "list": _set, "set": _set}),
    **_spelt("collections", {"OrderedDict": _dict, "defaultdict": _dict}),
    **_spelt("joblib.numpy_pickle", {"NumpyArrayWrapper": _JoblibArray}),
    **_spelt("torch._utils", {"_rebuild_tensor_v2": _tensor}),
    **_spelt("torch.storage", {"_load_from_bytes": _Storage}),
}
BODY_MODEL: dict[str, Any] = {
    **_spelt("chumpy.ch chumpy", {"Ch": _Kept}),
    **_spelt("scipy.sparse.csc scipy.sparse._csc scipy.sparse", {"csc_matrix": _Kept}),
    **_spelt("copy_reg copyreg", {"_reconstructor": _reconstructor}),
    **_spelt("builtins __builtin__", {"object": _Nothing}),
}


_Python: Any = pickle._Unpickler  # type: ignore[attr-defined,unused-ignore]


class _Unpickler(_Python):
    """Python's own reader in Python: the one in C makes room for whatever a file claims, and cannot stop where joblib's arrays begin."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Python.dispatch)

    def __init__(self, stream: _Stream, known: Mapping[str, Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self.stream, self.known = stream, known

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global."""
        if f"{module}.{name}" not in self.known:
            raise _Refused(
                f"refused, nothing of it was run: it asks for {_shown(module)}.{_shown(name)}; "
                "expected numbers, texts and NumPy arrays only. Write it again with these"
            )
        return self.known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Any:
        """There are no other files to refer to."""
        raise _Refused("refers to data outside of the file")

    def load_build(self) -> None:
        """Only stand-ins take a state; a class or a function would be changed by it for good."""
        state = self.stack.pop()
        instance = self.stack[-1]
        if not isinstance(instance, _Object):
            raise _Refused(f"gives a state to {type(instance).__name__}, which is not expected to have one")
        instance.fill(state, self.stream)

    def load_bytearray8(self) -> None:
        """As Python's, but without first making room for the length that the file claims."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _unpickled(stream: _Stream, known: Mapping[str, Any]) -> Any:
    try:
        data = _Unpickler(stream, known).load()
    except _Refused:
        raise
    except RecursionError:
        raise _Refused("is nested too deep") from None
    except Exception as error:  # a damaged stream can break its reader in any way, and none of them is a bug of ours
        raise _Refused(f"is damaged or no pickle at all ({type(error).__name__}); copy or download it again") from None
    if stream.left:
        raise _Refused(f"goes on for {stream.left} bytes after its data, as torch's old files do; save it again in a form of today")
    return plain(data)


def plain(data: Any, done: dict[int, Any] | None = None) -> Any:
    """Stand-ins and tensors replaced by what they stand for, all through dictionaries, lists and tuples.

    What is shared stays shared, so that a small file cannot grow; what contains itself is refused.
    """
    done = {} if done is None else done
    if isinstance(data, PLAIN) or (isinstance(data, np.ndarray) and not data.dtype.hasobject):
        return data
    if id(data) in done:
        if done[id(data)] is done:
            raise _Refused("contains itself")
        return done[id(data)][1]
    done[id(data)] = done
    out: Any
    try:
        if isinstance(data, Mapping):
            out = {_key(plain(key, done)): plain(value, done) for key, value in data.items()}
        elif isinstance(data, list | tuple | set | frozenset):
            items = [plain(item, done) for item in data]
            out = tuple(items) if isinstance(data, tuple) else items
        elif isinstance(data, bytearray):
            out = bytes(data)
        elif isinstance(data, _Sparse):
            out = data.dense()
        elif isinstance(data, _Object):
            out = plain(data.value, done)
        elif type(data).__module__ == "torch" and hasattr(data, "numpy"):
            out = _numpy(data)
        else:
            raise _Refused(f"holds a {_shown(type(data).__name__.strip('_'))}; expected numbers, texts and NumPy arrays")
    except RecursionError:
        raise _Refused("is nested too deep") from None
    done[id(data)] = (data, out)  # the data too, or another could take its place in memory
    return out


def _key(key: Any) -> Any:
    try:
        frozenset((key,))
    except TypeError:
        raise _Refused("has a dictionary key that is no text or number") from None
    return key


def _numpy(tensor: Any) -> Any:
    import torch

    whole = tensor.detach()
    if whole.layout != torch.strided or whole.is_quantized:
        raise _Refused("holds a sparse or quantized torch tensor; expected plain numbers")
    return (whole.float() if whole.dtype == torch.bfloat16 else whole.resolve_conj().resolve_neg()).cpu().numpy().copy()


def _torch(file: Any, limit: int, what: str) -> Any:
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
                    raise _Refused("is a zip of something else; expected torch's data.pkl in it")
                if sum(member.file_size for member in archive.infolist()) > limit:
                    raise _Refused(f"unpacks to more than {limit / MIB:g} MiB; is it the right file?")
        elif what == "torch":
            raise _Refused("ends early; copy or download it again")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (_Refused, SetupError):
        raise
    except Exception as error:  # torch raises whatever its readers in C++ and Python raise
        found = re.search(r"(?:GLOBAL|function|class) [`<]?([A-Za-z_][\w.]*)", str(error))
        if found:
            raise _Refused(f"refused, nothing of it was run: it asks for {_shown(found[1])}; expected tensors and numbers only") from None
        raise _Refused(f"is damaged or no {what} file ({type(error).__name__}); copy or download it again") from None


def _need_numbers(dtype: Any) -> None:
    if dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype is not None:
        raise _Refused(f"holds an array of {dtype}; expected numbers or texts")


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(isinstance(n, int | np.integer) and n >= 0 for n in shape):
        raise _Refused("holds an array with a damaged shape")
    return math.prod(int(n) for n in shape)


def _array(raw: bytes, dtype: Any, shape: Any, fortran: bool) -> Any:
    if _count(shape) * dtype.itemsize != len(raw):
        raise _Refused(f"holds an array of shape {shape} with {len(raw)} bytes of {dtype}")
    if not dtype.itemsize:
        return np.zeros(shape, dtype) if _count(shape) <= MIB else _raise("holds an array of endless empty texts")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="K")


def _raise(problem: str) -> Any:
    raise _Refused(problem)


def _raw(data: Any) -> bytes:
    """The bytes of an array; Python 2 kept them as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    raise _Refused("holds an array without its bytes")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _shown(name: str) -> str:
    """A name from a file, fit for one line of a terminal."""
    return "".join(c if c.isprintable() and c != " " else "?" for c in name)[:80]
