"""What the globals of a pickle become here: inert stand-ins that build numbers, and how these become plain data.

Nothing here has a method that a pickle could use, except through `Unpickler.load_build`.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from builder.unpickle.pieces import MIB, Refused, Stream, array_of, count, need_numbers, raw_bytes, shown, text_of
from builder.unpickle.torchfiles import numpy_of, read_torch

PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)
STORAGE_BYTES = 4096 * MIB
DENSE_MOST = 8 * MIB  # numbers of a sparse matrix when written out; a joint regressor has a fifth of a million


class _Object:
    """An instance whose state is only kept.  `value` is what stands for it in the data that `read` returns."""

    value: Any = None

    def fill(self, state: Any, stream: Stream) -> None:
        """Take the state that the pickle gives it."""
        raise Refused(f"gives a state to {type(self).__name__.strip('_')}, which has none")


class _Type(_Object):
    """NumPy's description of one number."""

    def __init__(self, code: Any = None, *flags: Any) -> None:
        self.object = text_of(code) in ("O", "O8", "|O")
        self.value = np.dtype(object)
        if not self.object:
            try:
                self.value = np.dtype(text_of(code))
            except TypeError:
                raise Refused(f"holds an array of an unknown kind, {text_of(code)[:40]!r}; expected numbers") from None
            need_numbers(self.value)

    def fill(self, state: Any, stream: Stream) -> None:
        """Byte order; anything else that a state can hold belongs to structures."""
        order, structure = text_of(state[1]), state[2:5]
        if any(part is not None for part in structure) or order not in ("<", ">", "|", "="):
            raise Refused("holds an array of structures; expected numbers")
        if not self.object:
            self.value = self.value.newbyteorder(order)


class _Array(_Object):
    """NumPy's array."""

    def fill(self, state: Any, stream: Stream) -> None:
        """(version, shape, type, Fortran order, bytes)."""
        _, shape, dtype, fortran, raw = state
        if dtype.object:
            if shape != () or not isinstance(raw, list) or len(raw) != 1:
                raise Refused(f"holds an array of Python objects of shape {shape}; expected numbers")
            self.value = raw[0]
        else:
            self.value = array_of(raw_bytes(raw), dtype.value, shape, bool(fortran))


class _JoblibArray(_Object):
    """joblib's array: its description is pickled, its bytes follow in the stream."""

    def fill(self, state: Any, stream: Stream) -> None:
        """The description; reads the bytes."""
        dtype, shape, order = state["dtype"], state["shape"], state["order"]
        if dtype.object:
            raise Refused(f"holds an array of Python objects of shape {shape}; expected numbers")
        if state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        raw = stream.read(count(shape) * dtype.value.itemsize)
        self.value = array_of(raw, dtype.value, shape, text_of(order) == "F")


class _Kept(_Object):
    """chumpy's array ("x" in its state) or SciPy's sparse matrix."""

    def fill(self, state: Any, stream: Stream) -> None:
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
        try:
            good = len(shape) == 2 and count(shape) <= DENSE_MOST and len(ends) == shape[1] + 1 and len(data) == len(rows) == ends[-1]
            if not good or (len(rows) and not 0 <= rows.min() <= rows.max() < shape[0]):
                raise Refused("holds a damaged sparse matrix")
            out = np.zeros(shape)
            np.add.at(out, (rows, np.repeat(np.arange(shape[1]), np.diff(ends))), data)
        except (TypeError, ValueError, IndexError, AttributeError):
            raise Refused("holds a damaged sparse matrix") from None
        return out


class _Storage(_Object):
    """The numbers of torch tensors, flat, as torch packs them into a plain pickle."""

    def __init__(self, packed: Any) -> None:
        storage = read_torch(io.BytesIO(raw_bytes(packed)), STORAGE_BYTES, "torch tensor")
        if not hasattr(storage, "_untyped_storage"):
            raise Refused("holds a torch tensor in a form that is not read; save it as NumPy arrays")
        import torch

        self.flat = plain(torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage))


class _Nothing:
    """Stands for a class or type that is only named, such as the base of an object."""

    def __init__(self, *arguments: Any) -> None:
        raise Refused("calls a type that is only expected as a name")

    def __new__(cls, *arguments: Any) -> _Nothing:
        """Never made."""
        raise Refused("calls a type that is only expected as a name")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _Nothing or shape != (0,):
        raise Refused("makes an array of another kind than NumPy's")
    return _Array()


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, _Object)) or base is not _Nothing or state is not None:
        raise Refused("makes an object that is not expected here")
    return kind()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Any:
    if dtype.object:
        raise Refused("holds an array of Python objects; expected numbers")
    array = array_of(raw_bytes(buffer), dtype.value, shape, order == "F")
    return array if axes is None else array.transpose(axes)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    if dtype.object:
        raise Refused("holds a Python object where a number is expected")
    return array_of(raw_bytes(raw), dtype.value, (), False)[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("encodes something else than bytes kept as text")
    return text.encode("latin1")


def _empty_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise Refused("makes bytes out of something else")
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
        raise Refused("holds a damaged torch tensor")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.zeros(size, flat.dtype)
    if last >= len(flat) or math.prod(size) > len(flat):
        raise Refused("holds a torch tensor that is larger than its numbers")
    steps = tuple(step * flat.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(flat[offset:], tuple(size), steps).copy()


def _spelt(modules: str, names: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{module}.{name}": value for module in modules.split() for name, value in names.items()}


def fill_of(instance: Any) -> Any:
    """The function that gives a stand-in its state; refuses to give anything else one."""
    if not isinstance(instance, _Object):
        raise Refused(f"gives a state to {type(instance).__name__}, which is not expected to have one")
    return instance.fill


def plain(data: Any, done: dict[int, Any] | None = None) -> Any:
    """Stand-ins and tensors replaced by what they stand for, all through dictionaries, lists and tuples.

    What is shared stays shared, so that a small file cannot grow; what contains itself is refused.
    """
    done = {} if done is None else done
    if isinstance(data, PLAIN) or (isinstance(data, np.ndarray) and not data.dtype.hasobject):
        return data
    if id(data) in done:
        if done[id(data)] is done:
            raise Refused("contains itself")
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
        elif "torch" in sys.modules and isinstance(data, sys.modules["torch"].Tensor):
            out = numpy_of(data)
        else:
            raise Refused(f"holds a {shown(type(data).__name__.strip('_'))}; expected numbers, texts and NumPy arrays")
    except RecursionError:
        raise Refused("is nested too deep") from None
    done[id(data)] = (data, out)  # the data too, or another could take its place in memory
    return out


def _key(key: Any) -> Any:
    try:
        frozenset((key,))
    except TypeError:
        raise Refused("has a dictionary key that is no text or number") from None
    return key


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
