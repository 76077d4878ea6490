"""The base of all operators, and where they are found by the word that names them.

An own operator is a subclass with a `kind`, or a function with `@operator("kind")`:

    class Greet(Operator, kind="greet", main="name"):
        def run(self, inputs, settings):
            return f"Hello {settings['name']}"

In YAML it is then a step with `greet: world`. Other packages bring theirs by the entry point group `nbflow.operators`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar

from nbflow.authoring.declarative.problems import hint
from nbflow.authoring.declarative.references import Reference, between_braces, fill
from nbflow.model.errors import DefinitionError, NbflowError
from nbflow.queue.cron import seconds
from nbflow.values.identity import code_digest
from nbflow.values.secrets import references as secrets

GROUP = "nbflow.operators"
Lookup = Callable[[Reference], Any]
_KINDS: dict[str, type[Operator]] = {}


class OperatorError(NbflowError):
    """What a step was to do has not worked; `details` say more, such as the `exit_code` or the `status`."""


@dataclass(frozen=True)
class Outcome:
    """What a step with several outcomes returns: which of them it is, and a value for the steps that come after."""

    label: str
    value: Any = None


class Operator:
    """One way for a step to do something. An instance holds the settings of one step, with their references."""

    kind: ClassVar[str] = ""  # the word in YAML
    main: ClassVar[str | None] = None  # the setting that is meant if there is only one value
    labels: ClassVar[tuple[str, ...]] = ()  # outcomes that it always has
    passing: ClassVar[str | None] = None  # that of them which is waited for where none is named
    target_setting: ClassVar[str | None] = None  # the setting that names an object of Python
    has_steps: ClassVar[bool] = False  # whether one that lasts calls steps of its own, which its options are for
    schema: ClassVar[Mapping[str, Any]] = {}  # JSON schema of an own operator's settings; {}: anything

    def __init_subclass__(cls, *, kind: str | None = None, main: str | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if main is not None:
            cls.main = main
        if kind is not None:
            if not kind.isidentifier():
                raise DefinitionError(f"{kind!r} cannot be the kind of an operator; write one word, such as 'spark'.")
            cls.kind = kind
            _KINDS[kind] = cls

    def __init__(self, main: Any = None, /, **settings: Any) -> None:
        if main is not None:
            if self.main is None:
                raise DefinitionError(f"{type(self).__name__} takes its settings by name.")
            settings = {self.main: main, **settings}
        self.settings = settings
        self.bound: Any = None  # the object that its `target_setting` names
        self.options: dict[str, Any] = {}  # for the steps of its own, if it lasts

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Do it, and return the step's value. Both mappings have no references any more. Operators define it."""
        raise DefinitionError(f"{type(self).__name__} does not say what it does; define its method run().")

    def check(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with the settings, though their shape is right: where in them, and a message."""
        yield from ()

    def load(self, name: str) -> Any:
        """The object that its `target_setting` names; operators that have one define it. Raises DefinitionError."""
        raise DefinitionError(f"{type(self).__name__} cannot find {name!r}; define its method load().")

    def bind(self, found: Any) -> None:
        """Have `found` be the object that its `target_setting` names. Raises DefinitionError if it cannot be."""
        self.bound = found

    def lasts(self) -> bool:
        """Whether `run` is to be a flow function, which may sleep and wait for signals without a place on a worker."""
        return False

    def fill(self, lookup: Lookup) -> dict[str, Any]:
        """The settings without references, those to secrets included."""
        filled: dict[str, Any] = secrets.resolved(fill(secrets.referring(dict(self.settings)), lookup))
        return filled

    def identity(self) -> str:
        """Digest of the code that it runs."""
        return code_digest(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"


def wrong_durations(settings: Mapping[str, Any], *paths: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Those of the settings at `paths` that are no durations; one with a reference is seen when it runs."""
    for path in paths:
        found: Any = settings
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None or (isinstance(found, str) and between_braces(found)):
            continue
        try:
            seconds(found)
        except NbflowError as error:
            yield path, str(error)


def operator(
    kind: str, *, main: str | None = None, schema: Mapping[str, Any] | None = None
) -> Callable[[Callable[[dict[str, Any], dict[str, Any]], Any]], type[Operator]]:
    """Make an operator of a function of (inputs, settings).

    kind: the word that names it in YAML. main: the setting that a single value stands for. schema: a JSON schema that
    its settings are checked by. Returns the operator's class. Raises DefinitionError for a kind that is no word.
    """

    def decorate(function: Callable[[dict[str, Any], dict[str, Any]], Any]) -> type[Operator]:
        def run(self: Operator, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
            return function(inputs, settings)

        members = {
            "run": run,
            "schema": schema or {},
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
        }
        made: type[Operator] = type(function.__name__, (Operator,), members, kind=kind, main=main)
        return made

    return decorate


def kinds() -> dict[str, type[Operator]]:
    """All operators that there are, by the words that name them."""
    from nbflow.authoring.declarative import operators  # noqa: F401  (those of nbflow register themselves)

    for entry in _entries():
        if entry.name not in _KINDS:
            _KINDS[entry.name] = _loaded(entry)
    return _KINDS


@functools.cache
def _entries() -> tuple[Any, ...]:
    return tuple(entry_points(group=GROUP))


def _loaded(entry: Any) -> type[Operator]:
    found: Any = entry.load()
    if not isinstance(found, type) or not issubclass(found, Operator):
        raise DefinitionError(f"entry point {entry.name!r} of {GROUP} is {found!r}, which is no subclass of Operator.")
    found.kind = entry.name
    return found


def kind_of(name: str) -> type[Operator]:
    """The operator of this name. Raises DefinitionError if there is none."""
    found = kinds().get(name)
    if found is None:
        raise DefinitionError(f"There is no operator {name!r}. {hint(name, kinds(), 'There are')}")
    return found
