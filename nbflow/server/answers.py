"""What errors look like over HTTP: a status, a code for programs, a sentence for people; never a trace or a path."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.deploying.webhooks import BadBodyError
from nbflow.model import errors

if TYPE_CHECKING:
    from starlette.responses import JSONResponse

_log = logging.getLogger("nbflow")
_AGAIN = {"Retry-After": "10"}  # seconds


class _Form(NamedTuple):
    status: int
    code: str
    words: str | None = None  # None: those of the error, which are for whoever may see them
    headers: dict[str, str] | None = None


# The first that fits. Whoever is told an error's own words has shown a token before.
_FORMS: tuple[tuple[type[Exception], _Form], ...] = (
    (errors.NotAllowedError, _Form(401, "unauthorized", None, {"WWW-Authenticate": "Bearer"})),
    (BadBodyError, _Form(400, "bad_body")),
    (errors.ParameterError, _Form(422, "bad_parameters")),
    (errors.KeyReusedError, _Form(409, "key_reused")),
    (errors.DeploymentPausedError, _Form(409, "paused")),
    (errors.TooManyStartsError, _Form(429, "too_many_starts", None, _AGAIN)),
    (errors.TriggerNotFoundError, _Form(404, "not_found")),
    (errors.QueueClosedError, _Form(503, "closed", "The queue of the deployment takes nothing just now.", _AGAIN)),
    (errors.StorageError, _Form(503, "unavailable", "The database cannot be used just now. Try again.", _AGAIN)),
    (errors.DefinitionError, _Form(422, "bad_name")),
)


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as an answer."""
    return answer({"error": {"code": code, "message": message}}, status, headers)


def answer(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that nobody on the way keeps."""
    from starlette.responses import JSONResponse

    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})


def of(problem: Exception) -> JSONResponse:
    """The answer to a request that ended with an error. What nobody foresaw is logged under a number that is told."""
    for kind, form in _FORMS:
        if isinstance(problem, kind):
            if isinstance(problem, errors.StorageError):
                _log.warning("A request could not be served: %s", problem)
            return error(form.status, form.code, form.words or str(problem), form.headers)
    number = secrets.token_hex(4)
    _log.error("A request failed (%s).", number, exc_info=problem)
    return error(500, "internal", f"Something went wrong here. Whoever runs this finds it in the log as {number}.")
