"""A week of a small team, as it is stored: flows, their steps, plain jobs, a notebook in two versions."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import insert

from nbflow import settings
from nbflow.authoring.notebook import NotebookFunction
from nbflow.deploying.reports.period import Period, containing
from nbflow.model.deployments import MailingRecord
from nbflow.model.jobs import JobRecord
from nbflow.model.records import AttemptRecord, FlowVersionRecord, LogRecord, RunRecord, TaskRecord
from nbflow.model.specs import FlowSpec
from nbflow.storage import opened, schema
from nbflow.storage.database import Database
from nbflow.storage.upserts import Upsert
from nbflow.values.project import value_store
from nbflow.values.store import ValueStore
from tests.unit.client.histories import job
from tests.unit.storage import records

ZONE = "Europe/Paris"
MONDAY = 1_793_574_000.0  # 2026-11-02 00:00 in Paris
WEEK: Period = containing("week", MONDAY, ZONE)
NOW = MONDAY + 7 * 86_400 + 6 * 3600  # the Monday after, at six
DAY, HOUR = 86_400.0, 3600.0

OLD = ["import pandas as pd", "df = pd.read_csv('in.csv')", "df.mean()"]
NEW = ["import pandas as pd", "# read\ndf = pd.read_csv('in.csv')\ndf = df.dropna()", "df.mean()", "df.plot()"]


class Written:
    """Rows that are collected, and then stored together."""

    def __init__(self) -> None:
        self.runs: list[RunRecord] = []
        self.tasks: list[TaskRecord] = []
        self.attempts: list[AttemptRecord] = []
        self.jobs: list[JobRecord] = []
        self.versions: list[FlowVersionRecord] = []
        self.logs: list[LogRecord] = []
        self.mailings: list[MailingRecord] = []

    def run(self, name: str, flow: str, at: float, took: float | None, **changes: Any) -> str:
        """A run that began then and took so many seconds; None: it still goes on."""
        filled = {"state": "succeeded" if took is not None else "running", "owner": None, "lease_until": None}
        times = {"created_at": at - 0.5, "started_at": at, "finished_at": at + took if took is not None else None}
        self.runs.append(records.run(name, flow=flow, **{**filled, **times, **changes}))
        return name

    def task(self, run: str, step: str, at: float, took: float | None, *, wait: float = 0.2, **changes: Any) -> None:
        """A task of a run, with its last attempt."""
        seq = 1 + sum(task.run == run for task in self.tasks)
        state = changes.pop("state", "succeeded" if took is not None else "running")
        end = at + took if took is not None else None
        times = {"created_at": at - wait, "ready_at": at - wait, "started_at": at, "finished_at": end, "attempts": 1}
        task = records.task(seq, run, name=step, key=f"{step}#1", state=state, **{**times, **changes})
        self.tasks.append(task)
        self.attempts.append(
            records.attempt(seq, task.attempts, run, state)._replace(
                queued_at=at - wait, started_at=at, finished_at=end, error_type=task.error_type
            )
        )

    def job(self, name: str, step: str, at: float, took: float | None, *, wait: float = 0.1, **changes: Any) -> None:
        """A job that belongs to no flow."""
        end = at + took if took is not None else None
        state = changes.pop("state", "succeeded" if took is not None else "running")
        times = {"enqueued_at": at - wait, "ready_at": at - wait, "started_at": at, "finished_at": end}
        self.jobs.append(job(name, name=step, state=state, attempt=1, **{**times, **changes}))

    def version(self, values: ValueStore, name: str, flow: str, cells: list[str], at: float) -> str:
        """A version of a notebook."""
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
            {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
            for cell in cells]}  # fmt: skip
        function = NotebookFunction(json.dumps(content), f"{flow}.ipynb")
        code = values.seal_stored(values.put(FlowSpec(flow, function, kind="notebook"), "the code"))
        self.versions.append(FlowVersionRecord(name, flow, "notebook", None, None, name, "[]", code, at))
        return name

    def cell(self, run: str, number: int, at: float, took: float | None) -> None:
        """That a cell ran."""
        count = sum(log.run == run for log in self.logs)
        told = [("cell", {"number": number, "started": at})]
        told += [("cell_end", {"number": number, "finished": at + took})] if took is not None else []
        for place, (stream, text) in enumerate(told, start=count + 1):
            self.logs.append(LogRecord(run, 1, 1, place, at, stream, json.dumps(text)))

    def store(self, database: Database) -> None:
        """Write it all."""
        with database.write() as connection:
            for table, rows in ((schema.runs, self.runs), (schema.jobs, self.jobs), (schema.mailings, self.mailings)):
                if rows:
                    connection.execute(insert(table), [row._asdict() for row in rows])
            upsert = Upsert(connection.dialect.name)
            for kind, rows in ((TaskRecord, self.tasks), (AttemptRecord, self.attempts), (LogRecord, self.logs),
                               (FlowVersionRecord, self.versions)):  # fmt: skip
                upsert(connection, kind, rows)


def values_of(database: Database) -> ValueStore:
    """The values of a database."""
    return value_store(settings.current(), database.full_url)


def a_week(database: Database) -> None:
    """Let a database hold a week that has a bit of everything."""
    made = Written()
    _notebook(made, values_of(database))
    for number in range(7 * 8):
        at = MONDAY + number * 3 * HOUR
        bad = number in (17, 18, 41)
        run = made.run(f"imp{number:02d}", "import-orders", at, 900 + 40 * (number % 9), state="failed" if bad else
                       "succeeded", error_type="builtins.ConnectionError" if bad else None)  # fmt: skip
        made.task(run, "fetch", at, 300 + 12 * (number % 7), wait=2 + number % 5, attempts=2 if number % 8 == 3 else 1)
        made.task(run, "validate", at + 420, 60 + number % 4, wait=0.4, **_failure(bad))
        if bad:
            made.task(run, "load", at + 500, None, state="skipped", started_at=None, finished_at=at + 500)
        else:
            made.task(run, "load", at + 490, 380 + 30 * (number % 9), wait=1.5)
    for number in range(30):
        made.job(f"thumb{number:02d}", "thumbnail", MONDAY + number * 5 * HOUR, 1.2 + number % 3, wait=0.05 * number)
    made.job("thumb-bad", "thumbnail", MONDAY + 2 * DAY, 0.4, state="failed", error_type="PIL.UnidentifiedImageError",
             error_message="cannot identify image file <script>alert('x')</script>")  # fmt: skip
    made.run("clean1", "clean-up", MONDAY + 6 * DAY + 22.5 * HOUR, None)
    made.store(database)


def _failure(bad: bool) -> dict[str, Any]:
    if not bad:
        return {}
    message = "schema of <orders> has changed: column 'price' & 'tax' are missing"
    return {"state": "failed", "error_type": "app.errors.SchemaError", "error_message": message}


def _notebook(made: Written, values: ValueStore) -> None:
    old = made.version(values, "v1", "sales", OLD, MONDAY - 30 * DAY)
    new = made.version(values, "v2", "sales", NEW, MONDAY + DAY)
    made.run("sales-before", "sales", MONDAY - 7 * DAY, 60, version=old)
    for number, version in enumerate([old, new, new, new, new]):
        at = MONDAY + number * DAY + 6 * HOUR
        run = made.run(f"sales{number}", "sales", at, 1500 + 300 * number, version=version)
        made.task(run, "imports-pd", at, 4, kind="cells")
        made.task(run, "df", at + 5, 1200 + 280 * number, kind="cells", wait=0.3)
        made.cell(run, 1, at, 3.5)
        made.cell(run, 2, at + 5, 1190 + 280 * number)
        made.cell(run, 3, at + 1300, 30.25)


def a_database() -> Database:
    """The database of the test's project."""
    return opened.database()
