"""A database of each kind, a mail server for all tests of the folder, and a week of a small team."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbflow import configure
from nbflow.deploying.reports.sending import Report
from nbflow.storage import opened
from nbflow.storage.database import Database
from tests.mail import MailServer, mail_server
from tests.unit.deploying.reports import history


@pytest.fixture
def database(db_url: str) -> Database:
    """An empty database, which is that of the settings."""
    configure(db=db_url)
    return opened.database()


@pytest.fixture(scope="session")
def _running_mail_server() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
def mail(_running_mail_server: MailServer) -> Iterator[MailServer]:
    """A mail server that has no mail yet, and is that of the settings."""
    found = _running_mail_server
    configure(smtp=found.url, mail_from="nbflow <nbflow@example.org>")
    yield found
    found.forget()


@pytest.fixture
def week() -> Report:
    """The report of a week of a small team, in a database of its own."""
    found = opened.database()
    history.a_week(found)
    return Report(found, history.WEEK, history.NOW)
