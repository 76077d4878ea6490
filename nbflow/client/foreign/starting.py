"""Connecting to where other systems keep their queues, and what to install for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbflow.model.errors import ConfigError

if TYPE_CHECKING:
    from nbflow.client.foreign.redis_reading import ReadingRedis


def redis_at(url: Any, *, kind: str) -> ReadingRedis:
    """A connection to Redis that only reads. Raises ConfigError if the package redis is not installed."""
    try:
        from nbflow.client.foreign.redis_reading import ReadingRedis
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Reading {kind} queues needs the package {error.name}: pip install 'nbflow[redis]'.", kind=kind
        ) from error
    return ReadingRedis(url, kind=kind)
