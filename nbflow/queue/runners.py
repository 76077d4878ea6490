"""Functions that jobs run instead of the user's own, to call that in another way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any


def each(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call a function once for each of some tuples of arguments."""
    return [function(*items) for items in calls]


async def each_async(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The same for an `async def` function."""
    return [await function(*items) for items in calls]


def spread(function: Callable[..., Any], before: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function with the result of the job before it: a tuple as several arguments, a dict as named ones."""
    if isinstance(before, dict):
        return function(*args, **{**before, **kwargs})
    return function(*(before if isinstance(before, tuple) else (before,)), *args, **kwargs)


async def spread_async(function: Callable[..., Any], before: Any, *args: Any, **kwargs: Any) -> Any:
    """The same for an `async def` function."""
    return await spread(function, before, *args, **kwargs)


def given(value: Any) -> Any:
    """What was given."""
    return value


def name_of(function: Any) -> str:
    """What a function is called."""
    name = str(getattr(function, "__name__", type(function).__name__))
    return "lambda" if name == "<lambda>" else name


_ASYNC: dict[Callable[..., Any], Callable[..., Any]] = {each: each_async, spread: spread_async}


def fitting(runner: Callable[..., Any], function: Any) -> Callable[..., Any]:
    """The form of a runner that can call a function, or a step."""
    called = getattr(getattr(function, "spec", None), "function", function)
    return _ASYNC[runner] if inspect.iscoroutinefunction(called) else runner
