"""YAML as data, with the place of everything in it, and data as YAML.

Only what all versions of YAML read alike is read. A plain `NO` or `on` is a truth value in YAML 1.1 and a text in 1.2
(yaml.org/spec/1.2.2, 10.3), `08:00` a number in base 60 or a text, `010` eight or ten: such scalars are refused, and
the message says how to write either meaning. Tags, and with them objects of Python, are refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from nbflow.authoring.declarative.problems import Path, Place, Problems

_NULL = re.compile(r"(?:null|Null|NULL|~)?\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
# What one version of YAML reads otherwise than another, and what is to be told about it.
_WORD = re.compile(r"(?:y|yes|on|n|no|off)\Z", re.IGNORECASE)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_LEADING_ZERO = re.compile(r"[-+]?0(?:[0-9_]+|o[0-7]+|x[0-9a-fA-F_]+|b[01_]+)\Z")
_GROUPED = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)+(?:\.[0-9_]*)?\Z")
_NO_NUMBER = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")

_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
_MOST = 100_000  # values of a file, with those that aliases repeat


class Document(NamedTuple):
    """What a YAML text says, and where."""

    data: Any
    places: dict[Path, Place]

    def place(self, path: Path) -> Place | None:
        """Where a path stands, or what is nearest around it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path)


def parse(text: str, problems: Problems) -> Document:
    """Read one YAML document; mistakes are noted in `problems`, whose places are then those of the document."""
    reader = _Reader(problems)
    problems.located(reader.document.place)
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark is not None else None
        reader.document.places[("syntax",)] = place or Place(1, 1)
        problems.add(("syntax",), _syntax(error, text, mark), "syntax")
        return reader.document
    except yaml.YAMLError as error:  # such as characters that no YAML may have
        problems.add((), f"this is no YAML: {' '.join(str(error).split())}.", "syntax")
        return reader.document
    if not nodes or nodes[0] is None:
        problems.add((), "the file says nothing; a flow has at least a name and steps.", "syntax")
        return reader.document
    if len(nodes) > 1:
        reader.document.places[("second",)] = _place(nodes[1])
        problems.add(("second",), "a second document begins here; a file is one flow.", "syntax")
    reader.document.places[()] = _place(nodes[0])
    return reader.document._replace(data=reader.read(nodes[0], ()))


def _place(node: Any) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError, text: str, mark: Any) -> str:
    told = (error.problem or error.context or "it cannot be read").rstrip(".")
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{told}. Indent with spaces, not with tabs."
    if "${{" in line:
        return f'{told}. Inside of {{ }} and [ ], and before ": ", put references in quotes: "${{{{ step }}}}".'
    if "mapping values are not allowed" in told:
        return f"{told}. A text with a colon and a space in it needs quotes."
    return f"{told}. Look at indentation and quotes here and just before."


class _Reader:
    """Turns nodes into data."""

    def __init__(self, problems: Problems) -> None:
        self.document = Document(None, {(): Place(1, 1)})
        self._problems = problems
        self._open: set[int] = set()  # nodes that are being read, by id
        self._count = 0

    def read(self, node: Any, path: Path) -> Any:
        self._count += 1
        if self._count > _MOST:
            if self._count == _MOST + 1:
                self._tell(node, path, f"aliases blow the file up to more than {_MOST:,} values; write less of them.")
            return None
        if node.tag not in _PLAIN_TAGS and node.tag != "!":
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._tell(node, path, f"the tag {tag} is not read: a flow is made of texts, numbers, lists and mappings.")
            return None
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style is not None or node.tag == "!" else self._scalar(node, path)
        if id(node) in self._open:
            self._tell(node, path, "this contains itself by an alias.")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _sequence(self, node: Any, path: Path) -> list[Any]:
        found = []
        for position, item in enumerate(node.value):
            self.document.places[(*path, position)] = _place(item)
            if isinstance(item, yaml.ScalarNode):
                self.document.places.setdefault((*path, item.value), _place(item))
            found.append(self.read(item, (*path, position)))
        return found

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._tell(key, path, 'a key is a text. For a reference write ${{ step }}, with "$" before the braces.')
                continue
            if key.value == "<<" and key.style is None:
                merged |= self._merged(value, path)
                continue
            here = (*path, key.value)
            if key.value in found:
                first = self.document.places[here]
                self._tell(key, here, f"the key {key.value!r} is here twice; the first is in line {first.line}.")
                continue
            self.document.places[here] = _place(key)
            if isinstance(value, yaml.ScalarNode):
                self.document.places.setdefault((*here, value.value), _place(value))
            found[key.value] = self.read(value, here)
        return {**{key: item for key, item in merged.items() if key not in found}, **found}

    def _merged(self, node: Any, path: Path) -> dict[str, Any]:
        """What `<<: *anchor` brings."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in parts:
            value = self.read(part, path)
            if not isinstance(value, Mapping):
                self._tell(part, path, "<< takes an alias of a mapping, or a list of them.")
                continue
            found = {**value, **found}
        return found

    def _scalar(self, node: Any, path: Path) -> Any:
        told = _doubt(node.value)
        if told is not None:
            self._tell(node, path, told)
            return None
        return plain_value(node.value)

    def _tell(self, node: Any, path: Path, message: str) -> None:
        """Note a mistake at the place of a node, which need not be that of its path."""
        key = (*path, f"at {node.start_mark.index}")
        self.document.places[key] = _place(node)
        self._problems.add(key, message, "syntax")
        self._problems.spoilt.add(path)


def plain_value(text: str) -> Any:
    """What a scalar without quotes means by the core schema of YAML 1.2."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _doubt(text: str) -> str | None:
    """Why a scalar without quotes is refused; None if everybody reads it alike."""
    if _WORD.match(text):
        truth = "true" if text.lower() in ("y", "yes", "on") else "false"
        return f'{text} is a truth value to some readers of YAML and a text to others. Write "{text}", or {truth}.'
    if _BASE_60.match(text):
        return f'{text} is a number in base 60 to some readers of YAML and a text to others. Write "{text}".'
    if _LEADING_ZERO.match(text):
        return f'{text} is another number to some readers of YAML than to others. Write "{text}", or a decimal number.'
    if _GROUPED.match(text):
        number = text.replace("_", "")
        return f'{text} is a number to some readers of YAML and a text to others. Write {number}, or "{text}".'
    if _NO_NUMBER.match(text):
        return f'{text} is no number that can be kept in JSON. Leave it out, or write "{text}" for the text.'
    return None


# Writes what `parse` reads back; everything is written out, without aliases.
_Dumper: Any = type("_Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})


def _written(dumper: Any, text: str) -> Any:
    style = None
    if "\n" in text and not any(line != line.rstrip() for line in text.splitlines()):
        style = "|"
    elif _doubt(text) is not None or not isinstance(plain_value(text), str):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _written)


def write(data: Mapping[str, Any]) -> str:
    """Data as YAML."""
    text: str = yaml.dump(
        dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )
    return text
