"""The real `nbflow up` with its endpoint: ready, started by requests, events, files and flows, and stopped in order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from nbflow import settings
from nbflow.deploying.causes import started_by
from nbflow.deploying.deployments import Deployment
from nbflow.deploying.promoting import promote
from nbflow.deploying.triggers import Triggers
from nbflow.queue.queue import Queue
from nbflow.storage import opened
from tests.acceptance import triggered_flows, worker_jobs
from tests.acceptance.workers import ROOT, WorkerProcess
from tests.servers import wait_until
from tests.unit.server.conftest import Client


class Up(WorkerProcess):
    """`nbflow up` with an endpoint."""

    def __init__(self, db, *options):
        super().__init__(db, "-c", "1", "--listen", "127.0.0.1:0", *options, command="up")

    def wait_ready(self):
        wait_until(lambda: self.said("up is ready") or self.process.poll() is not None)
        assert self.said("up is ready"), self.log
        return self

    def said(self, text):
        return next((line for line in list(self.lines) if text in line), None)

    @property
    def client(self):
        return Client(re.search(r"listening on (http://\S+)", self.said("up is ready"))[1])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A database and a home that the tests of this module share."""
    folder = tmp_path_factory.mktemp("up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBFLOW_HOME", str(folder / "home"))
        yield folder


@pytest.fixture(scope="module")
def notified(place):
    """A socket as systemd's, in the environment of what is started."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, pytest.MonkeyPatch.context() as patch:
        channel.bind(str(place / "notify"))
        channel.settimeout(30)
        patch.setenv("NOTIFY_SOCKET", str(place / "notify"))
        yield channel


@pytest.fixture(scope="module")
def up(place, notified):
    """One `nbflow up` for all tests of this module but those that end it."""
    found = Up(f"sqlite:///{place / 'nbflow.db'}")
    yield found.wait_ready()
    found.kill()


@pytest.fixture
def triggers(place, up, monkeypatch):
    monkeypatch.setenv("NBFLOW_HOME", str(place / "home"))
    settings.configure(db=f"sqlite:///{place / 'nbflow.db'}")
    return Triggers.of()


@pytest.fixture
def reporting(triggers):
    """A deployment of the flow `reporting`, promoted anew for each test, under a name of its own."""
    name = f"reporting-{os.urandom(3).hex()}"
    promote(triggered_flows.reporting, name=name, check=False)
    yield name
    Deployment(name).remove()


def nbflow(*arguments):
    command = [sys.executable, "-m", "nbflow", *arguments, "--db", settings.current().db]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def results(name):
    """The results of the runs that a deployment has started, once all of them have ended."""
    from nbflow.client.run import Run
    from nbflow.storage.schema import runs

    with opened.database().read() as connection:
        ids = [row[0] for row in connection.execute(runs.select().where(runs.c.deployment == name))]
    return sorted(Run(each).result() for each in ids) if all(Run(each).state.finished for each in ids) else None


def test_it_tells_systemd_and_whoever_asks_that_it_is_ready(up, notified):
    assert notified.recv(100) == b"READY=1"
    assert up.client("GET", "/health/live")[0] == 200
    wait_until(lambda: up.client("GET", "/health/ready")[0] == 200)
    assert set(up.client("GET", "/health/ready")[1]["checks"].values()) == {"ok"}


def test_a_wrong_token_is_refused(up):
    assert up.client("POST", "/trigger/report", {}, Authorization="Bearer nbf_x")[0] == 401


def test_an_event_to_which_nobody_listens_is_told(triggers):
    done = nbflow("event", "nothing-like-it")
    assert (done.returncode, "nobody listens" in done.stderr) == (0, True)


def test_a_webhook_starts_a_run_once(up, triggers, reporting):
    made = json.loads(nbflow("listen", "webhook", reporting, "--json").stdout)
    body, given = {"parameters": {"day": "monday"}}, {"Authorization": f"Bearer {made['token']}"}
    assert [up.client("POST", f"/trigger/{reporting}", body, **given)[0] for _ in range(2)] == [202, 200]
    wait_until(lambda: results(reporting) == ["monday x 1"])


def test_an_event_starts_a_run_with_the_types_of_the_flow_and_says_why(triggers, reporting):
    assert nbflow("listen", "event", reporting, "sales").returncode == 0
    done = nbflow("event", "sales", "-p", "size=3", "--key", reporting)
    assert (done.returncode, "is started by job" in done.stdout) == (0, True), done.stderr
    assert "nothing is done twice" in nbflow("event", "sales", "-p", "size=3", "--key", reporting).stdout
    wait_until(lambda: results(reporting) == ["today x 3"])
    why = started_by(
        json.loads(nbflow("triggers", "history", reporting, "--json").stdout)[0]["job"].removeprefix("run-")
    )
    assert (why.kind, why.trigger, why.key) == ("event", "sales", f"event/sales/{reporting}")


def test_a_file_and_a_flow_that_succeeded_start_runs(triggers, reporting, tmp_path):
    after = f"{reporting}-after"
    promote(triggered_flows.reporting, name=after, check=False)
    done = nbflow("listen", "file", reporting, f"{tmp_path}/*.csv", "--as", "day", "--every", "1s", "--settle", "0s")
    assert done.returncode == 0, done.stderr
    assert nbflow("listen", "flow", after, reporting, "--set", "size=2").returncode == 0
    (tmp_path / "a.csv").write_text("x")
    wait_until(lambda: results(after) == ["today x 2"])
    assert results(reporting) == [f"{tmp_path / 'a.csv'} x 1"]
    Deployment(after).remove()


def test_new_rows_of_a_table_start_a_run(triggers, reporting, tmp_path):
    def run(statement):
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
            connection.execute(statement)

    run("CREATE TABLE orders (id INTEGER)")
    triggers.add(
        "table", reporting, url=str(tmp_path / "shop.db"), table="orders", column="id", until_as="size", every="1s"
    )
    run("INSERT INTO orders VALUES (7)")
    wait_until(lambda: results(reporting) == ["today x 7"])


def test_a_signal_ends_all_of_it_after_what_runs(up, notified, triggers, place):
    job = Queue().enqueue(worker_jobs.add, 1, 2)
    assert job.result(timeout=30) == 3
    client = up.client
    up.send(signal.SIGTERM)
    assert up.wait() == 0
    assert notified.recv(100) == b"STOPPING=1"
    with pytest.raises(ConnectionRefusedError):
        client("GET", "/health/live")


@pytest.mark.parametrize(("address", "message"), [("8765", "HOST:PORT"), ("256.0.0.1:1", "cannot be listened on")])
def test_an_address_that_cannot_be_used_is_told_before_anything_starts(db_url, address, message):
    if "postgresql" in db_url:
        pytest.skip("the database does not matter here")
    found = WorkerProcess(db_url, "--listen", address, command="up")
    assert found.wait() == 2
    found.kill()
    assert message in " ".join(found.log)
    assert not any("worker" in line for line in found.lines)
