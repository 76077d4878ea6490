"""`-p NAME=VALUE`: texts become values of the types that a flow declares."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import typing
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any

from nbflow.model.errors import ParameterError
from nbflow.values.secrets.references import Secret, named

_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_CONTAINERS: dict[Any, tuple[type, ...]] = {
    list: (list,), tuple: (list, tuple), set: (list, set), frozenset: (list, set), dict: (dict,)
}  # fmt: skip


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """Texts NAME=VALUE as a mapping. Raises ParameterError."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"{option} takes NAME=VALUE, not {text!r}.")
        found[name.strip()] = value
    return found


def parameters(flow: Any, given: Sequence[str]) -> dict[str, Any]:
    """The values of `-p NAME=VALUE` texts, in the types that the flow declares. Raises ParameterError."""
    texts = pairs(given, "-p")
    if flow.spec.kind == "notebook":
        return dict(flow.parameters_from_texts(texts))
    declared = inspect.signature(flow.spec.function).parameters
    known = {name: item for name, item in declared.items() if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)}
    takes_any = any(item.kind is item.VAR_KEYWORD for item in declared.values())
    _check_names(flow.spec.name, texts, known, takes_any=takes_any)
    hints = _hints(flow.spec.function)
    return {
        name: _converted(name, text, hints.get(name), known[name].default) if name in known else _literal(text)
        for name, text in texts.items()
    }


def _check_names(flow: str, texts: dict[str, str], known: dict[str, inspect.Parameter], *, takes_any: bool) -> None:
    signature = ", ".join(_described(item) for item in known.values())
    for name in texts:
        if name not in known and not takes_any:
            has = f"Its parameters are: {signature}." if known else "It has none."
            raise ParameterError(f"flow {flow!r} has no parameter {name!r}. {has}", name=name)
    missing = [name for name, item in known.items() if item.default is item.empty and name not in texts]
    if missing:
        options = " ".join(f"-p {name}=VALUE" for name in missing)
        raise ParameterError(
            f"flow {flow!r} needs a value for {', '.join(missing)}: add {options}. Its parameters are: {signature}.",
            name=missing[0],
        )


def _described(item: inspect.Parameter) -> str:
    annotation = "" if item.annotation is item.empty else f": {inspect.formatannotation(item.annotation)}"
    return f"{item.name}{annotation}".replace("'", "") + ("" if item.default is item.empty else f" = {item.default!r}")


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations may name what is only imported for type checkers
        return {}


def _converted(name: str, text: str, hint: Any, default: Any) -> Any:
    secret = named(text)
    if secret is not None:
        return Secret(secret)  # a text, whatever is declared: it is looked up where steps run
    kinds = _kinds(hint)
    if not kinds and default is not None and default is not inspect.Parameter.empty:
        kinds = [type(default)]
    for kind in kinds:
        try:
            return _as(kind, text)
        except (ValueError, ArithmeticError):  # decimal's errors are arithmetic ones
            continue
    if not kinds:
        return _literal(text)
    wanted = " or ".join(_word(kind) for kind in kinds)
    raise ParameterError(f"parameter {name!r} takes {wanted}, and {text!r} is not that.", name=name)


def _kinds(hint: Any) -> list[Any]:
    """What an annotation allows, the strictest first; nothing if it allows anything."""
    if hint is None or hint is Any:
        return []
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _kinds(typing.get_args(hint)[0])
    if origin in (typing.Union, UnionType):
        found = [kind for part in typing.get_args(hint) for kind in _kinds(part)]
        return sorted(found, key=lambda kind: kind is str)  # any text is a str, so the others have the first say
    return [hint]


def _as(kind: Any, text: str) -> Any:
    """`text` as a value of this kind; raises ValueError."""
    if typing.get_origin(kind) is typing.Literal:
        return next(iter(value for value in typing.get_args(kind) if str(value) == text), None) or _no()
    kind = typing.get_origin(kind) or kind
    if kind is bool:
        return _TRUTH[text.strip().lower()] if text.strip().lower() in _TRUTH else _no()
    if kind is NoneType:
        return None if text.strip().lower() in ("none", "null") else _no()
    if kind in _CONTAINERS:
        value = _literal(text)
        return kind(value) if isinstance(value, _CONTAINERS[kind]) else _no()
    if isinstance(kind, type):
        constructor = _constructor(kind)
        if constructor is not None:
            return constructor(text)
    return _literal(text)


def _constructor(kind: type) -> Callable[[str], Any] | None:
    if issubclass(kind, enum.Enum):
        members = {**{str(member.value): member for member in kind}, **kind.__members__}
        return lambda text: members[text] if text in members else _no()
    if issubclass(kind, (date, datetime)):
        return kind.fromisoformat
    plain = issubclass(kind, (int, float, complex, str, PurePath)) or kind.__module__ in (
        "decimal",
        "uuid",
        "fractions",
    )
    return kind if plain else None


def _no() -> Any:
    raise ValueError


def _literal(text: str) -> Any:
    """JSON or a Python literal; a text that is neither is itself."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text


def _word(kind: Any) -> str:
    if kind is NoneType:
        return "none"
    if kind is bool:
        return "true or false"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(value) for value in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(kind.__members__)
    if (typing.get_origin(kind) or kind) in _CONTAINERS:
        return f"a {(typing.get_origin(kind) or kind).__name__} as JSON, such as " + (
            "'{\"a\": 1}'" if (typing.get_origin(kind) or kind) is dict else "'[1, 2]'"
        )
    name = getattr(kind, "__name__", str(kind))
    return f"{'an' if name[:1] in 'aeio' else 'a'} {name}"
