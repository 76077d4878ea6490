"""Steps that wait: for a time, for a signal, for a file, or until a function says so.

While they wait they have no place on a worker, and the run may be left and gone on with by others.
"""

from __future__ import annotations

import functools
import glob
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from nbflow.authoring.declarative.operators.base import Operator, wrong_durations
from nbflow.authoring.declarative.operators.functions import load
from nbflow.authoring.declarative.references import between_braces
from nbflow.authoring.patterns import now, receive, sleep, wait
from nbflow.authoring.step import Step
from nbflow.model.errors import DefinitionError, NbflowError, StepTimeoutError
from nbflow.model.specs import StepSpec
from nbflow.queue import zones
from nbflow.queue.cron import seconds

_WAYS = ("for", "until", "signal", "file", "function")
_EVERY = 10.0  # seconds between two looks


class Wait(Operator, kind="wait", main="for"):
    """Wait for something, without a place on a worker.

    Settings: `for` a while (30, "10m"), `until` a date or a time of the day ("08:00", in zone `tz`), a `signal`, a
    `file` (a path or pattern), or a `function` (module:name) that returns something true at last. `every` says how
    often to look, and `timeout` how long; then the step fails with StepTimeoutError. The value is the signal's, the
    list of files, or what the function returned.
    """

    target_setting = "function"
    has_steps = True
    target: Callable[..., Any]

    def check(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Whether it waits for one thing, and times are some."""
        ways = [way for way in _WAYS if way in self.settings]
        if len(ways) != 1:
            yield (), f"a step waits for one of {', '.join(_WAYS)}, not {' and '.join(ways) or 'none of them'}."
        yield from wrong_durations(self.settings, ("for",), ("every",), ("timeout",))
        until = self.settings.get("until")
        if isinstance(until, str) and not between_braces(until):
            try:
                moment(until, self.settings.get("tz"), datetime.now(UTC))
            except NbflowError as error:
                yield ("tz" if "zone" in str(error) else "until",), str(error)

    def load(self, name: str) -> Any:
        """The function of this name."""
        return load(name)

    def bind(self, found: Any) -> None:
        """Have `found`, a function or a step, be what is asked."""
        self.bound = found
        self.target = found.spec.function if isinstance(found, Step) else found

    def lasts(self) -> bool:
        """It does nothing else."""
        return True

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Return when it is time."""
        limit = seconds(settings["timeout"]) if "timeout" in settings else None
        if "for" in settings:
            sleep(seconds(settings["for"]))
            return None
        if "until" in settings:
            sleep(moment(settings["until"], settings.get("tz"), now()))
            return None
        if "signal" in settings:
            return receive(settings["signal"], limit)
        if "file" in settings:
            return self._look(_files, (settings["file"],), settings, limit)
        return self._look(functools.partial(self.target, **inputs), (), settings, limit)

    def _look(
        self, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any], limit: float | None
    ) -> Any:
        pace = seconds(settings.get("every", _EVERY))
        look: Step[..., Any] = Step(StepSpec("look", function)).with_options(**self.options)
        looks = 0
        while True:
            found = wait(look(*args))
            if found is not None and found is not False and (not hasattr(found, "__len__") or len(found)):
                return found
            looks += 1
            if looks * pace > (math.inf if limit is None else limit):  # counted, so that a replay does the same
                what = settings.get("file") or settings.get("function")
                raise StepTimeoutError(f"{what!r} did not come within {limit:g} seconds ({looks} looks).")
            sleep(pace)


def moment(text: str, zone: str | None, present: datetime) -> datetime:
    """The time that `until` means: a date with or without time, or the next time that clocks show "HH:MM".

    Raises DefinitionError.
    """
    place = zones.zone(zone or zones.local_name())
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else datetime.fromtimestamp(zones.instant(found, place), place)
    except ValueError:
        pass
    try:
        clock = time_of_day.fromisoformat(text)
    except ValueError:
        raise DefinitionError(f'{text!r} is no time; write "08:00", 2026-03-01 or 2026-03-01T08:00.') from None
    here = present.astimezone(place)
    for days in (0, 1, 2):
        local = datetime.combine(here.date() + timedelta(days), clock)
        found = datetime.fromtimestamp(zones.instant(local, place), place)
        if found > here:
            return found
    raise AssertionError("unreachable")


def _files(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))
