"""Secrets in records of `logging`, which handlers of the user's write to files and elsewhere."""

from __future__ import annotations

import logging
from typing import Any

from nbflow.values.secrets import traces

_formatter = logging.Formatter()


def install() -> None:
    """Clean all records that are made in this process from now on."""
    make = logging.getLogRecordFactory()
    if getattr(make, "cleans_secrets", False):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if traces.known():
            _clean(record)
        return record

    made.cleans_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(made)


def _clean(record: logging.LogRecord) -> None:
    try:
        text = record.getMessage()
    except Exception:  # the mistake of who logs; logging tells it where the record is handled
        record.args = traces.clean_data(list(record.args)) if isinstance(record.args, tuple) else record.args
        text = str(record.msg)
    cleaned = traces.clean(text)
    if cleaned != text:
        record.msg, record.args = cleaned, ()
    if record.exc_info:
        trace = _formatter.formatException(record.exc_info)
        cleaned = traces.clean(trace)
        if cleaned != trace:  # handlers write the text that is there
            record.exc_text, record.exc_info = cleaned, None
