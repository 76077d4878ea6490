"""Steps that ask a server over HTTP, once or until it is done."""

from __future__ import annotations

import functools
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

from nbflow.authoring.declarative.operators.base import Operator, OperatorError, wrong_durations
from nbflow.authoring.declarative.references import Reference, follow
from nbflow.authoring.patterns import sleep, wait
from nbflow.authoring.step import Step
from nbflow.model.errors import StepTimeoutError
from nbflow.model.specs import StepSpec
from nbflow.queue.cron import seconds

_TIMEOUT = 30.0  # seconds for a connection, and for each piece of the answer
_EVERY = 10.0  # seconds between two looks
_TAIL = 500  # characters of a refused answer's body that the error tells
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie"})


class Http(Operator, kind="http", main="url"):
    """One request; its value is the answer's body: parsed if it is JSON, else text.

    Settings: url, method (default: GET, or POST if there is something to send), headers, query, json or form or body,
    expect (statuses that are a success; default: 200 to 299), timeout in seconds, response ("auto", "json", "text",
    "bytes" or "full", which is {status, headers, body}), and poll: {until: {path, equals}, every, timeout}, with which
    the request is repeated until a part of the answer has a value; between two requests the step has no place on a
    worker.
    """

    has_steps = True

    def check(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Whether it says one thing to send, and durations are some."""
        bodies = [name for name in ("json", "form", "body") if name in self.settings]
        if len(bodies) > 1:
            yield (bodies[1],), f"a request sends one thing, not {' and '.join(bodies)}."
        yield from wrong_durations(self.settings, ("poll", "every"), ("poll", "timeout"))

    def lasts(self) -> bool:
        """A request that is repeated waits in between."""
        return "poll" in self.settings

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Ask, and ask again if that is wanted. Raises OperatorError with `status` and `body`."""
        poll = settings.get("poll")
        if poll is None:
            return request(settings)
        pace = seconds(poll.get("every", _EVERY))
        limit = seconds(poll["timeout"]) if "timeout" in poll else math.inf
        ask: Step[..., Any] = Step(StepSpec("request", request)).with_options(**self.options)
        looks = 0
        while True:
            answer = wait(ask({name: value for name, value in settings.items() if name != "poll"}))
            if _is_done(answer, poll["until"]):
                return answer
            looks += 1
            if looks * pace > limit:  # counted, not measured, so that it is the same when this is replayed
                raise StepTimeoutError(f"{settings['url']} was not done after {limit:g} seconds ({looks} looks).")
            sleep(pace)


def _is_done(answer: Any, until: Mapping[str, Any]) -> bool:
    path = tuple(part for part in str(until.get("path", "")).split(".") if part)
    try:
        found = follow(answer, Reference("answer", path))
    except LookupError:
        return False
    wanted = until["equals"]
    return found in wanted if isinstance(wanted, list) else bool(found == wanted)


def request(settings: Mapping[str, Any]) -> Any:
    """Send one request and return what the answer comes to. Raises OperatorError."""
    url = _url(settings)
    data, kind = _body(settings)
    headers = {str(name): str(value) for name, value in (settings.get("headers") or {}).items()}
    if kind is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    method = str(settings.get("method") or ("GET" if data is None else "POST")).upper()
    asked = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the scheme is checked
    try:
        with _opener().open(asked, timeout=float(settings.get("timeout", _TIMEOUT))) as answer:
            return _taken(answer.status, answer.headers, answer.read(), settings, f"{method} {url}")
    except urllib.error.HTTPError as error:
        with error:
            return _taken(error.code, error.headers, error.read(), settings, f"{method} {url}")
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OperatorError(f"{method} {url} got no answer: {reason}.") from error


def _url(settings: Mapping[str, Any]) -> str:
    url = str(settings["url"])
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise OperatorError(f"{url!r} is no URL of the web; write http://host/path or https://host/path.")
    if not settings.get("query"):
        return url
    pairs = [*urllib.parse.parse_qsl(parts.query, keep_blank_values=True), *settings["query"].items()]
    return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(pairs, doseq=True)))


def _body(settings: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    if "json" in settings:
        try:
            return json.dumps(settings["json"], allow_nan=False).encode(), "application/json"
        except (TypeError, ValueError) as error:
            raise OperatorError(f"What is to be sent as JSON has no form in it: {error}.") from error
    if "form" in settings:
        return urllib.parse.urlencode(settings["form"], doseq=True).encode(), "application/x-www-form-urlencoded"
    body = settings.get("body")
    if body is None:
        return None, None
    return (body, "application/octet-stream") if isinstance(body, bytes) else (str(body).encode(), "text/plain")


def _taken(status: int, headers: Message, body: bytes, settings: Mapping[str, Any], what: str) -> Any:
    expected: Sequence[int] | None = settings.get("expect")
    text = body.decode(headers.get_content_charset() or "utf-8", errors="replace")
    if status not in expected if expected else not 200 <= status <= 299:
        wanted = f" instead of {', '.join(map(str, expected))}" if expected else ""
        told = f": {text.strip()[:_TAIL]}" if text.strip() else "."
        raise OperatorError(f"{what} was answered with {status}{wanted}{told}", status=status, body=text)
    form = settings.get("response", "auto")
    parsed: Any = text
    if form == "json" or (form in ("auto", "full") and "json" in headers.get_content_type()):
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise OperatorError(
                f"{what} was to be answered with JSON, but {error}.", status=status, body=text
            ) from error
    if form == "full":
        return {"status": status, "headers": dict(headers.items()), "body": parsed}
    return body if form == "bytes" else parsed


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; what another host must not see is not sent there, which urllib itself would do."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows a redirect."""
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and _origin(newurl) != _origin(req.full_url):
            made.headers = {name: value for name, value in made.headers.items() if name.lower() not in _SECRET}
        return made


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _Redirects(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        made.add_handler(handler)  # and none for files and the like
    return made
