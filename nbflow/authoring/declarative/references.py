"""`${{ name.part }}` in the settings of a step: which result or parameter is meant, and what takes its place.

A text that is nothing but one reference becomes the value itself, whatever its type; within a longer text the value is
written out. `$${{` stands for a literal `${{`. There is no language of expressions: what computes is a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.model.errors import DefinitionError

_REFERENCE = re.compile(r"\$(\$?)\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"\s*([^\W\d][\w\-]*(?:\.[\w\-]+)*)\s*\Z")

RUN = "run"  # ${{ run.id }} and the like: facts of the run itself
RUN_FACTS = ("id", "task", "attempt", "logical_time")


@dataclass(frozen=True)
class Reference:
    """One thing that is referred to: a step's result or a parameter, or a part of it."""

    name: str  # of a step or parameter, or "run"
    path: tuple[str, ...] = ()  # keys, positions or attributes on the way into it

    def __str__(self) -> str:
        return ".".join((self.name, *self.path))


def parse(text: str) -> Reference:
    """The reference that stands between the braces. Raises DefinitionError."""
    found = _NAME.match(text)
    if found is None:
        raise DefinitionError(
            f"${{{{{text}}}}} is no reference; write ${{{{ step }}}}, ${{{{ parameter }}}} or ${{{{ step.part }}}}. "
            "What has to be computed is computed in a step."
        )
    name, *path = found[1].split(".")
    return Reference(name, tuple(path))


def write(name: str, *path: str) -> str:
    """The text of a reference."""
    return f"${{{{ {'.'.join((name, *path))} }}}}"


def between_braces(text: str) -> list[str]:
    """What stands between the braces of all references in a text, unread."""
    return [match[2] for match in _REFERENCE.finditer(text) if not match[1]]


def found_in(value: Any) -> Iterator[Reference]:
    """All references in a value made of dicts, lists and texts. Raises DefinitionError for one that cannot be read."""
    if isinstance(value, str):
        yield from map(parse, between_braces(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from found_in(key)
            yield from found_in(item)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            yield from found_in(item)


def fill(value: Any, lookup: Callable[[Reference], Any]) -> Any:
    """A copy of `value` with every reference replaced by what `lookup` gives for it."""
    if isinstance(value, str):
        return _fill_text(value, lookup)
    if isinstance(value, Mapping):
        return {fill(key, lookup): fill(item, lookup) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [fill(item, lookup) for item in value]
    return value


def _fill_text(text: str, lookup: Callable[[Reference], Any]) -> Any:
    whole = _REFERENCE.fullmatch(text)
    if whole is not None and not whole[1] and "}}" not in whole[2]:
        return lookup(parse(whole[2]))
    return replace(text, lambda reference: str(lookup(reference)))


def replace(text: str, write_out: Callable[[Reference], str]) -> str:
    """`text` with each reference replaced by the text that `write_out` gives for it."""

    def one(match: re.Match[str]) -> str:
        return match[0][1:] if match[1] else write_out(parse(match[2]))

    return _REFERENCE.sub(one, text)


def follow(value: Any, reference: Reference) -> Any:
    """The part of `value` that a reference's path leads to. Raises LookupError that says what is there instead."""
    for done, key in enumerate(reference.path):
        if value is None:
            return None  # of a step that did not run
        if isinstance(value, Mapping):
            found = key in value
            step = value[key] if found else None
        elif isinstance(value, Sequence) and key.isdecimal():
            found = int(key) < len(value)
            step = value[int(key)] if found else None
        else:
            found = not key.startswith("_") and hasattr(value, key)
            step = getattr(value, key) if found else None
        if not found:
            here = Reference(reference.name, reference.path[:done])
            raise LookupError(f"${{{{ {reference} }}}}: {here} has no {key!r}; it is {_described(value)}.")
        value = step
    return value


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(str, list(value)[:8])) or 'nothing in it'}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
