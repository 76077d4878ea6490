from __future__ import annotations

import json
import time

import pytest

from nbflow import configure
from nbflow.deploying.reports import sending
from nbflow.deploying.reports.period import containing
from nbflow.deploying.reports.sending import Report, schedule_report, send
from nbflow.deploying.reports.smtp import MailError, MailRefusedError
from nbflow.model.errors import ConfigError, RetryLater, ScheduleError
from nbflow.storage import mailings, opened, schedules
from tests.servers import free_port
from tests.unit.deploying.reports.history import DAY, MONDAY, NOW, ZONE


@pytest.fixture
def report(database) -> Report:
    """The report of a day on which nothing ran."""
    return Report(database, containing("day", MONDAY, ZONE), NOW)


def outcome(records) -> dict[str, str]:
    return {json.loads(record.recipients)[0]: record.state for record in records}


def test_each_address_gets_a_mail_of_its_own_once(report, mail):
    for _ in range(2):
        found = send(report, ["ann@example.org", "Bob <bob@example.org>"])
    assert outcome(found) == {"ann@example.org": "sent", "Bob <bob@example.org>": "sent"}
    assert [each["To"] for each in mail.mails] == ["ann@example.org", "Bob <bob@example.org>"]
    assert mail.recipients == [["ann@example.org"], ["bob@example.org"]]
    assert len({each["Message-ID"] for each in mail.mails}) == 2


def test_whoever_is_added_later_gets_it_and_nobody_else_again(report, mail):
    send(report, ["ann@example.org"])
    send(report, ["ANN@example.org", "bob@example.org"])
    assert [each["To"] for each in mail.mails] == ["ann@example.org", "bob@example.org"]


def test_each_period_has_a_mail(report, mail, database):
    send(report, ["ann@example.org"])
    send(Report(database, containing("day", MONDAY + DAY, ZONE), NOW), ["ann@example.org"])
    assert [each["Subject"].partition(":")[0] for each in mail.mails] == [
        "nbflow daily report, Monday, 2 November 2026", "nbflow daily report, Tuesday, 3 November 2026",
    ]  # fmt: skip


def test_asked_for_again_it_is_sent_again_as_the_same_mail(report, mail):
    send(report, ["ann@example.org"])
    send(report, ["ann@example.org"], again=True)
    assert mail.raw[0] == mail.raw[1]


def test_one_who_is_refused_harms_no_other_and_is_not_tried_again(report, mail):
    answers = ["550 no such user", None]
    mail.at_recipient = lambda session: answers.pop(0) if answers else None
    found = send(report, ["no@example.org", "ann@example.org"])
    assert outcome(found) == {"no@example.org": "failed", "ann@example.org": "sent"}
    assert outcome(send(report, ["no@example.org", "ann@example.org"])) == outcome(found)
    assert len(mail.mails) == 1


def test_one_mail_that_another_process_sends_keeps_no_other_back(report, mail):
    (record,) = send(report, ["ann@example.org"])
    about = {"host": "elsewhere", "at": time.time()}
    with report.database.write() as connection:
        mailings.send_again(connection, record.key)
        assert mailings.take(connection, record.key, json.dumps(about))
    with pytest.raises(RetryLater, match="on elsewhere is sending it"):
        send(report, ["ann@example.org", "bob@example.org"])
    assert [each["To"] for each in mail.mails] == ["ann@example.org", "bob@example.org"]


def test_a_server_that_is_down_is_tried_again_and_told(report, mail):
    configure(smtp=f"smtp://127.0.0.1:{free_port()}")
    (record,) = send(report, ["ann@example.org"])
    assert (record.state, record.attempts) == ("pending", 1)
    assert "cannot be reached" in (record.error or "")
    configure(smtp=mail.url)
    (record,) = send(report, ["ann@example.org"])
    assert (record.state, record.attempts, record.error) == ("sent", 2, None)


def test_a_failed_report_is_sent_again_by_its_key(report, mail):
    mail.at_recipient = lambda session: "550 no such user"
    (record,) = send(report, ["ann@example.org"])
    mail.at_recipient = lambda session: None
    assert sending.resend(report.database, record.key).state == "sent"
    assert mail.mails[0]["Message-ID"] == f"<{record.message_id}@example.org>"


def test_without_a_server_it_says_which_setting_is_missing(report):
    with pytest.raises(ConfigError, match="NBFLOW_SMTP"):
        send(report, ["ann@example.org"])


def test_the_job_sends_the_latest_period_and_fails_where_that_fails(database, mail):
    assert sending.send_report("day", ZONE, ["ann@example.org"]) == {"ann@example.org": "sent"}
    mail.at_recipient = lambda session: "451 try later"
    with pytest.raises(MailError, match="451 try later") as raised:
        sending.send_report("day", ZONE, ["bob@example.org"])
    assert not isinstance(raised.value, MailRefusedError)
    mail.at_recipient = lambda session: "550 no such user"
    with pytest.raises(MailRefusedError, match=r"bob@example.org: .* says 550"):
        sending.send_report("day", ZONE, ["bob@example.org", "ann@example.org"])


@pytest.mark.parametrize(
    ("kind", "expression", "name"),
    [
        ("day", "30 5 * * *", "report-daily"),
        ("week", "30 5 * * MON", "report-weekly"),
        ("month", "30 5 1 * *", "report-monthly"),
    ],
)
def test_a_report_is_scheduled_as_a_job_of_low_priority_that_is_tried_again(database, kind, expression, name):
    made = schedule_report(kind, ["ann@example.org"], zone=ZONE, at="05:30")
    with opened.database().read() as connection:
        record = schedules.get(connection, name)
    job = json.loads(record.options)["job"]
    assert (made.name, record.expression, record.zone, record.target) == (name, expression, ZONE, "send_report")
    assert (job["priority"], job["timeout"]) == (100, 1800.0)
    assert json.loads(job["policy"])["retries"] >= 5


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"kind": "year"}, ConfigError, "day, week, month"),
        ({"recipients": ["ann"]}, ConfigError, "no mail address"),
        ({"recipients": []}, ConfigError, "nobody to send it to"),
        ({"at": "25:00"}, ConfigError, "no time of day"),
        ({"at": "6"}, ConfigError, "no time of day"),
        ({"zone": "Europe/Pariss"}, ScheduleError, "Europe/Paris"),
    ],
)
def test_a_report_that_cannot_be_is_not_scheduled(database, wrong, error, message):
    given = {"kind": "week", "recipients": ["ann@example.org"], "zone": ZONE, **wrong}
    with pytest.raises(error, match=message):
        schedule_report(given.pop("kind"), given.pop("recipients"), **given)
    with opened.database().read() as connection:
        assert schedules.listed(connection) == []
