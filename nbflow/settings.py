"""Settings: one frozen record, merged from defaults, pyproject.toml, the environment and `configure()`.

Later sources win. What a setting does to a run is the business of whoever reads it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
import threading
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args, get_type_hints, runtime_checkable
from urllib.parse import urlsplit

from nbflow.model.errors import ConfigError

_PREFIX = "NBFLOW_"
_FOLDER, _DATABASE = ".nbflow", "nbflow.db"
_PROJECT_SIGNS = (_FOLDER, "pyproject.toml", ".git")
# Variables with the prefix that are no settings: the signing key, secrets of the user's, and those of tests.
_OTHER_VARIABLES = ("NBFLOW_SIGNING_KEY", "NBFLOW_SECRET_", "NBFLOW_TEST_")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@runtime_checkable
class DaskClient(Protocol):
    """What a `distributed.Client` is known by."""

    scheduler: Any

    def scheduler_info(self) -> Any:
        """What there is in the cluster."""

    def get_versions(self) -> Any:
        """What is installed there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How nbflow works here. A default that depends on the machine or the folder is filled in by `current()`."""

    db: str = ""  # URL or path of the database; default: .nbflow/nbflow.db in the project's folder
    artifacts: str = ""  # path or URL (s3://...) of large values; default: see `artifacts_of`
    home: Path = Path()  # nbflow's own folder with the signing key; default: the system's place for users' data
    secrets: str = ""  # path of the file of secrets; default: secrets.toml in `home`
    executor: str = "threads"  # where tasks run if the flow does not say
    workers: int | None = None  # tasks at a time; default: the processors that this process may use
    dask: str | DaskClient = ""  # address of a Dask scheduler, or a client; default: see nbflow.executors.dask
    inline_limit: int = 8192  # bytes; larger values become artifacts instead of lying in the database
    max_value_size: int | None = None  # bytes; a larger result is refused; default: no limit
    max_inputs_size: int | None = None  # bytes; larger arguments of one call are refused; default: no limit
    echo: bool = True  # show what steps print as it happens
    queue: str = "default"  # the queue that takes the tasks of flows
    suspend_after: float = 5.0  # seconds that a flow waits on a worker before it leaves its place to others
    eager: bool = False  # run what is enqueued at once, in the calling thread
    job_timeout: float | None = None  # seconds that a job may take if nothing else is said
    job_soft_timeout: float | None = None  # seconds after which SoftTimeoutError is raised in a job
    job_retries: int = 0  # further tries of a job that fails or times out, if nothing else is said
    worker_hooks: str | None = None  # module:Class of what workers do around jobs; see nbflow.queue.hooks
    smtp: str | None = None  # URL of the mail server: smtp://user@host:587, smtps://..., ?starttls=
    smtp_password: str | None = field(default=None, repr=False)  # or "secret:NAME"
    mail_from: str | None = None  # address that mails are from; default: the user of the mail server
    lock_timeout: float = 30.0  # seconds to wait for a database that another process has locked

    def artifacts_of(self, db: str | None = None) -> str:
        """Path or URL of the large values that belong to a database (path or URL; default: the one of the settings).

        If `artifacts` is not set they lie beside a SQLite database, so that whoever opens it finds them, wherever that
        is; those of a server lie in `home`.
        """
        if self.artifacts:
            return self.artifacts
        url = resolve_db(db or self.db)
        if url.startswith("sqlite:///"):
            file = Path(url.removeprefix("sqlite:///"))
            return str(file.with_name("artifacts" if file.name == _DATABASE else f"{file.name}.artifacts"))
        parts = urlsplit(url)
        server = f"{parts.hostname}:{parts.port or 5432}{parts.path}"  # whoever logs in, and with whatever password
        return str(self.home / "artifacts" / hashlib.sha256(server.encode()).hexdigest()[:16])


_NAMES = tuple(field.name for field in dataclasses.fields(Settings))
_POSITIVE = frozenset({"workers", "max_value_size", "max_inputs_size"})
_HIDDEN = frozenset({"smtp_password"})
_SIZES = frozenset({"inline_limit", "max_value_size", "max_inputs_size"})

_changes: dict[str, Any] = {}
_lock = threading.Lock()


def configure(**changes: Any) -> None:
    """Change settings of this process; they win over environment and pyproject.toml. None brings back the default."""
    checked = {name: _checked(name, value, "configure()") for name, value in changes.items()}
    with _lock:
        for name, value in checked.items():
            if value is None:
                _changes.pop(name, None)
            else:
                _changes[name] = value


def current() -> Settings:
    """Return the settings that hold now, here."""
    global _latest
    seen = _seen()
    known = _latest
    if known is None or known[0] != seen:
        known = _latest = seen, _read()
    return known[1]


_latest: tuple[Any, Settings] | None = None  # what was read last, and what there was to be read then


def _seen() -> Any:
    """All that settings depend on, at a fraction of the time that reading them takes: jobs ask for them often."""
    folder = os.getcwd()
    # What `os.environ` keeps, where it can be had: going through the mapping itself takes as long as all the rest.
    variables = dict(getattr(os.environ, "_data", os.environ))
    with _lock:
        changes = tuple(_changes.items())
    return folder, variables, changes, [_stamp(path) for path in _sign_paths(folder)], _processors()


@functools.lru_cache(maxsize=16)
def _sign_paths(folder: str) -> list[str]:
    return [f"{parent}/{sign}" for parent in (folder, *map(str, Path(folder).parents)) for sign in _PROJECT_SIGNS]


def _stamp(path: str) -> tuple[int, int] | None:
    if not os.access(path, os.F_OK):  # quicker than an exception, and most are not there
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if path.endswith(".toml") else (0, 0)


def _read() -> Settings:
    found = {**_from_pyproject(Path.cwd()), **_from_environment(os.environ)}
    with _lock:
        found |= _changes
    folder = project_folder() / _FOLDER
    for name, default in _DEFAULTS.items():
        if found.get(name) is None:
            found[name] = default(folder)
    return Settings(**found)


def project_folder(start: Path | None = None) -> Path:
    """The nearest folder, from `start` (default: the current one) upwards, that looks like a project; else `start`."""
    start = start or Path.cwd()
    for folder in (start, *start.parents):
        if any((folder / sign).exists() for sign in _PROJECT_SIGNS):
            return folder
    return start


def resolve_db(url_or_path: str) -> str:
    """Return the SQLAlchemy URL of a database given as a path ("my.db") or as a URL."""
    if url_or_path == ":memory:" or url_or_path in ("sqlite://", "sqlite:///:memory:"):
        raise ConfigError("a database in memory is lost with its process; give a file, for example 'my.db'.")
    scheme, separator, rest = url_or_path.partition("://")
    if not separator:
        return f"sqlite:///{Path(url_or_path).expanduser().absolute()}"
    if scheme == "sqlite" and rest.startswith("/"):
        return f"sqlite:///{Path(rest[1:]).expanduser().absolute()}"
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return f"postgresql+psycopg://{rest}"
    raise ConfigError(
        f"{url_or_path!r} is no database that nbflow can use. Give a path ('my.db'), 'sqlite:///my.db' or "
        "'postgresql://user@host/name'.",
    )


def _home(_: Path) -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("nbflow", appauthor=False))


def _processors(_: Path | None = None) -> int:
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


_DEFAULTS: dict[str, Callable[[Path], Any]] = {
    "db": lambda folder: str(folder / _DATABASE),
    "home": _home,
    "workers": _processors,
}


def _from_pyproject(start: Path) -> dict[str, Any]:
    path = next((folder / "pyproject.toml" for folder in (start, *start.parents) if _is_file(folder)), None)
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("nbflow", {})
    except (OSError, ValueError) as error:  # tomllib's errors are ValueErrors
        raise ConfigError(f"{path} cannot be read: {error}. Correct it, or start elsewhere.") from error
    if not isinstance(table, dict):
        raise ConfigError(f"tool.nbflow in {path} has to be a table: [tool.nbflow].")
    found = {name: _checked(name, value, f"[tool.nbflow] in {path}") for name, value in table.items()}
    for name in ("db", "artifacts", "secrets"):  # a path in a file is meant from where the file lies
        if name in found and "://" not in found[name]:
            found[name] = str(path.parent / Path(found[name]).expanduser())
    return found


def _is_file(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file()


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for variable, text in environment.items():
        if variable.startswith(_PREFIX) and not variable.startswith(_OTHER_VARIABLES) and text != "":
            source = f"environment variable {variable}"
            name = variable.removeprefix(_PREFIX).lower()
            found[name] = _checked(name, _parsed(name, text, source), source)
    return found


def _types(name: str) -> tuple[type, ...]:
    hint = get_type_hints(Settings)[name]
    return get_args(hint) or (hint,)


def _parsed(name: str, text: str, source: str) -> Any:
    """The text of an environment variable as a value of the setting's type."""
    kinds = _types(_known(name, source))
    try:
        if bool in kinds:
            return _TRUTH[text.strip().lower()]
        if float in kinds:
            return float(text)
        if int in kinds and name not in _SIZES:
            return int(text)
    except (KeyError, ValueError):
        raise _wrong(name, text, source) from None
    return text


def _checked(name: str, value: Any, source: str) -> Any:
    """`value` if the setting may have it, else `ConfigError`; None stands for the default."""
    kinds = _types(_known(name, source))
    if value is None:
        return None
    if name in _SIZES and isinstance(value, str):
        value = _bytes(name, value, source)
    if float in kinds and type(value) is int:
        value = float(value)
    if isinstance(value, os.PathLike) and str in kinds:
        value = os.fspath(value)
    if DaskClient in kinds and isinstance(value, DaskClient):
        return value
    if Path in kinds and isinstance(value, str | os.PathLike):
        value = Path(value).expanduser().absolute()
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise _wrong(name, value, source)
    if isinstance(value, int | float) and (value < 0 or (value == 0 and name in _POSITIVE)):
        raise _wrong(name, value, source)
    if value == "":
        raise _wrong(name, value, source)
    return value


def _known(name: str, source: str) -> str:
    if name not in _NAMES:
        import difflib

        close = difflib.get_close_matches(name, _NAMES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{source} sets {name!r}, which is no setting.{hint} Settings are: {', '.join(_NAMES)}.")
    return name


def _bytes(name: str, text: str, source: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", text.upper())
    if match is None:
        raise _wrong(name, text, source)
    return int(float(match[1]) * _UNITS[match[2]])


def _wrong(name: str, value: object, source: str) -> ConfigError:
    value = "***" if name in _HIDDEN else value
    return ConfigError(f"{source} sets {name} to {value!r}; it has to be {_allowed(name)}.")


def _allowed(name: str) -> str:
    kinds = _types(name)
    if bool in kinds:
        return "true or false"
    if name in _SIZES:
        return "a number of bytes, such as 8192 or '512 MB'"
    if float in kinds:
        return "a number of seconds, 0 or more"
    if int in kinds:
        return f"a whole number, {int(name in _POSITIVE)} or more"
    if DaskClient in kinds:
        return "the address of a Dask scheduler ('tcp://host:8786') or a distributed.Client"
    return "a path" if Path in kinds else "a text that is not empty"
