"""The exit codes of the commands."""

from __future__ import annotations

from nbflow.model import errors

SUCCESS, FAILED, USAGE, NOT_FOUND, STORAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130


def exit_code(error: BaseException) -> int:
    """The exit code for an error that ends a command."""
    if isinstance(error, (errors.RunNotFoundError, errors.JobNotFoundError, errors.UnknownStepError,
                          errors.TriggerNotFoundError)):  # fmt: skip
        return NOT_FOUND
    if isinstance(error, (errors.StorageError, errors.SignatureError, errors.ArtifactMissingError)):
        return STORAGE
    if isinstance(error, (errors.TaskError, errors.RunFailedError, errors.PathChangedError)):
        return FAILED
    return USAGE
