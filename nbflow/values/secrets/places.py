"""Where the values of secrets are kept: the environment, a file, the system's keyring; looked at in this order."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import re
import secrets as random_tokens
import stat
import tomllib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow import settings as settings_module
from nbflow.model.errors import SecretError, SecretMissingError
from nbflow.values.secrets import traces
from nbflow.values.secrets.forms import SHORTEST

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "NBFLOW_SECRET_"
SERVICE = "nbflow"  # by which the keyring knows us
_FILE = "secrets.toml"  # in nbflow's home
_NO_NAME = re.compile(r"[^A-Za-z0-9]")


class Looked(NamedTuple):
    """One place that was looked at."""

    place: str  # in words
    value: str | None


def variable(name: str) -> str:
    """The environment variable of a secret: NBFLOW_SECRET_API_TOKEN for API_TOKEN, api-token and api.token."""
    return VARIABLE + _NO_NAME.sub("_", name).upper()


def file() -> Path:
    """The file of secrets: that of the setting `secrets`, else `secrets.toml` in nbflow's home."""
    current = settings_module.current()
    return Path(current.secrets).expanduser() if current.secrets else current.home / _FILE


def find(name: str) -> str:
    """The value of a secret. Raises SecretMissingError, which tells the places, and SecretError if it is unusable."""
    tried = look(name)
    if tried[-1].value is None:
        where = ", ".join(each.place for each in tried)
        raise SecretMissingError(
            f"secret {name!r} is in none of the places where this process ({os.uname().nodename}) looks: {where}. "
            f"Keep it there: nbflow secret set {name}.",
            name=name,
            places=[each.place for each in tried],
        )
    return _checked(name, tried[-1])


def look(name: str) -> list[Looked]:
    """The places looked at for a secret; the last one has it, unless it is in none."""
    tried = []
    for place in (_in_environment, _in_file, _in_keyring):
        tried.append(place(name))
        if tried[-1].value is not None:
            break
    return tried


def _checked(name: str, found: Looked) -> str:
    value = found.value or ""
    if len(value) < SHORTEST:
        raise SecretError(
            f"secret {name!r} in {found.place} has {len(value)} characters. Fewer than {SHORTEST} cannot be told from "
            "ordinary text, so they could not be removed from outputs. Use a longer one, or an ordinary parameter.",
            name=name,
        )
    return value


def learn_environment() -> None:
    """Have the secrets in this process's environment removed from what it shows, used or not: `env` shows them all."""
    for key, value in list(os.environ.items()):
        name = key.removeprefix(VARIABLE)
        if name != key and len(value) >= SHORTEST:
            traces.learn(name if name[:1].isalpha() else f"SECRET_{name}", value)


def _in_environment(name: str) -> Looked:
    key = variable(name)
    return Looked(f"environment variable {key}", os.environ.get(key))


# --- the file ----------------------------------------------------------------------------------------------------

_read: tuple[Any, dict[str, str]] | None = None  # what was read last, and the stamp of the file then


def _in_file(name: str) -> Looked:
    path = file()
    content = in_file(path)
    if content is None:
        return Looked(f"file {path} (not there)", None)
    return Looked(f"file {path}", content.get(name))


def in_file(path: Path | None = None) -> dict[str, str] | None:
    """The secrets of the file by name; None: there is no such file.

    Raises SecretError for a file that others may read or write, or that is not TOML of NAME = "value".
    """
    global _read
    path = path or file()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretError(f"the file of secrets, {path}, cannot be read: {error.strerror}.") from error
    try:
        status = os.fstat(descriptor)
        _check_owner(path, status)
        stamp = (str(path), status.st_ino, status.st_mtime_ns, status.st_size)
        if _read is None or _read[0] != stamp:
            with open(descriptor, "rb", closefd=False) as opened:
                _read = stamp, _parsed(path, opened.read())
        return _read[1]
    finally:
        os.close(descriptor)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"the file of secrets, {path}, is no file.")
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretError(f"the file of secrets, {path}, belongs to another user, who could change it. Keep your own.")
    if status.st_mode & 0o077:
        raise SecretError(
            f"the file of secrets, {path}, may be used by others (mode {stat.S_IMODE(status.st_mode):04o}), so it is "
            f"not read. Take their rights away: chmod 600 {path}"
        )


def _parsed(path: Path, content: bytes) -> dict[str, str]:
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise SecretError(f"the file of secrets, {path}, is not UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)", str(error))  # the rest of the message may quote what is there
        where = place[0] if place is not None else ""
        raise SecretError(f'the file of secrets, {path}, is not TOML {where}. Write lines of NAME = "value".') from None
    found = {}
    for name, value in table.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise SecretError(f'{name!r} in {path} is no text. Write NAME = "value".')
        found[name] = str(value)
    return found


def keep_in_file(name: str, value: str | None) -> Path:
    """Put a secret into the file, which is made for nobody but this user; None takes it out. Returns its path."""
    path = file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path):
        content = dict(in_file(path) or {})
        if value is None:
            content.pop(name, None)
        else:
            content[name] = value
        temporary = path.with_name(f".{path.name}.{random_tokens.token_hex(6)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as opened:
                opened.writelines(f"{_quoted(key)} = {_quoted(content[key])}\n" for key in sorted(content))
                opened.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- the keyring -------------------------------------------------------------------------------------------------


def _in_keyring(name: str) -> Looked:
    try:
        return Looked(f"keyring (service {SERVICE!r})", _asked(lambda ring: ring.get_password(SERVICE, name)))
    except SecretError as error:
        return Looked(f"keyring ({error.short})", None)


def keep_in_keyring(name: str, value: str | None) -> None:
    """Put a secret into the system's keyring; None takes it out. Raises SecretError if there is none."""
    if value is None:
        _asked(lambda ring: ring.delete_password(SERVICE, name))
    else:
        _asked(lambda ring: ring.set_password(SERVICE, name, value))


def _asked(question: Callable[[Any], Any]) -> Any:
    try:
        ring = importlib.import_module("keyring")
    except ImportError:
        short = "not installed: pip install 'nbflow[keyring]'"
        raise SecretError(f"the keyring cannot be used: {short}.", short=short) from None
    try:
        return question(ring)
    except Exception as error:  # whatever the system's keyring has to say, by way of its own libraries
        short = f"cannot be used: {type(error).__name__}"
        raise SecretError(f"the keyring {short}: {error}", short=short) from error
