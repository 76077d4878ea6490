"""References to secrets, and the values that they come to where a step runs.

Both pickle as the reference. So whatever stores arguments, results and names of notebooks stores no value, and a value
that is handed from step to step is looked up anew by each process that runs one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from nbflow.model.errors import SecretError
from nbflow.values.secrets import places, traces

PREFIX = "secret:"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_DEEPEST = 8  # containers in one another; a list may contain itself
_MOST = 1_000  # items of a container that is looked into: nobody writes more by hand, and data takes no time
STEP, FLOW = "step", "flow"
# Whose code runs: that of a step, which is given values; of a flow function, which is given references; "": anybody's.
PLACE: ContextVar[str] = ContextVar("nbflow_place_of_secrets", default="")


class Secret:
    """Stands for a secret, `secret:NAME`; a step that is given it gets the value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = check_name(name)

    def __repr__(self) -> str:
        return PREFIX + self.name

    def __format__(self, form: str) -> str:
        """Refuse to become a part of a text, which would hold the reference where the value is meant."""
        raise SecretError(
            f"{self!r} has no value here: secrets are looked up where steps run. Pass it to a step, and make the text "
            f"there; to show its name, write {{secret!r}}.",
            name=self.name,
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is Secret and other.name == self.name

    def __hash__(self) -> int:
        return hash((Secret, self.name))

    def __reduce__(self) -> Any:
        return arrived, (self.name,)


class SecretText(str):
    """The value of a secret: a text like any other, but for its `repr` and its pickle, which are the reference's."""

    name: str

    def __repr__(self) -> str:
        return PREFIX + self.name

    def __reduce_ex__(self, protocol: Any) -> Any:
        return arrived, (self.name,)

    def __copy__(self) -> SecretText:
        return self

    def __deepcopy__(self, memo: Any) -> SecretText:
        return self


def secret(name: str | Secret) -> Any:
    """The secret of this name; `secret("API_TOKEN")` and `secret("secret:API_TOKEN")` mean the same.

    In a step, and in a cell that is run by hand, it is the value: a text, which nbflow removes from whatever the step
    shows or raises, and which is stored as a reference wherever it is handed on. In a flow function and elsewhere it is
    the reference, to be passed to steps.

    Raises SecretMissingError where the value is needed and in none of the places: the environment variable
    `NBFLOW_SECRET_NAME`, the file of the setting `secrets`, the system's keyring.
    """
    if isinstance(name, (Secret, SecretText)):
        name = name.name
    name = check_name(str(name).removeprefix(PREFIX))
    place = PLACE.get()
    return resolve(name) if place == STEP or (not place and _by_hand()) else Secret(name)


def resolve(name: str) -> SecretText:
    """The value of a secret, which from now on is removed from all that this process shows."""
    value = places.find(name)
    traces.learn(name, value)
    text = SecretText(value)
    text.name = name
    return text


def arrived(name: str) -> Any:
    """What a stored reference is here; every pickle of one names this function."""
    return resolve(name) if PLACE.get() == STEP else Secret(name)


def check_name(name: str) -> str:
    """A name if a secret may have it. Raises SecretError."""
    if _NAME.fullmatch(name) is None:
        raise SecretError(
            f"{name[:40]!r} cannot name a secret: names begin with a letter and go on with letters, digits, '_', '-' "
            "and '.'."
        )
    return name


def named(text: str) -> str | None:
    """The name in a text that is a reference and nothing else."""
    if not text.startswith(PREFIX):
        return None
    name = text[len(PREFIX) :]
    return name if _NAME.fullmatch(name) is not None else None


def referring(value: Any) -> Any:
    """`value` with a Secret for each text `secret:NAME` in it; looks into lists, tuples and values of dicts.

    For what a person has written as a parameter, and never for data: who can write data must not choose secrets.
    """
    return _with_leaves(value, _referring, 0)


def resolved(value: Any) -> Any:
    """`value` with the values of the references in it, as deep as `referring` looks."""
    return _with_leaves(value, lambda leaf: resolve(leaf.name) if type(leaf) is Secret else leaf, 0)


def written(value: Any) -> Any:
    """`value` with a text for each reference in it: the other way round."""
    return _with_leaves(value, lambda leaf: repr(leaf) if type(leaf) in (Secret, SecretText) else leaf, 0)


def names_in(value: Any) -> list[str]:
    """The names of the secrets that are referred to, as deep as `referring` looks; each once."""
    found: dict[str, None] = {}

    def note(leaf: Any) -> Any:
        if type(leaf) in (Secret, SecretText):  # not isinstance(), which waits for the value of a placeholder
            found[leaf.name] = None
        return leaf

    _with_leaves(value, note, 0)
    return list(found)


def refuse_from_outside(parameters: Mapping[str, Any], where: str) -> None:
    """Raise SecretError if parameters that somebody outside has sent, such as those of a webhook, name secrets."""
    for name, value in parameters.items():
        for asked in names_in(referring(value)):
            raise SecretError(
                f"parameter {name!r} of {where} names the secret {asked!r}, which only the deployment itself may do. "
                "Set it where the flow is promoted.",
                name=asked,
            )


def _referring(leaf: Any) -> Any:
    name = named(leaf) if type(leaf) is str else None
    return Secret(name) if name is not None else leaf


def _with_leaves(value: Any, change: Callable[[Any], Any], depth: int) -> Any:
    """The value with its leaves changed; the same object if nothing changes in it."""
    kind = type(value)
    if kind not in (list, tuple, dict):
        return change(value)
    if len(value) > _MOST or depth > _DEEPEST:
        return value
    if kind is dict:
        pairs = {key: _with_leaves(item, change, depth + 1) for key, item in value.items()}
        return pairs if any(pairs[key] is not item for key, item in value.items()) else value
    items = [_with_leaves(item, change, depth + 1) for item in value]
    return kind(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value


def _by_hand() -> bool:
    """Whether a person runs cells here: in a kernel or in a terminal with IPython, and not a flow in its own shell."""
    module: Any = sys.modules.get("IPython.core.interactiveshell")
    kind = getattr(module, "InteractiveShell", None)
    if kind is None or not kind.initialized():
        return False
    shell = kind.instance()
    return getattr(shell, "kernel", None) is not None or type(shell).__name__ == "TerminalInteractiveShell"
