"""Requests over HTTP that start deployments: who may, what they say, and once for each key. Knows no HTTP server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbflow.deploying import tokens
from nbflow.deploying.starts import Asked, Start, key_of
from nbflow.deploying.triggers import Triggers
from nbflow.model.deployments import TriggerRecord
from nbflow.model.errors import DeploymentPausedError, NotAllowedError, ParameterError
from nbflow.storage import triggers as stored

LARGEST = 256 * 1024  # bytes of a body
_BEARER = "bearer "
_NO_TOKENS = [[tokens.digest("nobody's"), 0.0]]  # compared with where there is nothing else, to take the same time


class Request(NamedTuple):
    """What a request over HTTP says."""

    body: bytes
    authorization: str = ""  # header: Bearer TOKEN
    signature: str = ""  # header X-Nbflow-Signature
    key: str = ""  # header Idempotency-Key


class BadBodyError(ParameterError):
    """The body of a request is not what it has to be."""


def trigger(triggers: Triggers, deployment: str, request: Request) -> Start:
    """Start a deployment, if the request carries one of the tokens of its webhooks.

    Raises NotAllowedError, whatever is wrong with the token or the deployment; BadBodyError, ParameterError,
    KeyReusedError, TooManyStartsError, DeploymentPausedError.
    """
    with triggers.broker.database.read() as connection:
        hooks = [each for each in stored.listed(connection, deployment) if each.kind == "webhook"]
    hook = _admitted(triggers, hooks if deployment else [], request)
    options = json.loads(hook.options)
    body = _parsed(request.body)
    parameters = {options["body_as"]: body} if options["body_as"] else _parameters(body)
    key = key_of("webhook", hook.name, _key(request, options))
    (start,) = triggers.starts.start([Asked(hook, key, parameters, strict=True)])
    if start.outcome == "paused":
        raise DeploymentPausedError(f"{start.words()}. Send it again then.", deployment=deployment)
    return start


def event(triggers: Triggers, name: str, request: Request) -> list[Start]:
    """Tell of an event, if the request carries a token of a sender who may; as `Triggers.emit` does otherwise.

    Raises NotAllowedError and what `trigger` raises.
    """
    with triggers.broker.database.read() as connection:
        senders = stored.of_kind(connection, "sender", [name, "*"])
    sender = _admitted(triggers, senders, request)
    parameters = _parameters(_parsed(request.body))
    return triggers.emit(name, parameters, key=_key(request, json.loads(sender.options)), strict=True)


def _admitted(triggers: Triggers, records: Sequence[TriggerRecord], request: Request) -> TriggerRecord:
    """The one whose token or signature the request carries. All are looked at, so that none tells itself by time."""
    now, signer = triggers.broker.clock.time(), triggers.broker.values.signer
    scheme = request.authorization[: len(_BEARER)]
    token = request.authorization[len(_BEARER) :].strip() if scheme.lower() == _BEARER else ""
    found = None
    tokens.is_token(token, _NO_TOKENS, now)
    for record in records:
        options = json.loads(record.options)
        if options["signed"]:
            good = tokens.is_signature(request.signature, request.body, options["tokens"], now, signer)
        else:
            good = tokens.is_token(token, options["tokens"], now)
        found = record if good else found
    if found is None:
        raise NotAllowedError(
            "The token or the signature is missing, wrong or too old, or there is nothing here that it is good for. "
            "Send the header Authorization: Bearer TOKEN, or X-Nbflow-Signature."
        )
    return found


def _key(request: Request, options: Mapping[str, Any]) -> str:
    """What tells the request from others: its own key, else a digest of what it says (and of when it was signed)."""
    if request.key.strip():
        return request.key.strip()
    said = request.body
    if options["signed"]:
        said = request.signature.encode("utf-8", "surrogatepass") + b"\n" + said
    return f"sha256:{hashlib.sha256(said).hexdigest()}"


def _parsed(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        raise BadBodyError("The body is nested too deeply.") from None
    except ValueError as error:  # of JSON, and of UTF-8
        raise BadBodyError(f'The body is no JSON: {error}. Send {{"parameters": {{"name": value}}}}.') from None


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {double!r} is there twice in one object")
    return found


def _parameters(body: Any) -> dict[str, Any]:
    unknown = sorted(set(body) - {"parameters"}) if isinstance(body, dict) else []
    parameters = body.get("parameters", {}) if isinstance(body, dict) else None
    if unknown or not isinstance(parameters, dict):
        what = f"knows no {unknown[0]!r}" if unknown else "has to be an object"
        raise BadBodyError(f'The body {what}. Send {{"parameters": {{"name": value}}}}.')
    return parameters
