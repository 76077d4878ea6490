"""What an earlier execution of a run left, and whether a replayed flow function keeps to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbflow.model.errors import PathChangedError
from nbflow.model.records import StoredValue, TaskRecord

if TYPE_CHECKING:
    from nbflow.engine.decide import Task


class History:
    """The stored tasks of a run that is resumed."""

    def __init__(self, tasks: Iterable[TaskRecord] = ()) -> None:
        self._by_key: dict[str, TaskRecord] = {}
        self._calls: dict[str, list[str]] = {}
        self.last_seq = 0
        for record in sorted(tasks, key=_position):
            self._by_key[record.key] = record
            if record.position:
                self._calls.setdefault(record.key.rpartition("/")[0], []).append(record.key)
            self.last_seq = max(self.last_seq, record.seq)

    def find(self, key: str) -> TaskRecord | None:
        """The stored task of this key."""
        return self._by_key.get(key)

    def reusable(self, key: str, code_digest: str | None, input_digest: str) -> TaskRecord | None:
        """The stored task, if it succeeded with the same inputs and the same code (None: whatever its code was)."""
        record = self._by_key.get(key)
        if record is None or record.state != "succeeded":
            return None
        if code_digest not in (None, record.code_digest) or record.input_digest != input_digest:
            return None
        return record

    def failed(self, key: str, code_digest: str, input_digest: str) -> TaskRecord | None:
        """The stored task, if it failed with the same code and inputs."""
        record = self._by_key.get(key)
        if record is None or record.state not in ("failed", "timed_out", "cancelled", "expired"):
            return None
        if record.code_digest != code_digest or record.input_digest != input_digest:
            return None
        return record

    def recorded(self, name: str) -> list[TaskRecord]:
        """What flow functions recorded under a name."""
        wanted = f"@{name}"
        return [task for task in self._by_key.values() if task.name == wanted and task.state == "succeeded"]

    def script(self, path: str) -> Script:
        """The calls that the flow function at `path` made before."""
        return Script(self._calls.get(path, []), self)


class Script:
    """The calls one flow function made before; tells when a replay leaves them.

    A replay has to make the same calls as long as everything it saw is what it saw before. Once a task came out
    differently (it failed then, or its code was changed), other calls are to be expected.
    """

    __slots__ = ("_calls", "_faithful", "_history", "_made", "_position")

    def __init__(self, calls: list[str], history: History) -> None:
        self._calls = calls
        self._history = history
        self._position = 0
        self._faithful = True
        self._made: set[str] | None = set() if calls else None

    def called(self, key: str) -> None:
        """Note a call; raises `PathChangedError` where another one was made before."""
        if self._faithful and self._position < len(self._calls):
            expected = self._calls[self._position]
            if expected != key:
                raise _changed(self._position + 1, expected, f"now it is {key!r}", key)
        self._position += 1
        if self._made is not None:
            self._made.add(key)

    def gave(self, record: TaskRecord, digest: str) -> None:
        """Note with which inputs a call is made again; raises `PathChangedError` if they were others before."""
        if self._faithful and record.input_digest not in (None, digest):
            raise _changed(self._position, record.key, "now it is given other arguments", record.key)

    def left_out(self) -> list[str]:
        """Keys of the calls made before that were not made again."""
        return [key for key in self._calls if key not in self._made] if self._made is not None else []

    def saw(self, task: Task) -> None:
        """Note that the flow function used this task's value or error."""
        if not self._faithful or not self._calls:
            return
        record = self._history.find(task.key)
        if record is None:
            return
        value, failure = task.value, task.failure
        if value is not None:
            self._faithful = record.result_digest == value.digest
        elif failure is not None:
            self._faithful = (record.error_type, record.error_message) == (failure.record.type, failure.record.message)

    def ended(self) -> None:
        """Note that the flow function returned; raises `PathChangedError` if it made more calls before."""
        if self._faithful and self._position < len(self._calls):
            expected = self._calls[self._position]
            raise _changed(self._position + 1, expected, "now the flow function ends before it", expected)


def _changed(number: int, expected: str, now: str, key: str) -> PathChangedError:
    return PathChangedError(
        f"The flow function took another path than before: call {number} was {expected!r}, {now}. A flow function "
        "has to make the same calls when it is replayed: take time, random numbers and outside data from steps or "
        "from nbflow.now(), nbflow.uuid() and nbflow.random(). If its code was changed on purpose, start a new run: "
        "steps with cache=True keep their results.",
        call=key,
        expected=expected,
    )


def stored_value(record: TaskRecord, data: bytes | None) -> StoredValue:
    """The value of a stored task; `data` is its unsealed payload."""
    return StoredValue(
        record.result_digest or "", record.result_size or 0, record.result_type or "", data, record.result_uri
    )


def _position(record: TaskRecord) -> int:
    return record.position
