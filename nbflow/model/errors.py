"""Every error that nbflow raises, as one tree.

    NbflowError
    ├── ConfigError                      settings, options, environment variables
    ├── DefinitionError                  a step or flow that is declared wrongly
    │   ├── ParameterError               unknown, missing or wrongly typed parameter
    │   ├── UnknownStepError
    │   └── CycleError
    ├── SecretError                      secrets that cannot be used
    │   └── SecretMissingError
    ├── EnvironmentFailedError           a Python environment that cannot be made
    ├── CodecError                       values that cannot be stored or restored
    │   ├── UnpicklableError
    │   ├── ValueTooLargeError
    │   ├── SecretInValueError
    │   ├── SignatureError
    │   └── ArtifactMissingError
    ├── StorageError                     the database
    │   ├── DatabaseMissingError
    │   ├── DatabaseNewerError
    │   ├── DatabaseLockedError
    │   ├── DatabaseCorruptError
    │   ├── DatabaseReadOnlyError
    │   ├── DiskFullError
    │   └── DatabaseUnreachableError
    ├── RunError                         one execution of a flow
    │   ├── RunNotFoundError
    │   ├── RunActiveError
    │   ├── RunFailedError
    │   ├── FlowNotFoundError
    │   └── PathChangedError
    ├── TaskError                        one execution of a step; raised where its value is used
    │   ├── StepTimeoutError (TimeoutError)
    │   │   └── SoftTimeoutError
    │   ├── JobExpiredError
    │   ├── TaskCancelledError
    │   ├── WorkerLostError
    │   ├── StepResultError
    │   └── RemoteError
    ├── QueueError                       queues, their jobs, workers and schedules
    │   ├── UnknownQueueError
    │   ├── QueueClosedError
    │   ├── JobNotFoundError
    │   ├── JobExistsError
    │   ├── JobUnfinishedError
    │   ├── RetryLater                   raised by a job that wants to be run again
    │   └── ScheduleError
    ├── DeploymentError                  deployments and their versions
    │   ├── PromotionError               a flow that cannot become a version
    │   └── CheckFailedError             a version whose check did not pass
    ├── TriggerError                     what starts deployments from outside
    │   ├── TriggerNotFoundError
    │   ├── NotAllowedError
    │   ├── KeyReusedError
    │   └── TooManyStartsError
    └── NotebookError                    notebooks and their cells
        ├── NotANotebookError
        └── CellSyntaxError

Messages say what is wrong and end with the way out. Data that a program may want sits in attributes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any


class NbflowError(Exception):
    """Base of all errors of nbflow."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details

    def __getattr__(self, name: str) -> Any:
        details = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), self.details))


def _rebuild(kind: type[NbflowError], message: str, details: dict[str, Any]) -> NbflowError:
    return kind(message, **details)


class ConfigError(NbflowError):
    """A setting, option or environment variable has a value that cannot be used."""


class DefinitionError(NbflowError):
    """A step or flow is declared in a way that cannot run."""


class ParameterError(DefinitionError):
    """A parameter is unknown, missing or of the wrong type."""


class UnknownStepError(DefinitionError):
    """A step is named that the flow does not have."""


class CycleError(DefinitionError):
    """Steps depend on one another in a circle; `details["cycle"]` lists them."""


class SecretError(NbflowError):
    """A secret cannot be used: its name, its value or the place where it is kept."""


class SecretMissingError(SecretError):
    """A secret is in none of its places; `details` hold `name` and `places`, those that were looked at."""


class EnvironmentFailedError(NbflowError):
    """A Python environment of its own, which a version asks for, cannot be made."""


class CodecError(NbflowError):
    """A value cannot be stored or restored."""


class UnpicklableError(CodecError):
    """A value cannot be turned into bytes; `details` hold `path` inside the value and `type`."""


class ValueTooLargeError(CodecError):
    """A value is larger than the settings allow; `details` hold `size` and `limit` in bytes."""


class SecretInValueError(CodecError):
    """A value holds a secret, so it is not stored; `details["name"]` is the secret's."""


class SignatureError(CodecError):
    """Stored bytes do not carry a valid signature of this deployment, or were changed since they were written."""


class ArtifactMissingError(CodecError):
    """The artifact store no longer has a value that the database names."""


class StorageError(NbflowError):
    """The database cannot do what was asked."""


class DatabaseMissingError(StorageError):
    """There is no database where one was named."""


class DatabaseNewerError(StorageError):
    """The database was written by a newer nbflow."""


class DatabaseLockedError(StorageError):
    """Another process holds the database for longer than the settings wait."""


class DatabaseCorruptError(StorageError):
    """The file is not a database, or is damaged."""


class DatabaseReadOnlyError(StorageError):
    """The database cannot be written to."""


class DiskFullError(StorageError):
    """There is no space left for the database or the artifacts."""


class DatabaseUnreachableError(StorageError):
    """No connection to the database server."""


class RunError(NbflowError):
    """One execution of a flow cannot go on."""


class RunNotFoundError(RunError):
    """No run has this id."""


class RunActiveError(RunError):
    """Another living process executes this run."""


class RunFailedError(RunError):
    """The run has no result because it failed or was cancelled."""


class FlowNotFoundError(RunError):
    """The code of a run's flow cannot be found again."""


class PathChangedError(RunError):
    """A replayed flow function made other calls than it made before; `details["call"]` names the first."""


class TaskError(NbflowError):
    """A task has no value; raised where the value is used."""


class StepTimeoutError(TaskError, TimeoutError):
    """A step took longer than its `timeout`."""


class SoftTimeoutError(StepTimeoutError):
    """A job has used up its `soft_timeout`; raised inside of it, so that it can clean up and end by itself."""


class JobExpiredError(TaskError):
    """A job was not begun in the time that it was given."""


class TaskCancelledError(TaskError):
    """The task was cancelled before it finished."""


class WorkerLostError(TaskError):
    """The process that ran the task died."""


class StepResultError(TaskError):
    """A step returned something that is not a value, such as a generator."""


class RemoteError(TaskError):
    """A step failed with an exception that cannot be brought here; the message holds its text."""


class QueueError(NbflowError):
    """Something with queues, their jobs, workers or schedules cannot be done."""


class UnknownQueueError(QueueError):
    """No queue has this name."""


class QueueClosedError(QueueError):
    """The queue is being drained and takes no jobs."""


class JobNotFoundError(QueueError):
    """No job has this id."""


class JobExistsError(QueueError):
    """Another job holds this unique key; `details["job"]` is its id."""


class JobUnfinishedError(QueueError, TimeoutError):
    """The job has not finished, or not within the time that was given."""


class RetryLater(QueueError):
    """Raised by a job to be run again: `RetryLater(60)` in so many seconds, or at a datetime."""

    def __init__(self, when: float | timedelta | datetime = 0.0, message: str = "", **details: Any) -> None:
        super().__init__(message or "The job asked to be run again.", **details)
        self.when = when

    def moment(self, now: float) -> float:
        """The time meant, in seconds since 1970, `now` being the present one."""
        if isinstance(self.when, datetime):
            return self.when.timestamp()
        seconds = self.when.total_seconds() if isinstance(self.when, timedelta) else self.when
        return now + float(seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.when, str(self)))


class ScheduleError(QueueError):
    """A schedule cannot be used: its expression, zone or times are wrong."""


class DeploymentError(NbflowError):
    """A deployment, or a version of one, that cannot be used: there is none of that name or number."""


class PromotionError(DeploymentError):
    """A flow cannot become a version of a deployment."""


class CheckFailedError(DeploymentError):
    """A version does not do in a clean process what it did before; `details` hold the `report`."""


class TriggerError(NbflowError):
    """What starts a deployment from outside cannot be made, or cannot start it."""


class TriggerNotFoundError(TriggerError):
    """There is no trigger, or no deployment, of this name."""


class NotAllowedError(TriggerError):
    """The token or the signature is wrong, or missing."""


class KeyReusedError(TriggerError):
    """An event of this key came before, with other parameters."""


class DeploymentPausedError(TriggerError):
    """A deployment that is paused was to be started from outside."""


class TooManyStartsError(TriggerError):
    """So many starts of a deployment wait already that it takes no more; `details["wait"]` is how many may."""


class NotebookError(NbflowError):
    """A notebook cannot be used as a flow."""


class InputRequestedError(NotebookError):
    """A cell waits for somebody to type something."""


class NotANotebookError(NotebookError):
    """The file is not a Jupyter notebook that nbflow can read."""


class CellSyntaxError(NotebookError):
    """A cell is not valid Python; `details` hold `cell` and `line`, both counted from 1."""
