from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import psutil
import pytest

from nbflow.deploying.reports.outbox import TRIES, Outbox, draft, key_of, raise_for
from nbflow.deploying.reports.smtp import MailError, MailInDoubtError, MailRefusedError
from nbflow.model.errors import NbflowError, RetryLater
from nbflow.queue import presence
from nbflow.storage import mailings

NOW = 2_000_000_000.0


@pytest.fixture
def outbox(database):
    """An outbox with a mailing, "one"."""
    found = Outbox(database, lambda: NOW)
    found.put([draft(database, "one", "report", "ann@example.org", subject="A report", now=NOW)])
    return found


def sends(record, commit):
    assert commit()


def fails(error: Exception, *, committed: bool):
    def hand_over(record, commit):
        if committed:
            assert commit()
        raise error

    return hand_over


def states(outbox: Outbox) -> tuple[str, int, str | None]:
    record = outbox.get("one")
    return record.state, record.attempts, record.error


def claimed(database, **changes) -> None:
    """Have the mailing on its way, as a sender does that is somewhere else."""
    about = {"host": presence.host(), "boot": presence.boot(), "pid": os.getpid(), "at": NOW,
             "started": psutil.Process().create_time()}  # fmt: skip
    with database.write() as connection:
        assert mailings.take(connection, "one", json.dumps({**about, **changes}))


def test_a_mailing_is_sent_once(outbox):
    calls = []
    for _ in range(3):
        found = outbox.send("one", lambda record, commit: calls.append(record.key) or sends(record, commit))
    assert calls == ["one"]
    assert (found.state, found.attempts, found.sent_at, found.error) == ("sent", 1, NOW, None)


def test_what_is_put_again_keeps_what_came_of_it(outbox, database):
    outbox.send("one", sends)
    outbox.put([draft(database, "one", "report", "ann@example.org", subject="A report", now=NOW + 1)])
    assert outbox.get("one").state == "sent"


@pytest.mark.parametrize(
    ("error", "committed", "state"),
    [
        (MailError("down"), False, "pending"),
        (MailError("452 full"), True, "pending"),
        (MailRefusedError("550 no"), False, "failed"),
        (MailRefusedError("554 spam"), True, "failed"),
        (MailInDoubtError("no answer"), True, "doubtful"),
    ],
)
def test_what_came_of_a_try_is_on_record(outbox, error, committed, state):
    outbox.send("one", fails(error, committed=committed))
    assert states(outbox) == (state, 1, str(error))


def test_a_mailing_that_failed_or_is_doubtful_is_not_sent_by_itself(outbox):
    outbox.send("one", fails(MailInDoubtError("no answer"), committed=True))
    assert outbox.send("one", sends).state == "doubtful"
    assert outbox.reset("one").state == "pending"
    assert outbox.send("one", sends).state == "sent"


def test_the_identity_of_a_mail_stays_the_same_however_often_it_is_sent(outbox):
    seen = []
    for _ in range(2):
        outbox.send("one", lambda record, commit: seen.append(record.message_id) or sends(record, commit))
        outbox.reset("one")
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_a_server_that_stays_down_is_given_up_at_last(outbox):
    found = [outbox.send("one", fails(MailError("down"), committed=False)).state for _ in range(TRIES)]
    assert found == ["pending"] * (TRIES - 1) + ["failed"]


def test_of_several_that_try_at_once_one_sends(outbox):
    committed: list[bool] = []
    barrier = threading.Barrier(4)

    def hand_over(record, commit):
        barrier.wait(10)
        committed.append(commit())
        if not committed[-1]:
            raise MailError("Another process is sending this mail.")

    threads = [threading.Thread(target=outbox.send, args=("one", hand_over)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(committed) == [False, False, False, True]
    assert states(outbox)[0] == "sent"


def test_a_mail_whose_sender_died_after_the_record_is_doubtful_and_not_sent_again(outbox, database):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    claimed(database, pid=process.pid, started=started)
    with pytest.raises(RetryLater):  # while it lives
        outbox.send("one", sends)
    process.kill()
    process.communicate()
    assert outbox.send("one", sends).state == "doubtful"
    assert "nbflow report resend" in (states(outbox)[2] or "")


def test_a_sender_on_another_machine_is_waited_for_as_long_as_a_mail_can_take(outbox, database):
    claimed(database, host="elsewhere", at=NOW - 60)
    with pytest.raises(RetryLater, match="on elsewhere is sending it"):
        outbox.send("one", sends)
    assert Outbox(database, lambda: NOW + 3600).send("one", sends).state == "doubtful"


def test_what_is_being_sent_cannot_be_reset(outbox, database):
    claimed(database)
    with pytest.raises(RetryLater):
        outbox.reset("one")


def test_a_mailing_that_there_is_not_is_told(outbox):
    with pytest.raises(NbflowError, match="no mailing 'two'"):
        outbox.get("two")


@pytest.mark.parametrize(
    ("states_", "error"),
    [
        (["sent", "sent"], None),
        (["sent", "pending", "failed"], MailError),
        (["sent", "doubtful", "failed"], MailInDoubtError),
        (["failed", "sent"], MailRefusedError),
    ],
)
def test_the_worst_of_what_came_of_mailings_is_raised(outbox, states_, error):
    records = [outbox.get("one")._replace(state=state, error="so it is") for state in states_]
    if error is None:
        raise_for(records)
        return
    with pytest.raises(error, match="so it is") as raised:
        raise_for(records)
    assert type(raised.value) is error


def test_keys_that_are_too_long_are_cut_and_told_apart():
    long = [key_of("report", "week", f"{'a' * 300}{end}") for end in "xy"]
    assert max(map(len, long)) == 255
    assert long[0] != long[1]
    assert key_of("report", "week 2026", "ann@example.org") == "report/week 2026/ann@example.org"
