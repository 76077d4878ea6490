from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from nbflow.cli.main import app
from nbflow.model.errors import NbflowError
from nbflow.storage import opened


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _database():
    opened.database()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--period", "year"), "one of day, week, month"),
        (("report", "--date", "2300-01-01"), "still to come"),
        (("report", "--date", "soon"), "date='soon' is no time"),
        (("report", "--since", "2026-01-02", "--until", "2026-01-01"), "ends before it begins"),
        (("report", "--until", "2026-01-01"), "--since where it begins"),
        (("report", "--since", "1h", "--until", "2300-01-01"), "is over at 2300"),
        (("report", "--zone", "Europe/Pariss"), "Europe/Paris"),
        (("report", "--to", "ann"), "no mail address"),
        (("report", "--to", "ann@example.org"), "NBFLOW_SMTP"),
        (("report", "--dry-run", "report.pdf"), "none of .html"),
        (("report", "--dry-run", "nowhere/report.html"), "in a folder that exists"),
        (("report", "schedule", "--daily", "--weekly", "--to", "ann@example.org"), "one at a time"),
        (("report", "schedule"), "nobody to send it to"),
        (("report", "resend", "key"), "no mailing 'key'"),
        (("alert", "add", "--to", "ann@example.org"), "--flow NAME, --deployment NAME or --all"),
        (("alert", "add", "--all", "--flow", "x", "--to", "ann@example.org"), "--flow NAME"),
        (("alert", "add", "--all", "--start-within", "soon", "--to", "ann@example.org"), "soon"),
        (("alert", "remove", "x"), "no alert 'x'"),
        (("alert", "test", "x"), "no alert 'x'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments, message):
    found = run(*arguments)
    assert isinstance(found.exception, NbflowError), found.output
    assert message in str(found.exception)


def test_a_report_without_anything_to_do_is_shown():
    assert "Nothing ran." in run("report", "--period", "day", "--zone", "UTC").output


def test_a_report_is_scheduled_and_its_first_time_told():
    found = run("report", "schedule", "--monthly", "--to", "ann@example.org", "--zone", "Europe/Paris", "--at", "07:15")
    assert "Schedule report-monthly" in found.output
    assert "07:15 CE" in found.output
    assert "NBFLOW_SMTP" in found.output


def test_alerts_are_listed_as_they_were_made():
    run("alert", "add", "--all", "--to", "ann@example.org", "--finish-within", "2h", "--zone", "UTC")
    (found,) = json.loads(run("alert", "list", "--json").output)
    assert (found["name"], found["to"], found["finish_within"]) == ("all", ["ann@example.org"], 7200.0)
    assert "not finished in 2 h 00 min" in run("alert", "list").output
    assert "removed" in run("alert", "remove", "all").output
    assert "No alerts" in run("alert", "list").output


def test_a_name_that_nothing_has_yet_is_told_and_kept():
    found = run("alert", "add", "--flow", "trainig", "--to", "ann@example.org")
    assert "no flow 'trainig' yet" in found.output
    assert found.exit_code == 0


def test_nothing_that_was_sent_is_an_empty_list():
    assert "Nothing has been sent yet." in run("report", "list").output
    assert json.loads(run("report", "list", "--json").output) == []
    assert "No incidents." in run("alert", "incidents").output
