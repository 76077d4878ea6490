from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import uuid

import numpy as np
import pandas as pd
import pytest

from nbflow.model.errors import (
    ArtifactMissingError,
    DiskFullError,
    SignatureError,
    StorageError,
    UnpicklableError,
    ValueTooLargeError,
)
from nbflow.values.artifacts import LocalStore, open_store
from nbflow.values.digest import digest
from nbflow.values.signing import Signer
from nbflow.values.store import ValueStore

KEY = bytes(32)


@pytest.fixture(params=["local", "fsspec"])
def store(request, tmp_path):
    url = str(tmp_path / "artifacts") if request.param == "local" else f"memory://{uuid.uuid4().hex}/artifacts"
    return ValueStore(open_store(url), Signer(KEY))


@pytest.fixture
def local(tmp_path):
    return ValueStore(LocalStore(tmp_path), Signer(KEY))


def file_of(store, stored):
    return store.artifacts.folder / stored.uri


VALUES = [
    0, "text", None, True, 2.5, b"bytes", (1, "a"), ("a", "a"), [1, [2]], {"a": {1}}, "x" * 10_000, list(range(10_000)),
    np.arange(3), np.arange(10_000.0), [np.arange(5000), np.zeros((7, 3), order="F")], np.array([], dtype=int),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{str(value)[:12]}")
def test_values_come_back_and_carry_their_digest(store, value):
    stored = store.put(value, "a value")
    np.testing.assert_equal(store.get(stored), value)
    assert stored.digest == digest(value)
    assert stored.type == f"{'numpy.' if isinstance(value, np.ndarray) else ''}{type(value).__name__}"
    assert (stored.data is None) == (stored.uri is not None) == (stored.size > 9000)


def test_frames_come_back(store):
    frame = pd.DataFrame({"a": np.arange(5000), "b": ["x"] * 5000})
    pd.testing.assert_frame_equal(store.get(store.put(frame, "a frame")), frame)


@pytest.mark.parametrize("size", [3, 100_000], ids=["small", "large"])
def test_what_a_reader_changes_nobody_else_sees(store, size):
    array = np.zeros(size)
    stored = store.put(array, "an array")
    mine = store.get(stored)
    mine[:] = 1
    array[:] = 2
    assert store.get(stored).sum() == 0


def test_equal_values_share_one_file(local):
    stored = [local.put(np.arange(10_000) + 0, "an array") for _ in range(2)]
    assert stored[0] == stored[1]
    assert [name for name, _, _ in local.artifacts.names()] == [stored[0].uri]


def test_another_process_reads_the_same_values(local):
    stored = local.put(np.arange(10_000), "an array")
    code = (
        "import pickle, sys; from nbflow.values.store import ValueStore;"
        "config, stored = pickle.load(sys.stdin.buffer); print(ValueStore.from_config(config).get(stored).sum())"
    )
    data = pickle.dumps((local.config(), stored))
    result = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert result.stdout.strip() == b"49995000"


def test_references_are_put_in_again(store):
    class Placeholder:
        pass

    placeholder = Placeholder()
    stored = store.pack(([placeholder, 1], {}), "arguments", lambda found: 0 if found is placeholder else None)
    assert store.unpack(stored, ["value"]) == (["value", 1], {})


def test_seals_hold_for_data_and_for_whole_stored_values(local):
    small, large = local.put([1], "a list"), local.put(np.arange(10_000), "an array")
    assert local.unseal(local.seal(small.data)) == small.data
    for stored in (small, large):
        assert local.unseal_stored(local.seal_stored(stored)) == stored
    with pytest.raises(SignatureError):
        local.unseal_stored(local.seal_stored(small)[:-1] + b"x")


def test_sizes_are_limited(local):
    local.max_size, local.max_inputs_size = 1000, 100
    with pytest.raises(ValueTooLargeError, match=r"the result of step 'a'.*NBFLOW_MAX_VALUE_SIZE") as caught:
        local.put("x" * 2000, "the result of step 'a'")
    assert (caught.value.size > 2000, caught.value.limit) == (True, 1000)
    with pytest.raises(ValueTooLargeError, match="NBFLOW_MAX_INPUTS_SIZE"):
        local.pack_inputs(("x" * 200,), {}, "step 'a'")
    assert local.artifacts.names() == []


def test_an_argument_that_cannot_be_stored_is_named(local):
    with pytest.raises(UnpicklableError, match=r"argument 'frame' of step 'a'.*\['conn'\]: _thread.lock"):
        local.pack_inputs((1,), {"frame": {"conn": threading.Lock()}}, "step 'a'")


def test_a_missing_artifact_is_named(store):
    stored = store.put(np.arange(10_000), "an array")
    assert store.exists(stored.uri)
    store.artifacts.delete(stored.uri)
    assert not store.exists(stored.uri)
    with pytest.raises(ArtifactMissingError, match=stored.uri) as caught:
        store.get(stored)
    assert caught.value.name == stored.uri


@pytest.mark.parametrize("position", [0, 10, 70, 200, 40_000, -1], ids=str)
def test_a_changed_artifact_is_refused(local, position):
    stored = local.put(np.arange(10_000), "an array")
    path = file_of(local, stored)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(SignatureError, match=stored.uri):
        local.get(stored)


@pytest.mark.parametrize("size", [0, 10, 64, 100, 50_000])
def test_a_truncated_artifact_is_refused(local, size):
    stored = local.put(np.arange(10_000), "an array")
    path = file_of(local, stored)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SignatureError):
        local.get(stored)


def test_a_file_cannot_stand_in_for_another(local):
    one, two = (local.put(np.arange(10_000) + number, "an array") for number in (0, 1))
    file_of(local, one).write_bytes(file_of(local, two).read_bytes())
    with pytest.raises(SignatureError):
        local.get(one)


def test_a_file_of_another_deployment_is_not_read(local, tmp_path):
    stored = local.put(np.arange(10_000), "an array")
    with pytest.raises(SignatureError):
        ValueStore(LocalStore(tmp_path), Signer(b"x" * 32)).get(stored)


def test_a_damaged_file_is_replaced_when_its_value_is_stored_again(local):
    value = np.arange(10_000)
    stored = local.put(value, "an array")
    file_of(local, stored).write_bytes(b"")
    assert (local.get(local.put(value, "an array")) == value).all()


def test_a_failed_write_leaves_nothing(local, tmp_path):
    with pytest.raises(TypeError):
        local.artifacts.write("ab/cd", [b"x", 3])
    assert local.artifacts.names() == []
    blocked = ValueStore(LocalStore(tmp_path / "file"), Signer(KEY))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="rights"):
        blocked.put(np.arange(10_000), "an array")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are POSIX")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    # A limit on file size is the one way to a failing write that needs no rights.
    code = f"""
import resource, signal
import numpy
from nbflow.model.errors import DiskFullError
from nbflow.values.artifacts import LocalStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
store = LocalStore({str(tmp_path)!r})
try:
    store.write("ab/cd", [bytes(100_000)])
except DiskFullError as error:
    print(error, store.names())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no space left" in result.stdout
    assert result.stdout.strip().endswith("[]")
    assert issubclass(DiskFullError, StorageError)


def test_the_store_wakes_nothing_heavy():
    code = """
import sys
from nbflow.values.artifacts import open_store
from nbflow.values.signing import Signer
from nbflow.values.store import ValueStore
store = ValueStore(open_store("x"), Signer(bytes(32)))
assert store.get(store.put([1, {"a": (2,)}], "a value")) == [1, {"a": (2,)}]
print([name for name in ("cloudpickle", "fsspec", "numpy", "pandas", "sqlalchemy") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
