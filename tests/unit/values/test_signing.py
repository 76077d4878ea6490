from __future__ import annotations

import base64
import stat
import subprocess
import sys

import pytest

from nbflow.model.errors import ConfigError, SignatureError
from nbflow.values.signing import KEY_FILE, Signer, load_key

KEY = bytes(range(32))


def test_signed_bytes_are_opened():
    assert Signer(KEY).open(Signer(KEY).sign(b"data")) == b"data"


@pytest.mark.parametrize(
    "blob", [b"", b"short", Signer(KEY).sign(b"data")[:-1] + b"x", Signer(bytes(32)).sign(b"data")]
)
def test_other_bytes_are_refused(blob):
    with pytest.raises(SignatureError, match="NBFLOW_SIGNING_KEY"):
        Signer(KEY).open(blob)


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    key = load_key(tmp_path / "home")
    assert len(key) == 32
    assert load_key(tmp_path / "home") == key
    assert stat.S_IMODE((tmp_path / "home" / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == [KEY_FILE]


def test_processes_that_start_at_once_agree_on_the_key(tmp_path):
    code = (
        "import sys; from pathlib import Path; from nbflow.values.signing import load_key;"
        "print(load_key(Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({process.communicate()[0] for process in processes}) == 1


@pytest.mark.parametrize("text", [KEY.hex(), base64.b64encode(KEY).decode()], ids=["hex", "base64"])
def test_the_environment_wins(tmp_path, monkeypatch, text):
    monkeypatch.setenv("NBFLOW_SIGNING_KEY", text)
    assert load_key(tmp_path) == KEY
    assert not list(tmp_path.iterdir())


def test_a_key_that_is_too_short_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NBFLOW_SIGNING_KEY", "abcd")
    with pytest.raises(ConfigError, match="environment variable NBFLOW_SIGNING_KEY"):
        load_key(tmp_path)


def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Set NBFLOW_HOME"):
        load_key(tmp_path / "file" / "home")
