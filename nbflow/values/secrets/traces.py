"""The secrets that this process has looked up, and removing their traces from what it shows and stores.

Whoever shows or stores something asks `known()` first, which costs nothing as long as no secret is in use. What was
learned once is never forgotten: a step may keep it anywhere.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nbflow.model.errors import SecretInValueError
from nbflow.values.secrets import forms, pictures

MASK = "***"
_CHUNK = 4 * 2**20  # bytes that are searched at a time


class _Known(NamedTuple):
    """What is looked for."""

    names: dict[str, str]  # by value
    shown: tuple[str, ...]  # forms in texts, the longest first
    stored: tuple[tuple[bytes, str], ...]  # forms in stored bytes, each with the name of its secret
    numbers: tuple[tuple[bytes, str], ...]  # the same, as numbers of pickles
    in_buffers: tuple[tuple[bytes, str], ...]  # the same, in large buffers
    plain: tuple[bytes, ...]  # the values themselves


_NOTHING = _Known({}, (), (), (), (), ())
_known = _NOTHING
_lock = threading.Lock()


def known() -> bool:
    """Whether there is anything to look for in this process."""
    return _known is not _NOTHING


def learn(name: str, value: str) -> None:
    """Look for the value of a secret from now on."""
    global _known
    if value in _known.names:
        return
    with _lock:
        first = _known is _NOTHING
        _known = _added(_known, name, value)
    if first:
        from nbflow.values.secrets import logs

        logs.install()


def forget() -> None:
    """Look for nothing any more: for tests that share a process."""
    global _known
    with _lock:
        _known = _NOTHING


def _added(before: _Known, name: str, value: str) -> _Known:
    shown = {*before.shown, *forms.whole(value), *forms.parts(value)}
    return _Known(
        {**before.names, value: name},
        tuple(sorted(shown, key=lambda form: (-len(form), form))),
        _with(before.stored, forms.stored(value), name),
        _with(before.numbers, forms.pickled_numbers(value), name),
        _with(before.in_buffers, forms.in_buffers(value), name),
        (*before.plain, value.encode("utf-8", "surrogatepass")),
    )


def _with(before: tuple[tuple[bytes, str], ...], more: set[bytes], name: str) -> tuple[tuple[bytes, str], ...]:
    return tuple({**dict.fromkeys(sorted(more), name), **dict(before)}.items())


# --- texts -------------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """`text` with `***` for each trace of a secret."""
    for form in _known.shown:
        if form in text:
            text = text.replace(form, MASK)
    return text


def clean_bytes(data: bytes) -> bytes:
    """The same for bytes that are meant as text."""
    for form in _known.shown:
        encoded = form.encode("utf-8", "surrogatepass")
        if encoded in data:
            data = data.replace(encoded, MASK.encode())
    return data


def clean_data(value: Any) -> Any:
    """The same for all texts, and numbers that are a secret, in what JSON can hold."""
    kind = type(value)
    if kind is str:
        return clean(value)
    if kind is dict:
        return {clean(key) if type(key) is str else key: clean_data(item) for key, item in value.items()}
    if kind is list:
        return [clean_data(item) for item in value]
    if kind in (int, float) and str(value) in _known.shown:
        return MASK
    return value


def clean_message(text: str) -> str:
    """A message of an attempt, as JSON, cleaned: what it displays, values, an error of a cell, results of others."""
    try:
        message = json.loads(text)
    except ValueError:
        return clean(text)
    cleaned = clean_data(_without_pictures(message))
    if isinstance(message, dict) and isinstance(cleaned, dict):
        data = message.get("data")
        for mime, part in data.items() if isinstance(data, dict) else ():
            if pictures.is_picture(mime) and isinstance(part, str):
                cleaned["data"][mime] = pictures.cleaned(mime, part, _known.plain)
    return text if cleaned == message else json.dumps(cleaned)


def _without_pictures(message: Any) -> Any:
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return message
    return {**message, "data": {mime: "" if pictures.is_picture(mime) else part for mime, part in data.items()}}


class Stream:
    """Cleans a text that comes in pieces, and keeps back an end that may be the beginning of a secret."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> str:
        """What of all that came so far is for certain, and was not returned before."""
        text = clean(self._held + text)
        held = _begun(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """What was kept back: nothing follows."""
        held, self._held = self._held, ""
        return held


def _begun(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a secret, as one of its forms."""
    if not text:
        return 0
    most, last = 0, text[-1]
    for form in _known.shown:
        if last not in form:
            continue
        at = text.find(form[0], max(0, len(text) - len(form) + 1))
        while at >= 0:
            if len(text) - at <= most:
                break
            if form.startswith(text[at:]):
                most = len(text) - at
                break
            at = text.find(form[0], at + 1)
    return most


# --- values ------------------------------------------------------------------------------------------------------


def references_for(texts: dict[str, str]) -> dict[str, Any]:
    """`texts`, such as environment variables, with a reference for each that is the value of a secret."""
    from nbflow.values.secrets.references import PREFIX, referring

    names = _known.names
    return {key: referring(PREFIX + names[text]) if text in names else text for key, text in texts.items()}


def check_stored(stream: Any, buffers: Sequence[Any], what: str) -> None:
    """Raise SecretInValueError if the pickle of `what` holds a secret: its value must not be stored."""
    name = held_by(stream, buffers)
    if name is not None:
        raise SecretInValueError(
            f"{what} holds the value of secret {name!r}, so it is not stored. Return what was made with the secret, "
            f"not the secret itself or a text or client that contains it; nbflow.secret({name!r}) is a reference that "
            "may be returned, and is the value again in the next step.",
            name=name,
        )


def held_by(stream: Any, buffers: Iterable[Any] = ()) -> str | None:
    """The name of a secret whose value stands in a pickle or its buffers."""
    known = _known
    found = _search(stream, (*known.stored, *known.numbers))
    for buffer in buffers if found is None else ():
        found = _search(buffer, known.in_buffers)
        if found is not None:
            break
    return found


def _search(data: Any, sought: tuple[tuple[bytes, str], ...]) -> str | None:
    """Whose form stands in `data`, which may be large and is read in parts that overlap."""
    if not sought:
        return None
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    overlap = max(len(form) for form, _ in sought)
    for start in range(0, max(view.nbytes, 1), _CHUNK):
        part = bytes(view[start : start + _CHUNK + overlap])
        for form, name in sought:
            if form in part:
                return name
    return None
