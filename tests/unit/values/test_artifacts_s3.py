"""What can go wrong with artifacts on S3, and how they are kept whole."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nbflow.model.errors import ArtifactMissingError, ConfigError, NbflowError, StorageError
from nbflow.testing.store_suite import name_of
from nbflow.values.artifacts import FsspecStore, open_store
from nbflow.values.remote_errors import may_pass, translate, without_secrets
from tests.proxy import CuttingProxy
from tests.servers import S3Server, free_port, wait_until

pytestmark = pytest.mark.s3

NAME = name_of("a")
LARGE = 50 * 2**20  # bytes; goes up in parts


@pytest.fixture
def proxy(s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    """A proxy between the stores of a test and the server."""
    with CuttingProxy(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have botocore try everything once, so that a failure is told soon."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def _every_use(url: str) -> list[str]:
    """What all that can be done with a store raises, as texts."""
    store = FsspecStore(url, patience=0.0)
    uses = [
        lambda: store.write(NAME, [b"x"]), lambda: store.read(NAME), lambda: store.exists(NAME), store.names,
        lambda: store.delete(NAME), store.check,
    ]  # fmt: skip
    told = []
    for use in uses:
        with pytest.raises(NbflowError) as caught:
            use()
        assert not isinstance(caught.value, ArtifactMissingError)
        told.append(str(caught.value))
    return told


def test_a_missing_bucket_is_told_with_the_way_out(s3_url: str):
    for told in _every_use("s3://no-such-bucket/artifacts"):
        assert "the bucket of s3://no-such-bucket/artifacts" in told
        assert "Create it, or set the artifact store (NBFLOW_ARTIFACTS)" in told


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_wrong_key_is_told_without_showing_any(
    variable: str, s3_server: S3Server, s3_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, "wrong-but-still-secret")
    for told in _every_use(s3_url):
        assert s3_url in told
        assert "Check the key (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told
        assert "wrong-but-still-secret" not in told
        assert s3_server.secret not in told


def test_no_key_at_all_is_told(s3_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for told in _every_use(s3_url):
        assert "Check the key" in told


@pytest.mark.usefixtures("one_try")
def test_a_server_that_is_away_is_told(s3_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for told in _every_use(s3_url):
        assert f"{s3_url}" in told
        assert "does not answer" in told
        assert "AWS_ENDPOINT_URL" in told


def test_a_password_in_the_address_of_the_server_is_not_shown(s3_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:secret-word@127.0.0.1:{free_port()}")
    with pytest.raises(StorageError, match="does not answer") as caught:
        FsspecStore(s3_url, patience=0.0).write(NAME, [b"x"])
    assert "secret-word" not in str(caught.value)


def test_a_key_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY") as caught:
        open_store("s3://key:secret-word@bucket/artifacts")
    assert "secret-word" not in str(caught.value)


def test_a_url_without_a_bucket_is_refused():
    with pytest.raises(ConfigError, match="names no bucket"):
        open_store("s3://")


@pytest.mark.parametrize("url", ["nonsense://x/y", "s3a+b://x"])
def test_a_url_that_nobody_knows_is_told(url: str):
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_store(url).exists(NAME)


def test_the_extra_to_install_is_named(s3_url: str, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "s3fs"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    registered = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(registered, "s3", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'nbflow\[s3\]'"):
        open_store(s3_url).exists(NAME)


def test_a_key_that_was_corrected_holds_at_once(s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store(s3_url)
    with pytest.raises(StorageError, match="may not be used"):
        store.write(NAME, [b"x"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    assert store.write(NAME, [b"x"])


def test_a_corrected_file_of_keys_holds_at_once(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    key = f"[default]\naws_access_key_id = {s3_server.key}\naws_secret_access_key = "
    file.write_text(key + "wrong\n")
    store = open_store(s3_url)
    with pytest.raises(StorageError, match="may not be used"):
        store.write(NAME, [b"x"])
    file.write_text(key + s3_server.secret + "\n")
    assert store.write(NAME, [b"x"])


def test_settings_of_fsspec_are_taken_from_the_environment_as_it_is_now(
    s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("FSSPEC_S3_KEY", s3_server.key)
    monkeypatch.setenv("FSSPEC_S3_SECRET", s3_server.secret)
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://127.0.0.1:{s3_server.port}")
    assert open_store(s3_url).write(NAME, [b"x"])


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_try")
def test_a_store_waits_for_a_server_that_is_away(s3_url: str, proxy: CuttingProxy, caplog: pytest.LogCaptureFixture):
    store = open_store(s3_url)
    store.write(name_of("before"), [b"x"])
    proxy.refuse()
    written: list[bool] = []
    with caplog.at_level(logging.WARNING, "nbflow"):
        thread = threading.Thread(target=lambda: written.append(store.write(NAME, [b"content"])))
        thread.start()
        wait_until(lambda: "does not answer" in caplog.text and "Trying again" in caplog.text)
        proxy.accept()
        thread.join()
    assert written == [True]
    assert bytes(store.read(NAME)) == b"content"


@pytest.mark.parametrize("size", [10 * 2**20, LARGE], ids=["in one piece", "in parts"])
def test_an_upload_that_is_cut_is_made_again(size: int, s3_url: str, proxy: CuttingProxy):
    store = open_store(s3_url)
    store.exists(NAME)
    proxy.cut_after(size // 2)
    assert store.write(NAME, [b"head", bytes(size)]) is True
    proxy.wait_for_cut()
    assert store.read(NAME) == b"head" + bytes(size)


@pytest.mark.parametrize("size", [10 * 2**20, LARGE], ids=["in one piece", "in parts"])
@pytest.mark.usefixtures("one_try")
def test_an_upload_that_never_ends_leaves_nothing(
    size: int, s3_url: str, s3_server: S3Server, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
):
    store = FsspecStore(s3_url, patience=0.0)
    store.exists(NAME)
    proxy.cut_after(size // 2, refuse=True)
    with pytest.raises(StorageError, match="does not answer"):
        store.write(NAME, [bytes(size)])
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_server.port}")
    assert not store.exists(NAME)
    assert store.names() == []


def test_an_answer_that_was_lost_does_no_harm(s3_url: str, proxy: CuttingProxy):
    store = open_store(s3_url)
    store.exists(NAME)
    proxy.lose_answer_to(b"PUT /")
    store.write(NAME, [b"content"])
    proxy.wait_for_cut()
    assert bytes(store.read(NAME)) == b"content"
    assert len(store.names()) == 1


def test_a_server_that_was_started_again_still_has_everything(s3_url: str, s3_server: S3Server):
    store = open_store(s3_url)
    store.write(NAME, [b"content"])
    s3_server.restart()
    assert bytes(store.read(NAME)) == b"content"


def test_what_may_pass_is_told_from_what_may_not():
    assert may_pass(OSError(errno.EBUSY, "Please reduce your request rate."))
    assert may_pass(TimeoutError())
    assert may_pass(ConnectionResetError())
    assert not may_pass(PermissionError("denied"))
    assert not may_pass(OSError(errno.EINVAL, "InvalidArgument"))
    assert not may_pass(ValueError("x"))


def test_a_full_disk_behind_a_store_is_told():
    told = translate(OSError(errno.ENOSPC, "no space"), "sftp://host/artifacts")
    assert "no space left" in str(told)


def test_passwords_of_urls_are_hidden_and_names_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-secret")
    assert without_secrets("see ftp://me:word@host/x and my-secret") == "see ftp://me:***@host/x and ***"
    assert without_secrets("sftp://me@host/x") == "sftp://me@host/x"
    assert FsspecStore("ftp://me:word@host/x").shown == "ftp://me:***@host/x"


# --- age, foreign files, memory ---------------------------------------------------------------------------------------


def test_an_old_blob_that_is_written_again_is_young_again(s3_url: str):
    store = FsspecStore(s3_url, fresh=-1.0)  # every blob is old
    store.write(NAME, [b"content"])
    first = store.names()[0][2]
    wait_until(lambda: store.write(NAME, [b"content"]) and store.names()[0][2] > first)
    assert FsspecStore(s3_url).write(NAME, [b"content"]) is False


def test_a_blob_of_another_size_is_written_anew(s3_url: str):
    store = open_store(s3_url)
    store.write(NAME, [b"half"])
    assert store.write(NAME, [b"the whole"]) is True
    assert bytes(store.read(NAME)) == b"the whole"


@pytest.mark.parametrize("url", ["s3", "memory://foreign", "folder"])
def test_files_of_others_are_not_listed(url: str, request: pytest.FixtureRequest, tmp_path):
    import fsspec

    if url == "s3":
        url = request.getfixturevalue("s3_url")
    elif url == "folder":
        url = str(tmp_path)
    store = open_store(url)
    store.write(NAME, [b"content"])
    filesystem, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    for name in ("data.csv", "ab/notes.txt", f"backup/{NAME}", NAME[:10]):
        filesystem.makedirs(f"{root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        filesystem.pipe_file(f"{root}/{name}", b"mine")
    assert [name for name, _, _ in store.names()] == [NAME]


def test_what_a_killed_writer_left_beside_the_blobs_is_listed_for_the_sweeper(tmp_path):
    (tmp_path / "ab").mkdir()
    left = [f"ab/.tmp-123-{'0' * 12}", f"ab/{'c' * 38}.tmp-{'0' * 12}"]
    for name in left:
        (tmp_path / name).write_bytes(b"half")
    assert sorted(name for name, _, _ in open_store(str(tmp_path)).names()) == sorted(left)


_MEMORY = """
import resource, sys
import numpy
from nbflow.values.artifacts import open_store

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

store, name, size = open_store(sys.argv[1]), sys.argv[2], 200
store.write("00/" + "0" * 38, [b"x"]), store.read("00/" + "0" * 38)
content = numpy.arange(size * 2**20 // 8)
before = peak()
store.write(name, [b"head", content])
written = peak()
del content
read = store.read(name)
print(written - before, peak() - before)
assert numpy.frombuffer(read[4:], "int64")[-1] == size * 2**20 // 8 - 1
"""


def test_a_large_blob_is_not_twice_in_memory(s3_url: str):
    command = [sys.executable, "-c", _MEMORY, s3_url, NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    to_write, to_read = map(float, done.stdout.split())
    print(to_write, to_read)
    assert to_write < 190, "megabytes beside the 200 of the value"
    assert to_read < 190


def test_two_stores_of_one_process_share_their_connections(s3_url: str):
    from nbflow.values import remote

    open_store(s3_url).write(NAME, [b"x"])
    first = remote._open(s3_url)[0]
    open_store(s3_url).read(NAME)
    assert remote._open(s3_url)[0] is first
