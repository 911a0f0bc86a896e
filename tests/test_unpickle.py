"""Other people's pickles: every form gives the same numbers, and nothing in a file is ever run."""

from __future__ import annotations

import collections
import gzip
import io
import os
import pickle
import struct
import sys
import types
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from scipy import sparse

from builder.types import SourceError
from builder.unpickle import read

# {"a": np.arange(3.0), "n": np.bool_(True), "e": np.zeros((0, 2))} as NumPy 1 under Python 2 and NumPy 2 under Python 3 leave it.
PYTHON_2_NUMPY_1 = (
    b"\x80\x02}q\x00(U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04(K\x01K\x03\x85"
    b"cnumpy\ndtype\nq\x05U\x02f8K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18"
    + struct.pack("<3d", 0, 1, 2)
    + b"tbU\x01ncnumpy.core.multiarray\nscalar\nq\x07h\x05U\x02b1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"U\x01\x01\x86RU\x01eh\x02h\x03K\x00\x85U\x01b\x87R(K\x01K\x00K\x02\x86h\x06\x89U\x00tbu."
)
MARK = "pwned"


def data() -> dict[str, Any]:
    """What the datasets' and lifters' files hold, in kind."""
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(4, 3)).astype(np.float32)
    return {
        "gender": "female",
        "emdb1": np.bool_(True),
        "n": np.int64(7),
        "camera": {"intrinsics": rng.normal(size=(3, 3)), "width": 1440},
        "poses": shared,
        "again": shared,
        "fortran": np.asfortranarray(rng.normal(size=(3, 5))),
        "big_endian": np.arange(4, dtype=">i4"),
        "empty": np.zeros((0, 4), np.int64),
        "scalar": np.array(2.5),
        "names": np.array(["a", "longer"]),
        "frames": [1, 2, (3.5, None)],
        3: {"nested": [np.zeros(2, bool)]},
    }


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert type(found) is dict
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, np.ndarray | np.generic | torch.Tensor):
        np.testing.assert_array_equal(found, np.asarray(expected))
        assert found.dtype == np.asarray(expected).dtype.newbyteorder("=")
        assert found.dtype.isnative
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_any_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data(), protocol))
    assert_same(read(tmp_path / "a.pkl"), data())


@pytest.mark.parametrize("protocol", [0, 2, 3])
def test_names_of_numpy_1(tmp_path: Path, protocol: int) -> None:
    old = pickle.dumps(data(), protocol).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core." in old
    (tmp_path / "a.pkl").write_bytes(old)
    assert_same(read(tmp_path / "a.pkl"), data())


def test_python_2(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(PYTHON_2_NUMPY_1)
    assert_same(read(tmp_path / "a.pkl"), {"a": np.arange(3.0), "n": np.bool_(True), "e": np.zeros((0, 2))})


@pytest.mark.parametrize("packing", [0, 3, ("zlib", 9), ("gzip", 3)])
def test_joblib(tmp_path: Path, packing: Any) -> None:
    people = collections.defaultdict(dict, data())
    joblib.dump(people, tmp_path / "a.pkl", compress=packing)
    assert_same(read(tmp_path / "a.pkl"), data())


def test_joblib_before_alignment(tmp_path: Path) -> None:
    """joblib 1.1 and older wrote no padding before an array."""
    from joblib import numpy_pickle

    class Old(numpy_pickle.NumpyPickler):
        def _create_array_wrapper(self, array: Any) -> Any:
            wrapper = super()._create_array_wrapper(array)
            wrapper.numpy_array_alignment_bytes = None
            return wrapper

    with open(tmp_path / "a.pkl", "wb") as file:
        Old(file).dump(data())
    assert_same(read(tmp_path / "a.pkl"), data())


def test_one_object_in_an_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", data(), allow_pickle=True)
    assert_same(read(tmp_path / "a.npy"), data())
    np.save(tmp_path / "b.npy", np.asfortranarray(np.ones((2, 3))))
    assert_same(read(tmp_path / "b.npy"), np.ones((2, 3)))


def tensors() -> dict[str, Any]:
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "whole": base,
        "part": base[1:3, ::2],
        "turned": base.T,
        "one": torch.tensor(3),
        "none": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "repeated": torch.tensor([2.0]).expand(5, 1).contiguous(),
        "learnt": torch.ones(2, requires_grad=True).detach(),
    }


def test_torch_tensors_within_a_pickle(tmp_path: Path) -> None:
    np.save(tmp_path / "hps_track_0.npy", tensors(), allow_pickle=True)
    assert_same(read(tmp_path / "hps_track_0.npy"), tensors())
    joblib.dump(tensors(), tmp_path / "a.pkl", compress=3)
    assert_same(read(tmp_path / "a.pkl"), tensors())


def test_torch_zip(tmp_path: Path) -> None:
    nested = {"smpl_params_global": tensors(), "K": [torch.eye(3), 4, "x"], "half": torch.ones(2, dtype=torch.bfloat16)}
    torch.save(nested, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    assert_same(found["smpl_params_global"], tensors())
    assert_same(found["K"], [np.eye(3, dtype=np.float32), 4, "x"])
    assert found["half"].dtype == np.float32


class Ch:
    """chumpy's array, by its name and by what it keeps."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self._dirty_vars, self._itr, self.dterms = x, {"x"}, None, ["x"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_body_model_objects(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    monkeypatch.setattr(Ch, "__module__", "chumpy.ch")
    regressor = sparse.random(24, 60, density=0.1, format="csc", random_state=np.random.default_rng(1))
    model = {"shapedirs": Ch(np.ones((60, 3, 10))), "J_regressor": regressor, "bs_style": "lbs"}
    pickled = pickle.dumps(model, protocol)
    old = pickled.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")  # SciPy's name when the models were made
    (tmp_path / "a.pkl").write_bytes(old)
    assert (old != pickled) == (protocol < 4)
    found = read(tmp_path / "a.pkl", body_model=True)
    assert_same(found, {"shapedirs": np.ones((60, 3, 10)), "J_regressor": regressor.toarray(), "bs_style": "lbs"})
    with pytest.raises(SourceError, match=r"chumpy\.ch\.Ch|_reconstructor|csc_matrix"):
        read(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("change", "value"),
    [("indices", np.array([70])), ("indices", np.array([-1])), ("indptr", np.zeros(3)), ("_shape", (1 << 20, 1 << 20)), ("data", None)],
)
def test_damaged_sparse_matrices(tmp_path: Path, change: str, value: Any) -> None:
    matrix = sparse.csc_matrix(([1.0], ([3], [2])), shape=(24, 60))
    vars(matrix)[change] = value
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"J_regressor": matrix}))
    with pytest.raises(SourceError, match="damaged sparse matrix"):
        read(tmp_path / "a.pkl", body_model=True)


# What must be refused


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hostile(mark: Path) -> Iterator[tuple[str, Any, str]]:
    """Name, object whose loading would leave the file `mark` behind, and the global that must be named."""
    touch = f"touch {mark}"
    yield "system", Calls(os.system, touch), "posix.system"
    yield "eval", Calls(eval, f"open({str(mark)!r}, 'w')"), "builtins.eval"
    yield "open", Calls(open, str(mark), "w"), "io.open"
    yield "getattr", Calls(getattr, Calls(__import__, "os"), "system"), "builtins.getattr"
    yield "load", Calls(pickle.loads, pickle.dumps(Calls(os.system, touch))), "_pickle.loads"
    yield "numpy", Calls(np.load, str(mark)), "numpy.load"
    yield "joblib", Calls(joblib.load, str(mark)), "joblib.numpy_pickle.load"
    yield "torch", Calls(torch.load, str(mark)), "torch.serialization.load"


def forms(folder: Path, value: Any) -> Iterator[Path]:
    """The object within every form of file."""
    nested: dict[str, Any] = {"poses": np.zeros(3), "deep": [{"x": (value,)}]}
    for protocol in range(6):
        (folder / f"p{protocol}.pkl").write_bytes(pickle.dumps(nested, protocol))
        yield folder / f"p{protocol}.pkl"
    for name, packing in (("plain", 0), ("zlib", 3), ("gzip", ("gzip", 3))):
        joblib.dump(nested, folder / f"joblib_{name}.pkl", compress=packing)
        yield folder / f"joblib_{name}.pkl"
    joblib.dump({"a": np.array([value, 1], dtype=object)}, folder / "joblib_objects.pkl")
    yield folder / "joblib_objects.pkl"
    np.save(folder / "object.npy", nested, allow_pickle=True)
    yield folder / "object.npy"
    np.save(folder / "objects.npy", np.array([value, 1], dtype=object), allow_pickle=True)
    yield folder / "objects.npy"
    nested["poses"] = torch.zeros(3)
    torch.save(nested, folder / "zip.pt")
    yield folder / "zip.pt"
    torch.save(nested, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    yield folder / "legacy.pt"
    storage = io.BytesIO()
    torch.save(value, storage, _use_new_zipfile_serialization=False)
    (folder / "storage.pkl").write_bytes(pickle.dumps({"pred_cam": Calls(torch.storage._load_from_bytes, storage.getvalue())}))
    yield folder / "storage.pkl"


@pytest.mark.parametrize("body_model", [False, True])
def test_hostile_files_run_nothing(tmp_path: Path, body_model: bool) -> None:
    mark = tmp_path / MARK
    count = 0
    for name, value, wanted in hostile(mark):
        folder = tmp_path / name
        folder.mkdir()
        for path in forms(folder, value):
            with pytest.raises(SourceError) as caught:
                read(path, body_model=body_model)
            message = str(caught.value)
            assert "\n" not in message
            assert message.startswith(f"{path}: ")
            if path.name not in ("legacy.pt", "joblib_objects.pkl"):  # refused before it comes to the global
                short = wanted.removeprefix("builtins.")  # torch leaves the module of a builtin out, Python 2 called it otherwise
                words = {wanted, wanted.removeprefix("_"), f"__builtin__.{short}", f"for {short};", "__import__"}
                assert any(word in message for word in words), message
            count += 1
    assert not mark.exists()
    assert count == 8 * 15


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    ("pickled", "expected"),
    [
        (opcodes(b"cnumpy\nndarray\n", b"J\xff\xff\xff\x7f\x85", b"\x81"), "calls a type"),
        (opcodes(b"cnumpy\nndarray\n", b"}b"), "gives a state"),
        (opcodes(b"cnumpy.core.multiarray\n_reconstruct\n", b"}U\x0c__defaults__N\x86sb"), "damaged|gives a state"),
        (opcodes(b"cnumpy\ndtype\n", b"N}U\x05valueK\x01s\x86b"), "gives a state"),
        (opcodes(b"cnumpy\nndarray\n"), "holds a"),
        (opcodes(b"cnumpy\ndtype\nU\x01O\x85R"), "holds"),
        (opcodes(b"cnumpy\ndtype\nU\x02V9\x85R"), "structures|expected numbers"),
        (opcodes(b"c__main__\nx\ny\n"), "__main__.x"),
        (opcodes(b"\x82\x01"), "damaged"),
        (opcodes(b"U\x01aQ"), "outside of the file"),
        (opcodes(b"]q\x00h\x00a"), "contains itself"),
        (opcodes(b"K\x01.K\x02"), "goes on for"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.", "ends early"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", "ends early"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x00.", "ends early"),
        (opcodes(b"(" * 3 + b"t" + b"\x85" * 100_000), "too deep"),
        (opcodes(b"}]U\x01as"), "damaged"),
        (b"", "is empty"),
        (b"\r\n<!DOCTYPE html><html>Please log in</html>", "web page"),
        (b"\xef\xbb\xbf<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello, world", "damaged or no pickle"),
        (b"BZh91AY&SY", "packed with bz2"),
        (b"\x93NUMPY\x01\x00\x02", "no .npy"),
        (b"PK\x03\x04" + bytes(40), "ends early"),
    ],
)
def test_damaged_and_crafted_files(tmp_path: Path, pickled: bytes, expected: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickled)
    with pytest.raises(SourceError, match=expected) as caught:
        read(tmp_path / "a.pkl")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.pkl") in str(caught.value)


def test_every_cut_is_one_line(tmp_path: Path) -> None:
    """A half-copied file of any form, cut anywhere."""
    joblib.dump(data(), tmp_path / "b.pkl", compress=3)
    np.save(tmp_path / "c.npy", data(), allow_pickle=True)
    torch.save(tensors(), tmp_path / "d.pt")
    wholes = {
        "a": pickle.dumps(data(), 2),
        "b": (tmp_path / "b.pkl").read_bytes(),
        "c": (tmp_path / "c.npy").read_bytes(),
        "d": (tmp_path / "d.pt").read_bytes(),
    }
    for name, whole in wholes.items():
        for share in np.linspace(0.02, 0.98, 25):
            (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(SourceError) as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_sizes_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "big.pkl").write_bytes(pickle.dumps(np.zeros(200_000)))
    assert read(tmp_path / "big.pkl").shape == (200_000,)
    with pytest.raises(SourceError, match=r"larger than expected \(1.5 MiB; at most 1\)"):
        read(tmp_path / "big.pkl", limit_bytes=1 << 20)
    (tmp_path / "bomb.pkl").write_bytes(zlib.compress(bytes(50 << 20), 9))
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50 << 20)))
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50 << 20))
    for name in ("bomb.pkl", "bomb.gz", "bomb.pt"):
        with pytest.raises(SourceError, match="unpacks to more than 1 MiB"):
            read(tmp_path / name, limit_bytes=1 << 20)
    shared: Any = ["x"]
    for _ in range(60):
        shared = [shared] * 2  # 2^60 texts, were it not kept shared
    (tmp_path / "laughs.pkl").write_bytes(pickle.dumps(shared))
    found = read(tmp_path / "laughs.pkl")
    assert found[0] is found[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = torch.zeros(2).as_strided((3, 3), (0, 0))
        np.save(tmp_path / "wide.npy", {"a": wide}, allow_pickle=True)
    with pytest.raises(SourceError, match="larger than its numbers"):
        read(tmp_path / "wide.npy")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.pkl: cannot be read"):
        read(tmp_path / "a.pkl")
