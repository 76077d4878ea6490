"""Reports and alerts with real processes: a worker that sends, a mail server that takes, and a kill in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from nbflow import configure, flow, step
from nbflow.deploying.reports import alerts
from nbflow.deploying.reports.alerts import add_alert
from nbflow.deploying.reports.sending import resend, schedule_report
from nbflow.queue.job import Job
from nbflow.queue.schedule import Schedule
from nbflow.storage import alerts as stored
from nbflow.storage import mailings, opened
from tests.acceptance.workers import wait_for
from tests.mail import MailServer, kill_client, mail_server
from tests.servers import wait_until

ANN = "ann@example.org"
FLOWS = """
from nbflow import flow

@flow
def idle():
    return 1
"""


@step
def train(rate: float) -> float:
    if rate > 1:
        raise ValueError("the rate is <too high>")
    return rate


@flow
def training(rate: float) -> float:
    return train(rate) + 0


@pytest.fixture(scope="module")
def _server() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
def mail(_server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that has no mail yet; the environment leads to it."""
    monkeypatch.setenv("NBFLOW_SMTP", _server.url)
    monkeypatch.setenv("NBFLOW_MAIL_FROM", "nbflow@example.org")
    yield _server
    _server.forget()


def report_job(db: str) -> Job:
    """The job of a report schedule, as it is enqueued when that is due."""
    return schedule_report("week", [ANN], zone="Europe/Paris", db=db).trigger()


def mailing(db: str):
    with opened.database(db).read() as connection:
        (found,) = mailings.listed(connection)
    return found


def once(act: Callable[[object], None]) -> Callable[[object], str | None]:
    """Do something the first time it is called."""
    calls: list[object] = []

    def answer(session: object) -> None:
        calls.append(session)
        if len(calls) == 1:
            act(session)

    return answer


def test_a_scheduled_report_arrives_once_however_often_its_job_runs(mail, db_url, start_worker):
    schedule = schedule_report("week", [ANN], zone="Europe/Paris", db=db_url)
    first, second = (schedule.trigger(datetime(2026, 11, day, 6)) for day in (9, 10))
    start_worker("-c", "1").ready()
    for job in (first, second):
        wait_for(job, "succeeded")
    (arrived,) = mail.mails
    assert arrived["Subject"] == "nbflow weekly report, Week 45, 2 to 8 November 2026: nothing ran"
    assert arrived["To"] == ANN
    assert mailing(db_url).state == "sent"


def test_a_report_arrives_once_though_its_sender_is_killed_between_send_and_commit(mail, db_url, start_worker):
    mail.at_end = once(kill_client)  # the server has the whole mail; the sender never learns that it was taken
    job = report_job(db_url)
    start_worker("-c", "1").ready()
    record = wait_for(job, "failed")
    assert record.losses == 1
    assert (record.error_type or "").endswith("MailInDoubtError")
    assert mailing(db_url).state == "doubtful"
    assert len(mail.mails) == 1
    assert resend(opened.database(db_url), mailing(db_url).key).state == "sent"  # as a person may decide
    assert mail.mails[1]["Message-ID"] == mail.mails[0]["Message-ID"]


def test_a_report_arrives_though_its_whole_worker_is_killed_before_the_end_of_the_mail(mail, db_url, start_worker):
    worker = start_worker("-c", "1").ready()

    def kill(session: object) -> None:
        worker.process.kill()
        kill_client(session)

    mail.at_recipient = once(kill)
    job = report_job(db_url)
    wait_until(lambda: worker.process.poll() is not None)
    assert mail.mails == []
    start_worker("-c", "1").ready()
    wait_for(job, "succeeded")
    assert (len(mail.mails), mailing(db_url).state) == (1, "sent")


def test_a_failing_flow_is_told_by_mail_once_and_so_is_its_recovery(mail, db_url, start_worker):
    configure(db=db_url)
    add_alert(flow="training", to=ANN, zone="UTC")
    start_worker("-c", "1").ready()
    for rate in (2.0, 3.0, 0.5):
        training.run(rate, executor="serial")
        wait_for(Schedule(alerts.SCHEDULE, db=db_url).trigger(), "succeeded")
    wait_until(lambda: len(mail.mails) == 2)
    subjects = [each["Subject"] for each in mail.mails]
    assert subjects[0] == "nbflow: training failed: ValueError: the rate is <too high>"
    assert subjects[1].startswith("nbflow: training has recovered after")
    with opened.database(db_url).read() as connection:
        (incident,) = stored.history(connection, 10)
    assert json.loads(incident.details)["failures"] == 2


def test_the_command_writes_sends_and_lists_reports(mail, project):
    project.write("flows.py", FLOWS)
    project.run("run", "flows.py:idle")
    done = project.run("report", "--since", "1h", "--dry-run", "today.html", "--zone", "UTC")
    assert done.returncode == 0, done.stderr
    assert "idle" in (project.folder / "today.html").read_text()
    assert [project.json("report", "--period", "day", "--to", ANN)[0]["state"] for _ in range(2)] == ["sent", "sent"]
    assert len(mail.mails) == 1
    listed = project.json("report", "list")
    assert [(each["kind"], each["state"], each["recipients"]) for each in listed] == [("report", "sent", [ANN])]
    assert json.loads(project.run("schedules", "--json").stdout) == []
