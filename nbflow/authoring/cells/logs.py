"""The state of `logging`, in a form that can travel: levels, and handlers that write to a stream or a file."""

from __future__ import annotations

import logging
import sys
from typing import Any, NamedTuple

_NAMES = {"stderr", "stdout"}


class LoggerState(NamedTuple):
    """What cells may set on a logger."""

    level: int
    disabled: bool
    propagate: bool
    handlers: tuple[Any, ...]  # HandlerState, or the id of a handler of another kind, which cannot travel


class HandlerState(NamedTuple):
    """One handler that can be made anew."""

    target: str  # "stderr", "stdout" or the path of a file
    level: int
    format: str | None
    date_format: str | None


def state() -> dict[str, LoggerState]:
    """The state of every logger that is not as it was made."""
    found = {"": _state_of(logging.root)}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            mine = _state_of(logger)
            if mine != _FRESH:
                found[name] = mine
    return found


_FRESH = LoggerState(logging.NOTSET, disabled=False, propagate=True, handlers=())


def apply(wanted: dict[str, LoggerState]) -> None:
    """Bring this process's loggers to a state."""
    present = state()
    for name in {*present, *wanted}:
        new = wanted.get(name, _FRESH)
        if present.get(name, _FRESH) == new:
            continue
        logger = logging.getLogger(name) if name else logging.root
        logger.setLevel(new.level)
        logger.disabled, logger.propagate = new.disabled, new.propagate
        _set_handlers(logger, new.handlers)


def _state_of(logger: logging.Logger) -> LoggerState:
    handlers = tuple(_handler_state(handler) for handler in logger.handlers)
    return LoggerState(logger.level, logger.disabled, logger.propagate, handlers)


def _handler_state(handler: logging.Handler) -> Any:
    kind = type(handler)
    target: str | None = None
    if kind is logging.FileHandler:
        target = handler.baseFilename  # type: ignore[attr-defined]
    elif kind is logging.StreamHandler:
        target = _stream_name(handler.stream)  # type: ignore[attr-defined]
    formatter = handler.formatter
    if target is None or handler.filters or (formatter is not None and type(formatter) is not logging.Formatter):
        return id(handler)
    if formatter is None:
        return HandlerState(target, handler.level, None, None)
    return HandlerState(target, handler.level, formatter._fmt, formatter.datefmt)


def _stream_name(stream: Any) -> str | None:
    # Streams are stood in for while output is captured; a name survives that.
    name = getattr(stream, "_name", None) or getattr(stream, "name", "")
    name = str(name).strip("<>")
    return name if name in _NAMES else None


def _set_handlers(logger: logging.Logger, wanted: tuple[Any, ...]) -> None:
    by_state: dict[Any, logging.Handler] = {}
    for handler in list(logger.handlers):
        by_state[_handler_state(handler)] = handler
        logger.removeHandler(handler)
    for item in wanted:
        made = by_state[item] if item in by_state else _make(item)
        if made is not None:
            logger.addHandler(made)


def _make(found: Any) -> logging.Handler | None:
    if not isinstance(found, HandlerState):
        return None  # of another process
    handler: logging.Handler = (
        logging.StreamHandler(getattr(sys, found.target))
        if found.target in _NAMES
        else logging.FileHandler(found.target, mode="a")
    )
    handler.setLevel(found.level)
    if found.format is not None:
        handler.setFormatter(logging.Formatter(found.format, found.date_format))
    return handler
