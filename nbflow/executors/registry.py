"""Executors by name: the built-in ones, and those that other packages register under `nbflow.executors`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

    from nbflow.model.ports import Clock, Executor
    from nbflow.values.store import ValueStore

GROUP = "nbflow.executors"

# Here as well as in the package's metadata, so that a source tree works without being installed.
BUILT_IN = {
    "serial": "nbflow.executors.serial:SerialExecutor",
    "threads": "nbflow.executors.threads:ThreadsExecutor",
    "processes": "nbflow.executors.processes:ProcessesExecutor",
    "queue": "nbflow.executors.queued:QueueExecutor",
    "dask": "nbflow.executors.dask:DaskExecutor",
}


def get_executor(
    name: str, *, workers: int, values: ValueStore, clock: Clock, echo: bool = False, database: Any = None
) -> Executor:
    """Return a new executor, not yet started; raises `ConfigError` if there is none of this name.

    `database`: that of the run, for executors that say `needs_database`.
    """
    factory = _factory(name)
    more = {"database": database} if getattr(factory, "needs_database", False) else {}
    return factory(workers=workers, values=values, clock=clock, echo=echo, **more)


def check_name(name: str) -> str:
    """Return `name` if it names an executor, else raise `ConfigError`."""
    if name not in BUILT_IN and name not in _registered():
        raise ConfigError(
            f"There is no executor {name!r}. Known are {', '.join(known())}; a package that is to provide another one "
            f"has to be installed here and to register it as an entry point of group {GROUP!r}.",
            name=name,
        )
    return name


def known() -> list[str]:
    """The names of all executors that can be used here."""
    return [*BUILT_IN, *sorted(_registered().keys() - BUILT_IN.keys())]


def _factory(name: str) -> Callable[..., Executor]:
    check_name(name)
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        factory: Any = getattr(import_module(module), attribute)
        return factory  # type: ignore[no-any-return]  # found by its name
    try:
        return _registered()[name].load()  # type: ignore[no-any-return]  # another package's
    except Exception as error:
        raise ConfigError(
            f"The executor {name!r} ({_registered()[name].value}) cannot be loaded: {type(error).__name__}: {error}. "
            "Install what it needs, or choose another executor.",
            name=name,
        ) from error


def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}
