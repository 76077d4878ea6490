"""What a flow function may use beside step calls. Outside of a flow each works on plain values."""

from __future__ import annotations

import functools
import random as random_module
import time
import uuid as uuid_module
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from nbflow.engine import barriers, outside
from nbflow.engine.frames import FRAME
from nbflow.engine.placeholders import is_placeholder
from nbflow.model.errors import DefinitionError

T = TypeVar("T")


def wait(value: T) -> T:
    """Wait for a result and return it as the plain value; containers are searched. Raises the step's error.

    Plain values come back as they are. Needed where a placeholder will not do: `x is None`, exact type tests.
    """
    frame = FRAME.get()
    return value if frame is None else barriers.wait(frame, value)


def first(*results: Any) -> Any:
    """The one of `results` (or of one iterable of them) that finished first; waits until one has.

    A failed step counts as finished: its error is raised when the returned value is used. Raises ValueError if
    there are none.
    """
    values = _listed(results)
    if not values:
        raise ValueError("first() of no results: pass at least one.")
    frame = FRAME.get()
    return values[0] if frame is None else barriers.first(frame, values)


def finish_order(*results: Any) -> list[Any]:
    """`results` (or one iterable of them) in the order in which they finished, those not finished yet at the end."""
    values = _listed(results)
    frame = FRAME.get()
    return values if frame is None else barriers.finish_order(frame, values)


def parallel_reduce(function: Callable[[Any, Any], Any], results: Iterable[Any]) -> Any:
    """Combine `results` to one by `function`, a step of two arguments: n - 1 calls, each of any two that are ready.

    Raises ValueError if there are none.
    """
    frame = FRAME.get()
    if frame is not None:
        return barriers.parallel_reduce(frame, function, results)
    values = list(results)
    if not values:
        raise ValueError("parallel_reduce() of no values: pass at least one.")
    return functools.reduce(function, values)


def now() -> datetime:
    """The present time in UTC; in a flow the same again when it is replayed."""
    return _recorded("now", lambda: datetime.now(UTC))


def uuid() -> uuid_module.UUID:
    """A random UUID; in a flow the same again when it is replayed."""
    return _recorded("uuid", uuid_module.uuid4)


def random() -> float:
    """A random number from 0 up to 1; in a flow the same again when it is replayed."""
    return _recorded("random", random_module.random)


def _recorded(name: str, produce: Callable[[], T]) -> T:
    frame = FRAME.get()
    return produce() if frame is None else frame.record(name, produce)


def sleep(when: float | timedelta | datetime) -> None:
    """Let the flow wait: seconds, a timedelta, or until a datetime. On a worker it has no place meanwhile.

    How long is on record: a flow that is resumed waits for the rest only. Outside of a flow it just sleeps.
    """
    frame = FRAME.get()
    if frame is not None:
        outside.sleep(frame, when)
    else:
        time.sleep(max(0.0, outside.moment(when, time.time()) - time.time()))


def receive(name: str, timeout: float | timedelta | datetime | None = None) -> Any:
    """Wait for a signal from outside and return its value: `run.send(name, value)` sends it.

    Signals of one name come in the order in which they were sent; one that was sent before is there at once.
    Raises StepTimeoutError if none comes in time, DefinitionError outside of a flow.
    """
    frame = FRAME.get()
    if frame is None:
        raise DefinitionError("receive() waits for what is sent to a run; call it inside a @flow function.")
    return outside.receive(frame, name, timeout)


def _listed(results: tuple[Any, ...]) -> list[Any]:
    if (
        len(results) == 1
        and not is_placeholder(results[0])
        and isinstance(results[0], Iterable)
        and not isinstance(results[0], (str, bytes))
    ):
        return list(results[0])
    return list(results)
