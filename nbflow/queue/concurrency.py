"""How many jobs a worker runs at a time: a number, or an expression with `cores`."""

from __future__ import annotations

import ast
import math
import operator
import os
from collections.abc import Callable
from typing import Any

from nbflow.model.errors import ConfigError

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "int": int, "round": round}
_LONGEST = 100
_MOST = 10_000


def evaluate(text: str | int, cores: int | None = None) -> int:
    """The number that `text` means, such as 4, "cores*2" or "max(1, cores-1)"; at least 1.

    Only numbers, `cores`, + - * / // and min, max, int, round are understood. Raises ConfigError for all else.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        number: Any = text
    else:
        number = _calculated(str(text), cores if cores is not None else usable_cores())
    if not isinstance(number, (int, float)) or not math.isfinite(number) or not 1 <= int(number) <= _MOST:
        raise _wrong(text, f"it gives {number!r}, which is not between 1 and {_MOST:,}")
    return int(number)


def usable_cores() -> int:
    """The processors that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


def _calculated(text: str, cores: int) -> Any:
    if len(text) > _LONGEST:
        raise _wrong(text[:40] + "…", "it is too long")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise _wrong(text, "it is no expression") from error
    try:
        return _value(tree.body, cores, text)
    except (ArithmeticError, TypeError, RecursionError) as error:
        raise _wrong(text, str(error)) from error


def _value(node: ast.expr, cores: int, text: str) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id == "cores":
        return cores
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, cores, text), _value(node.right, cores, text))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, cores, text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        if node.keywords:
            raise _wrong(text, f"{node.func.id} takes plain arguments only")
        return _FUNCTIONS[node.func.id](*[_value(argument, cores, text) for argument in node.args])
    raise _wrong(text, f"{ast.unparse(node)!r} is not allowed in it")


def _wrong(text: object, why: str) -> ConfigError:
    return ConfigError(
        f"{text!r} is no concurrency: {why}. Write a number, or an expression with 'cores' such as 'cores*2' or "
        "'max(1, cores-1)'."
    )
