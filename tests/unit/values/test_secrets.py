from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import stat
import sys
from contextvars import copy_context

import pytest

import nbflow
from nbflow import settings
from nbflow.model.errors import ConfigError, SecretError, SecretMissingError
from nbflow.values import codec
from nbflow.values.digest import digest
from nbflow.values.secrets import places, references, traces
from nbflow.values.secrets.references import Secret, SecretText

VALUE = "s3cret-value"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setenv("NBFLOW_SECRET_TOKEN", VALUE)
    monkeypatch.setattr(references, "_by_hand", lambda: False)
    monkeypatch.setitem(sys.modules, "keyring", None)
    yield
    traces.forget()


def in_step(function, *args):
    """Call a function as the step of a flow."""

    def call():
        references.PLACE.set(references.STEP)
        return function(*args)

    return copy_context().run(call)


def test_a_secret_is_a_value_in_steps_and_a_reference_elsewhere():
    assert in_step(nbflow.secret, "TOKEN") == VALUE
    assert isinstance(in_step(nbflow.secret, "secret:TOKEN"), str)
    assert nbflow.secret("TOKEN") == Secret("TOKEN")
    assert nbflow.secret(nbflow.secret("TOKEN")) == Secret("TOKEN")
    assert {Secret("TOKEN"), Secret("TOKEN")} == {Secret("TOKEN")}


def test_a_value_shows_and_pickles_as_its_reference():
    value = in_step(nbflow.secret, "TOKEN")
    assert repr({"a": value}) == "{'a': secret:TOKEN}"
    assert f"Bearer {value}" == "Bearer " + VALUE
    assert type(str(value)) is str
    assert VALUE.encode() not in pickle.dumps(value)
    assert pickle.loads(pickle.dumps(value)) == Secret("TOKEN")
    assert in_step(pickle.loads, pickle.dumps(Secret("TOKEN"))) == VALUE
    assert copy.deepcopy([value])[0] is value
    assert copy.copy(value) is value


def test_values_and_references_have_one_digest_which_does_not_depend_on_the_value():
    value = in_step(nbflow.secret, "TOKEN")
    assert digest([value]) == digest([Secret("TOKEN")]) != digest([Secret("OTHER")])
    assert codec.encode({"a": value}).stream == codec.encode({"a": Secret("TOKEN")}).stream


def test_a_reference_does_not_become_a_part_of_a_text():
    with pytest.raises(SecretError, match=r"secret:TOKEN has no value here: .* Pass it to a step"):
        f"Bearer {nbflow.secret('TOKEN')}"
    assert str(Secret("TOKEN")) == "secret:TOKEN"


@pytest.mark.parametrize("name", ["", "1A", "a b", "a/b", "ä", "x" * 101])
def test_names_are_letters_digits_and_a_few_signs(name):
    with pytest.raises(SecretError, match="cannot name a secret"):
        nbflow.secret(name)


def test_texts_that_name_a_secret_and_nothing_else_are_references():
    written = {"a": ["secret:TOKEN", ("x", "secret:OTHER")], "b": "secret: who did it?", "c": "secret:"}
    given = references.referring(written)
    assert given == {"a": [Secret("TOKEN"), ("x", Secret("OTHER"))], "b": "secret: who did it?", "c": "secret:"}
    assert references.names_in([given, given]) == ["TOKEN", "OTHER"]
    assert references.written(given) == written
    plain = [1, {"a": "b"}]
    assert references.referring(plain) is plain


def test_parameters_from_outside_must_not_name_secrets():
    references.refuse_from_outside({"a": 1, "b": "secret: none", "c": ["x"]}, "webhook 'w'")
    for value in ("secret:TOKEN", {"deep": ["secret:TOKEN"]}, Secret("TOKEN")):
        with pytest.raises(SecretError, match="parameter 'b' of webhook 'w' names the secret 'TOKEN'"):
            references.refuse_from_outside({"a": 1, "b": value}, "webhook 'w'")


def test_long_containers_are_data_and_are_not_searched():
    data = ["secret:TOKEN"] * 2_000
    assert references.referring(data) is data


def test_a_list_that_contains_itself_is_searched_only_so_deep():
    endless: list[object] = ["secret: none"]
    endless.append(endless)
    assert references.referring(endless) is endless
    assert references.names_in(endless) == []


def test_a_missing_secret_tells_where_it_was_looked_for():
    with pytest.raises(SecretMissingError) as caught:
        in_step(nbflow.secret, "api.key")
    message = str(caught.value)
    assert "NBFLOW_SECRET_API_KEY" in message
    assert "secrets.toml (not there)" in message
    assert "pip install 'nbflow[keyring]'" in message
    assert message.endswith("nbflow secret set api.key.")
    assert (caught.value.name, len(caught.value.places)) == ("api.key", 3)


@pytest.mark.parametrize("value", ["", "abcd"])
def test_a_short_secret_is_refused_since_it_could_not_be_removed_from_texts(monkeypatch, value):
    monkeypatch.setenv("NBFLOW_SECRET_SHORT", value)
    with pytest.raises(SecretError, match="cannot be told from ordinary text"):
        in_step(nbflow.secret, "SHORT")


def test_the_environment_goes_before_the_file_and_the_file_before_the_keyring(monkeypatch):
    ring = _keyring(monkeypatch)
    places.keep_in_keyring("TOKEN", "of the keyring")
    places.keep_in_file("TOKEN", "of the file")
    assert places.find("TOKEN") == VALUE
    monkeypatch.delenv("NBFLOW_SECRET_TOKEN")
    assert places.find("TOKEN") == "of the file"
    places.keep_in_file("TOKEN", None)
    assert places.find("TOKEN") == "of the keyring"
    places.keep_in_keyring("TOKEN", None)
    assert ring == {}


def _keyring(monkeypatch):
    """The keyring package with a keyring in memory."""
    monkeypatch.delitem(sys.modules, "keyring")
    importlib.import_module("keyring")  # of the extra that the tests install
    core = importlib.import_module("keyring.core")
    from keyring.backend import KeyringBackend

    kept: dict[tuple[str, str], str] = {}

    class InMemory(KeyringBackend):
        priority = 0.1

        def get_password(self, service, username):
            return kept.get((service, username))

        def set_password(self, service, username, password):
            kept[service, username] = password

        def delete_password(self, service, username):
            del kept[service, username]

    monkeypatch.setattr(core, "_keyring_backend", InMemory())
    return kept


def test_a_keyring_that_cannot_be_used_is_a_place_without_the_secret(monkeypatch):
    _keyring(monkeypatch).clear()
    monkeypatch.setattr(sys.modules["keyring"], "get_password", lambda *_: 1 / 0)
    with pytest.raises(SecretMissingError, match=r"keyring \(cannot be used: ZeroDivisionError\)"):
        places.find("OTHER")
    with pytest.raises(SecretError, match="KeyError"):
        places.keep_in_keyring("OTHER", None)


@pytest.mark.parametrize("value", ["plain one", 'qu"ote\\ and\ttab', "two\nlines", "emoji 🙂 é", "del \x7f \x01"])
def test_what_is_put_into_the_file_comes_out_of_it(value):
    places.keep_in_file("OTHER", "another one")
    path = places.keep_in_file("A.b-c", value)
    assert places.find("A.b-c") == value
    assert places.find("OTHER") == "another one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(item.name for item in path.parent.iterdir()) == ["secrets.toml", "secrets.toml.lock"]


def test_the_setting_names_the_file_which_is_read_again_when_it_changes(tmp_path):
    file = tmp_path / "mine.toml"
    settings.configure(secrets=str(file))
    for value in ("first one", "second one"):
        file.write_text(f"OTHER = {json.dumps(value)}\nPIN = 1234567\n")
        file.chmod(0o600)
        assert places.find("OTHER") == value
    assert places.find("PIN") == "1234567"


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("OTHER = 'x'", 0o640, r"may be used by others \(mode 0640\).*chmod 600"),
        ("OTHER = topsecret", 0o600, r"is not TOML \(at line 1"),
        ("OTHER = ['x']", 0o600, "'OTHER' in .* is no text"),
        ("OTHER = true", 0o600, "'OTHER' in .* is no text"),
    ],
)
def test_a_file_that_cannot_be_trusted_or_read_is_refused_without_showing_it(tmp_path, content, mode, message):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    file.chmod(mode)
    settings.configure(secrets=str(file))
    with pytest.raises(SecretError, match=message) as caught:
        places.find("OTHER")
    assert "topsecret" not in str(caught.value)


def test_a_folder_is_no_file_of_secrets(tmp_path):
    settings.configure(secrets=str(tmp_path))
    with pytest.raises(SecretError, match="is no file"):
        places.find("OTHER")


def test_variables_of_secrets_are_no_settings_and_others_are_still_refused(monkeypatch):
    assert settings.current()
    monkeypatch.setenv("NBFLOW_SECRTE_X", "x")
    with pytest.raises(ConfigError):
        settings.current()


def test_secrets_in_the_environment_are_known_before_they_are_used(monkeypatch):
    monkeypatch.setenv("NBFLOW_SECRET_SHORT", "abc")
    places.learn_environment()
    assert traces.clean(f"{os.environ['NBFLOW_SECRET_TOKEN']} abc") == "*** abc"


def test_by_hand_a_secret_is_its_value(monkeypatch):
    monkeypatch.setattr(references, "_by_hand", lambda: True)
    assert type(nbflow.secret("TOKEN")) is SecretText
