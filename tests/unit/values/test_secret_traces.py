from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
import struct
import urllib.parse
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.model.errors import SecretInValueError
from nbflow.values import codec
from nbflow.values.secrets import forms, logs, traces

TOKEN = "tok/\"'+ é<&>%42"


@pytest.fixture(autouse=True)
def _nothing_known():
    factory = logging.getLogRecordFactory()
    traces.forget()
    yield
    traces.forget()
    logging.setLogRecordFactory(factory)


ENCODED = {
    "plain": TOKEN,
    "json": json.dumps(TOKEN),
    "json, unicode": json.dumps({"a": [TOKEN]}, ensure_ascii=False),
    "json in json": json.dumps(json.dumps({"a": TOKEN})),
    "repr": repr({"a": TOKEN}),
    "repr of bytes": repr(TOKEN.encode()),
    "html": html.escape(TOKEN),
    "html without quotes": html.escape(TOKEN, quote=False),
    "html as markupsafe writes it": TOKEN.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;")
    .replace("'", "&#39;").replace('"', "&#34;"),
    "url": urllib.parse.quote(TOKEN, safe=""),
    "path of a url": urllib.parse.quote(TOKEN),
    "query of a url": urllib.parse.urlencode({"a": TOKEN}),
    "url with small letters": re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(TOKEN)),
    "base64": base64.b64encode(TOKEN.encode()).decode(),
    "basic authorization": base64.b64encode(b"user:" + TOKEN.encode()).decode(),
    "basic authorization of another user": base64.b64encode(b"someone:" + TOKEN.encode() + b"!").decode(),
    "base64 for urls": base64.urlsafe_b64encode(b"x" + TOKEN.encode()).decode(),
    "hexadecimal digits": TOKEN.encode().hex(),
}  # fmt: skip


@pytest.mark.parametrize("text", ENCODED.values(), ids=ENCODED.keys())
def test_every_encoding_of_a_secret_is_removed_from_a_text(text):
    traces.learn("TOKEN", TOKEN)
    cleaned = traces.clean(f"before {text} after")
    assert traces.MASK in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert not any(form in cleaned for form in forms.whole(TOKEN))


def test_nothing_is_looked_for_as_long_as_no_secret_is_known():
    assert not traces.known()
    assert traces.clean(TOKEN) == TOKEN


def test_a_text_of_several_lines_is_removed_as_a_whole_and_line_by_line():
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    traces.learn("KEY", key)
    assert traces.clean(f"({key})") == "(***)"
    assert traces.clean(f"({key!r})") == "('***')"
    assert traces.clean("  MIIEvgIBADANBg\n  kqhkiG9w0BAQEF") == "  ***\n  ***"
    assert traces.clean("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_the_password_of_a_url_is_removed_alone_and_the_beginning_of_a_long_secret_too():
    traces.learn("DSN", "postgresql://me:pass!word@host/db")
    traces.learn("JWT", "j" + "0123456789" * 8)
    assert traces.clean("auth failed: pass!word") == "auth failed: ***"
    assert traces.clean("j0123456789012345678901234567890123456789012345...") == "***9012345..."


def test_a_secret_in_two_writes_is_found_and_what_surely_begins_none_is_not_kept_back():
    traces.learn("TOKEN", "hunter2!")
    stream = traces.Stream()
    assert stream.add("the token is hun") == "the token is "
    assert stream.add("ter2! ok\n") == "*** ok\n"
    assert stream.add("h") == ""
    assert stream.add("ello.\n") == "hello.\n"
    assert stream.add("hunter") == ""
    assert stream.rest() == "hunter"
    assert stream.rest() == ""


@given(st.lists(st.text("ab\nc", max_size=6), max_size=12))
def test_however_a_text_is_cut_it_comes_out_as_if_it_came_at_once(pieces):
    traces.forget()
    traces.learn("TOKEN", "abcab\nabc")
    stream = traces.Stream()
    told = "".join(map(stream.add, pieces)) + stream.rest()
    text = "".join(pieces)
    assert "abcab\nabc" not in told
    if not any(form in text for form in (*forms.whole("abcab\nabc"), *forms.parts("abcab\nabc"))):
        assert told == text


def test_messages_are_cleaned_as_json_and_stay_json():
    traces.learn("PIN", "314159")
    message = json.dumps({"data": {"application/json": {"pin": 314159, "314159": [1.5, "is 314159"]}}, "metadata": {}})
    told = json.loads(traces.clean_message(message))
    assert told["data"]["application/json"] == {"pin": "***", "***": [1.5, "is ***"]}
    harmless = json.dumps({"number": 3, "started": 1314159.5})
    assert traces.clean_message(harmless) == harmless


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_texts_of_a_png_that_hold_a_secret_are_left_out_and_the_picture_stays_one():
    traces.learn("TOKEN", TOKEN)
    text = _chunk(b"tEXt", b"Comment\0" + TOKEN.encode())
    packed = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"made with " + TOKEN.encode()))
    kept = _chunk(b"tEXt", b"Software\0matplotlib")
    pixels = _chunk(b"IDAT", zlib.compress(b"pixels"))
    picture = b"\x89PNG\r\n\x1a\n" + text + packed + kept + pixels + _chunk(b"IEND", b"")
    message = {"data": {"image/png": base64.b64encode(picture).decode()}, "metadata": {}}
    told = json.loads(traces.clean_message(json.dumps(message)))
    found = base64.b64decode(told["data"]["image/png"])
    assert found == b"\x89PNG\r\n\x1a\n" + kept + pixels + _chunk(b"IEND", b"")


def test_other_pictures_keep_their_length_and_harmless_ones_every_byte():
    traces.learn("TOKEN", TOKEN)
    jpeg = b"\xff\xd8\xff\xfe" + TOKEN.encode() + b"\xff\xd9"
    message = {"data": {"image/jpeg": base64.b64encode(jpeg).decode()}}
    found = base64.b64decode(json.loads(traces.clean_message(json.dumps(message)))["data"]["image/jpeg"])
    assert (len(found), TOKEN.encode() in found) == (len(jpeg), False)
    harmless = json.dumps({"data": {"image/png": base64.b64encode(b"not even a picture").decode() + "\n"}})
    assert traces.clean_message(harmless) == harmless


STORED = {
    "text": f"Bearer {TOKEN}",
    "bytes": TOKEN.encode(),
    "deep in containers": {"a": [({"b": TOKEN},)]},
    "base64 of it": {"authorization": base64.b64encode(b"me:" + TOKEN.encode())},
    "bytearray": bytearray(TOKEN.encode()),
}


@pytest.mark.parametrize("value", STORED.values(), ids=STORED.keys())
def test_a_value_that_holds_a_secret_is_not_stored(value):
    traces.learn("TOKEN", TOKEN)
    with pytest.raises(SecretInValueError, match="the result holds the value of secret 'TOKEN'"):
        codec.encode(value, what="the result")


def test_arrays_that_hold_a_secret_are_not_stored():
    import numpy

    traces.learn("TOKEN", TOKEN)
    for array in (numpy.array([TOKEN]), numpy.array([TOKEN.encode()]), numpy.array([TOKEN], dtype=object)):
        with pytest.raises(SecretInValueError):
            codec.encode(array)


def test_a_secret_across_two_parts_of_a_large_buffer_is_found(monkeypatch):
    monkeypatch.setattr(traces, "_CHUNK", 16)
    traces.learn("TOKEN", TOKEN)
    for before in range(40):
        assert traces.held_by(b"", [bytearray(b"." * before + TOKEN.encode() + b"." * 9)]) == "TOKEN"
    assert traces.held_by(b"x" * 100, [memoryview(b"y" * 100)]) is None


@pytest.mark.parametrize("number", [31415926, 31415926.0, [1, {"pin": 31415926}]])
def test_a_number_that_is_a_secret_is_not_stored_and_other_numbers_are(number):
    traces.learn("PIN", "31415926")
    with pytest.raises(SecretInValueError):
        codec.encode(number)
    codec.encode([1, 1.0, 0, 31415, float("inf")])


def test_a_secret_of_zeros_and_ones_does_not_keep_ordinary_numbers_from_being_stored():
    for value in ("00000", "00001", "infinity", "nan-nan", "1e400"):
        traces.learn("ODD", value)
    codec.encode([0, 0.0, 1, 1.0, float("inf"), float("nan")])


def test_log_records_are_cleaned_before_any_handler_sees_them():
    traces.learn("TOKEN", TOKEN)
    out = io.StringIO()
    logger = logging.getLogger("test_secret_traces")
    logger.propagate = False
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    try:
        logger.warning("the token is %s", TOKEN)
        logger.warning("%d is no token", TOKEN)
        try:
            raise ValueError(TOKEN)
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
    logs.install()
    assert "the token is ***" in out.getvalue()
    assert "ValueError: ***" in out.getvalue()
    assert TOKEN not in out.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_environment_variables_that_hold_a_secret_travel_as_references():
    traces.learn("TOKEN", TOKEN)
    told = traces.references_for({"OPENAI_API_KEY": TOKEN, "HOME": "here"})
    assert repr(told) == "{'OPENAI_API_KEY': secret:TOKEN, 'HOME': 'here'}"
