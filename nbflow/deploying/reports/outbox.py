"""What is to be sent once: each mailing goes out one time at most, and one of which nobody knows is told as doubtful.

    pending → sending → sent         the way of all that goes well
    pending → pending                the server was down: tried again, with the error on record
    pending, sending → failed        refused for good, or tried too often
    sending → doubtful               the sender died, or the server did not answer, between the record and the end

`sending` is on record before the dot that makes a server take a mail (see smtp.py), and only one process ever gets it
there. A sender that dies before has sent nothing, and the next one sends. A sender that dies after has sent it, or was
a moment short of it: no server can be asked, so the mail is not sent again. That moment is a round trip long. A person
can decide otherwise, by `nbflow report resend`; the mail has the same Message-ID then, by which mailboxes drop a
second one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from nbflow.deploying.reports.smtp import MailError, MailInDoubtError, MailRefusedError
from nbflow.model.deployments import MailingRecord
from nbflow.model.errors import ConfigError, NbflowError, RetryLater
from nbflow.queue import presence
from nbflow.storage import mailings
from nbflow.storage.database import Database

OWN = "nbflow"  # tag of the jobs that report and alert, which are not among what they tell of
TRIES = 9
AGAIN: Mapping[str, Any] = {  # options of jobs that send: they try for some five hours
    "retries": TRIES - 1, "delay": 60.0, "backoff": 2.0, "cap": 3600.0, "jitter": 0.1,
    "never_retry_on": (MailRefusedError, MailInDoubtError),
}  # fmt: skip
_LONGEST = 900.0  # seconds that handing over takes at most
_LOOK = 60.0  # seconds until a sender on another machine is looked for again
_LONGEST_KEY = 255  # characters, as the column of the database


def key_of(*parts: str) -> str:
    """A key of these parts that fits: what is too long is cut, and told apart by a digest."""
    text = "/".join(parts)
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[: _LONGEST_KEY - 17]}#{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def draft(database: Database, key: str, kind: str, recipient: str, *, subject: str, now: float) -> MailingRecord:
    """A mailing that waits to be sent. Its Message-ID follows from its key."""
    identity = hashlib.blake2b(f"{database.url}\0{key}".encode(), digest_size=15).hexdigest()
    return MailingRecord(key, kind, "pending", json.dumps([recipient]), subject, identity, 0, now, None, None)


class Outbox:
    """The mailings of a database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def put(self, records: Sequence[MailingRecord]) -> None:
        """Have mailings there; those that are keep what came of them."""
        self._database.retrying(lambda connection: mailings.add(connection, records))

    def get(self, key: str) -> MailingRecord:
        """A mailing. Raises NbflowError if there is none."""
        found = self._database.retrying(lambda connection: mailings.get(connection, key), write=False)
        if found is None:
            raise NbflowError(f"There is no mailing {key!r}. nbflow report list has all that there are.")
        return found

    def send(self, key: str, hand_over: Callable[[MailingRecord, Callable[[], bool]], None]) -> MailingRecord:
        """Send a mailing, if it is still to be sent; returns it as it is then.

        `hand_over` is given the mailing, and what it has to call just before it cannot be undone: False means that
        somebody else sends it. It raises what a `Channel` raises. Raises RetryLater while another process sends it.
        """
        record = self.get(key)
        if record.state == "sending":
            self._left_behind(record)
            record = self.get(key)
        if record.state != "pending":
            return record
        claim = self._claim()
        try:
            hand_over(record, lambda: self._take(key, claim))
        except MailInDoubtError as error:
            self._settle(record, claim, "doubtful", str(error))
        except MailRefusedError as error:
            self._settle(record, claim, "failed", str(error))
        except (MailError, ConfigError) as error:
            state = "pending" if record.attempts + 1 < TRIES else "failed"
            self._settle(record, claim, state, str(error))
        else:
            self._settle(record, claim, "sent", None)
        return self.get(key)

    def reset(self, key: str) -> MailingRecord:
        """Have a mailing that failed, is doubtful, was held back or has been sent wait to be sent again.

        Raises NbflowError if there is none, or if it is being sent.
        """
        record = self.get(key)
        if record.state == "sending":
            self._left_behind(record)
        self._database.retrying(lambda connection: mailings.send_again(connection, key))
        return self.get(key)

    # --- inside --------------------------------------------------------------------------------------------------

    def _claim(self) -> str:
        """Names this process, and this moment of it."""
        pid = os.getpid()
        about = {"host": presence.host(), "boot": presence.boot(), "pid": pid, "at": self._clock()}
        return json.dumps({**about, "started": psutil.Process(pid).create_time(), "token": os.urandom(6).hex()})

    def _take(self, key: str, claim: str) -> bool:
        return self._database.retrying(lambda connection: mailings.take(connection, key, claim))

    def _settle(self, record: MailingRecord, claim: str, state: str, error: str | None) -> None:
        """Store what came of it: of a mailing that `claim` has, or that nobody got as far as to take."""
        values = {
            "attempts": record.attempts + 1,
            "error": error,
            "sent_at": self._clock() if state == "sent" else None,
        }

        def act(connection: Any) -> bool:
            done = mailings.settle(connection, record.key, claim, state, **values)
            return done or mailings.settle_waiting(connection, record.key, state, **values)

        self._database.retrying(act)

    def _left_behind(self, record: MailingRecord) -> None:
        """Settle a mailing whose sender is gone as doubtful. Raises RetryLater if it may still be at it."""
        claim = record.error or "{}"
        about = json.loads(claim)
        now = self._clock()
        if (about.get("host"), about.get("boot")) == (presence.host(), presence.boot()):
            alive = presence.lives(int(about["pid"]), float(about["started"]))
        else:
            alive = now - float(about.get("at", 0.0)) < _LONGEST
        if alive:
            raise RetryLater(_LOOK, f"Process {about.get('pid')} on {about.get('host')} is sending it just now.")
        error = (
            "Its sender ended after it had begun to hand it over, and before it had put on record what came of it: it "
            "most likely has arrived. If it has not: nbflow report resend KEY."
        )
        values = {"error": error, "attempts": record.attempts + 1}
        self._database.retrying(lambda connection: mailings.settle(connection, record.key, claim, "doubtful", **values))


def raise_for(records: Sequence[MailingRecord]) -> None:
    """Raise for the worst of what came of mailings, so that the job that sent them fails, or is tried again."""
    waiting = [record for record in records if record.state == "pending"]
    if waiting:
        raise MailError(waiting[0].error or "It could not be sent.")
    for state, kind in (("doubtful", MailInDoubtError), ("failed", MailRefusedError)):
        found = [record for record in records if record.state == state]
        if found:
            raise kind(f"{json.loads(found[0].recipients)[0]}: {found[0].error}")
