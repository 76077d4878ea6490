"""The endpoint: four addresses, and the same form of answer from all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nbflow.deploying import webhooks
from nbflow.deploying.starts import Start
from nbflow.deploying.triggers import Triggers
from nbflow.server import answers
from nbflow.server.readiness import Checks, readiness

_PATIENCE = 10.0  # seconds for a body to arrive
_CODES = {404: "not_found", 405: "wrong_method"}
_WORDS = {
    404: "There is nothing here. See POST /trigger/DEPLOYMENT, POST /event/NAME, GET /health/live and /health/ready.",
    405: "This address takes another method: POST to start something, GET for health.",
}


class _TooLargeError(Exception):
    """A body is larger than it may be."""


def application(triggers: Triggers, alive: Checks) -> Starlette:
    """The endpoint of a database. `alive`: further checks of readiness."""

    async def live(_request: Request) -> Response:
        return answers.answer({"live": True})

    async def ready(_request: Request) -> Response:
        found = await run_in_threadpool(readiness, triggers.broker.database, alive)
        return answers.answer({"ready": found.ready, "checks": found.checks}, 200 if found.ready else 503)

    async def trigger(request: Request) -> Response:
        name = request.path_params["deployment"]
        return await _started(request, lambda asked: [webhooks.trigger(triggers, name, asked)])

    async def event(request: Request) -> Response:
        name = request.path_params["name"]
        return await _started(request, lambda asked: webhooks.event(triggers, name, asked))

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/trigger/{deployment}", trigger, methods=["POST"]),
            Route("/event/{name}", event, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused},
    )


async def _refused(_request: Request, problem: Exception) -> Response:
    status = getattr(problem, "status_code", 400)
    return answers.error(status, _CODES.get(status, "refused"), _WORDS.get(status, "The request is refused."))


async def _started(request: Request, start: Callable[[webhooks.Request], list[Start]]) -> Response:
    """Read a request, do what it asks for on a thread, and tell what came of it."""
    try:
        body = await asyncio.wait_for(_body(request), _PATIENCE)
    except _TooLargeError:
        largest = f"{webhooks.LARGEST // 1024} KiB"
        return answers.error(413, "too_large", f"The body is larger than {largest}. Store it, and send where it is.")
    except TimeoutError:
        return answers.error(408, "too_slow", f"The body did not arrive within {_PATIENCE:g} seconds.")
    except ClientDisconnect:
        return answers.error(400, "bad_body", "The body ended too early.")
    headers = request.headers
    asked = webhooks.Request(
        body,
        headers.get("authorization", ""),
        headers.get("x-nbflow-signature", ""),
        headers.get("idempotency-key", ""),
    )
    try:
        found = await run_in_threadpool(start, asked)
    except Exception as problem:  # whatever it is, the answer has one form
        return answers.of(problem)
    return _told(found)


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > webhooks.LARGEST:
        raise _TooLargeError
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > webhooks.LARGEST:
            raise _TooLargeError
        parts.append(part)
    return b"".join(parts)


def _told(found: list[Start]) -> JSONResponse:
    """202 if something was started, else 200: it was started before, is paused, or nobody listens."""
    starts = [{"deployment": each.deployment, "outcome": each.outcome, "job": each.job} for each in found]
    message = " ".join(each.words() for each in found) or "Nobody listens to this event; nothing was started."
    status = 202 if any(each.outcome in ("started", "joined") for each in found) else 200
    return answers.answer({"starts": starts, "message": message}, status)
