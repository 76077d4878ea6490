"""Names and identifiers: what they may look like, and how new ones are made."""

from __future__ import annotations

import itertools
import re

from nbflow.model.errors import DefinitionError

_NAME = re.compile(r"[^\W\d][\w.\- ]*\Z")
_RUN_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_RUN_ID_EPOCH = 1_577_836_800  # 2020-01-01 in UTC, so that 30 bits of seconds last until 2054

# Three characters at a time: jobs get their ids by the ten thousand.
_THREE = ["".join(letters) for letters in itertools.product(_RUN_ID_ALPHABET, repeat=3)]


def check_name(name: object, what: str) -> str:
    """Return `name` if it can name a `what` (step, flow, tag ...), else raise `DefinitionError`."""
    if not isinstance(name, str) or not _NAME.match(name) or len(name) > 200:
        raise DefinitionError(
            f"{name!r} cannot be the name of a {what}: a name starts with a letter or underscore and goes on with "
            "letters, digits, '_', '-', '.' or spaces, 200 characters at most.",
        )
    return name


def run_id(seconds: float, randomness: int) -> str:
    """Return the 12-character id of a run that starts `seconds` after 1970; ids sort by time.

    `randomness` supplies 30 bits. The form is a shortened ULID (github.com/ulid/spec).
    """
    number = ((int(seconds) - _RUN_ID_EPOCH) & (2**30 - 1)) << 30 | (randomness & (2**30 - 1))
    return "".join(_RUN_ID_ALPHABET[(number >> shift) & 31] for shift in range(55, -1, -5))


def time_id(microseconds: int, randomness: int) -> str:
    """Return a 12-character id for something that began so many microseconds after 1970; ids sort by time.

    `randomness` supplies 10 bits.
    """
    number = ((microseconds - _RUN_ID_EPOCH * 1_000_000) & (2**50 - 1)) << 10 | (randomness & 1023)
    three = _THREE
    return f"{three[number >> 45]}{three[number >> 30 & 32767]}{three[number >> 15 & 32767]}{three[number & 32767]}"


def task_key(path: str, name: str, number: int) -> str:
    """Return the key of the `number`-th call (from 1) of step `name` in the flow at `path` ("" is the run's own)."""
    return f"{path}/{name}#{number}" if path else f"{name}#{number}"


def run_job(run: str) -> str:
    """Return the id of the job that executes a run on the queue."""
    return f"run-{run}"


def task_job(run: str, seq: int, attempt: int) -> str:
    """Return the id of the job that an attempt of a task is on the queue."""
    return f"{run}.{seq}.{attempt}"
