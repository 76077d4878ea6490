"""The forms in which the value of a secret stands in texts and bytes."""

from __future__ import annotations

import base64
import html
import json
import pickle
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, urlsplit

SHORTEST = 5  # characters of a form; shorter ones stand in too many other texts
_LONG = 48  # characters from which on a text is shown cut, as in the cells of a DataFrame
_HEAD = 40
_LINE = 8  # characters of a line of a secret that is looked for on its own
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what requests leaves in the URLs that it repairs
_NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]+)?")
_ESCAPED = re.compile("%[0-9A-F]{2}")


def whole(value: str) -> set[str]:
    """The value as a whole: as it is, escaped for Python, JSON, HTML and URLs, in base64 and in hexadecimal digits."""
    data = value.encode("utf-8", "surrogatepass")
    return _long_enough([*_escaped(value), *_base64(data), data.hex(), data.hex().upper(), *_as_number(value)])


def parts(value: str) -> set[str]:
    """What else gives it away: the lines of one of several, the beginning of a long one, the password in a URL."""
    found = []
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        found += [line for line in lines if len(line) >= _LINE and not line.startswith("-----")]
    if len(value) > _LONG:
        found.append(value[:_HEAD])
    if "://" in value and "\n" not in value:
        try:
            found.append(urlsplit(value).password or "")
        except ValueError:
            pass
    return _long_enough(form for part in found for form in _escaped(part))


def stored(value: str) -> set[bytes]:
    """The value as a whole in pickles."""
    return in_buffers(value) | {form.encode("utf-8", "surrogatepass") for form in whole(value)}


def in_buffers(value: str) -> set[bytes]:
    """The value as a whole in arrays, which are large: as texts of all kinds lie in them, not escaped."""
    data = value.encode("utf-8", "surrogatepass")
    wide = {value.encode(encoding, "surrogatepass") for encoding in ("utf-16-le", "utf-32-le")}
    return {data, *wide, _base64(data)[0].encode()}


def pickled_numbers(value: str) -> set[bytes]:
    """How a pickle writes the value as a number, if it is a number that others are not likely to be."""
    if _NUMBER.fullmatch(value) is None or abs(float(value)) < 10 ** (SHORTEST - 1):
        return set()
    numbers = [float(value), *([int(value)] if value.lstrip("-").isdigit() else [])]
    # Of protocol 3, which has the same opcodes without frames: what stands between its head and its end.
    found = {pickle.dumps(number, 3)[2:-1] for number in numbers}
    return {form for form in found if len(form) >= SHORTEST}


def _long_enough(forms: Iterable[str]) -> set[str]:
    return {form for form in forms if len(form) >= SHORTEST}


def _escaped(value: str) -> list[str]:
    in_json = [json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]]
    urls = [quote(value, safe="", errors="replace"), quote(value, errors="replace"),
            quote_plus(value, errors="replace"), quote(value, safe=_URL_SAFE, errors="replace")]  # fmt: skip
    escaped = html.escape(value)
    return [
        value, value.strip(), *in_json, *(json.dumps(text)[1:-1] for text in in_json),
        repr(value)[1:-1], ascii(value)[1:-1], repr(value.encode("utf-8", "surrogatepass"))[2:-1],
        *urls, *(_ESCAPED.sub(lambda match: match[0].lower(), url) for url in urls),
        escaped, html.escape(value, quote=False), escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        escaped.replace("&#x27;", "&apos;"), value.replace("'", "'\"'\"'"), value.replace("\n", "\r\n"),
    ]  # fmt: skip


def _base64(data: bytes) -> list[str]:
    """What `data` adds to the base64 of any text that it is a part of, as at the end of a header `Basic ...`."""
    found = []
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * before + data).decode()[skipped : (before + len(data)) * 8 // 6]
        found += [encoded, encoded.replace("+", "-").replace("/", "_")]
    return found


def _as_number(value: str) -> list[str]:
    """A number as Python, which drops zeros in front, and people write it."""
    try:
        number = int(value)
    except ValueError:
        return []
    return [str(number), f"{number:,}"]
