"""The real `nbflow up` with its endpoint: ready, started by requests, events, files and flows, and stopped in order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from nbflow import settings
from nbflow.cli.main import app
from nbflow.deploying.causes import started_by
from nbflow.deploying.deployments import Deployment
from nbflow.deploying.promoting import promote
from nbflow.deploying.triggers import Triggers
from nbflow.model.errors import ConfigError
from nbflow.queue.queue import Queue
from nbflow.storage import opened
from tests.acceptance import triggered_flows, worker_jobs
from tests.acceptance.workers import WorkerProcess
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
    """What a command prints."""
    done = CliRunner().invoke(app, [*arguments, "--db", settings.current().db], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


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
    assert "nobody listens" in nbflow("event", "nothing-like-it")


def test_a_webhook_starts_a_run_once(up, triggers, reporting):
    made = json.loads(nbflow("listen", "webhook", reporting, "--json"))
    body, given = {"parameters": {"day": "monday"}}, {"Authorization": f"Bearer {made['token']}"}
    assert [up.client("POST", f"/trigger/{reporting}", body, **given)[0] for _ in range(2)] == [202, 200]
    wait_until(lambda: results(reporting) == ["monday x 1"])


def test_an_event_starts_a_run_with_the_types_of_the_flow_and_says_why(triggers, reporting):
    nbflow("listen", "event", reporting, "sales")
    assert "is started by job" in nbflow("event", "sales", "-p", "size=3", "--key", reporting)
    assert "nothing is done twice" in nbflow("event", "sales", "-p", "size=3", "--key", reporting)
    wait_until(lambda: results(reporting) == ["today x 3"])
    why = started_by(json.loads(nbflow("triggers", "history", reporting, "--json"))[0]["job"].removeprefix("run-"))
    assert (why.kind, why.trigger, why.key) == ("event", "sales", f"event/sales/{reporting}")


def test_a_run_knows_why_it_was_started(triggers):
    promote(triggered_flows.asking, name="asking", check=False)
    triggers.add("event", "asking", event="asked")
    triggers.emit("asked", key="7")
    wait_until(lambda: results("asking") == [["event/asked/7"] * 2])


def test_a_file_and_a_flow_that_succeeded_start_runs(triggers, reporting, tmp_path):
    after = f"{reporting}-after"
    promote(triggered_flows.reporting, name=after, check=False)
    nbflow("listen", "file", reporting, f"{tmp_path}/*.csv", "--as", "day", "--every", "1s", "--settle", "0s")
    nbflow("listen", "flow", after, reporting, "--set", "size=2")
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


def test_a_signal_ends_all_of_it_after_what_runs(tmp_path, monkeypatch):
    db = f"sqlite:///{tmp_path / 'nbflow.db'}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        up = Up(db).wait_ready()
        client = up.client
        log, go = tmp_path / "side.log", tmp_path / "go"
        job = Queue(db=db).enqueue(worker_jobs.until, str(log), "job", str(go))
        wait_until(log.exists)
        up.send(signal.SIGTERM)
        assert [channel.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
        go.touch()
        assert up.wait() == 0
    up.kill()
    assert str(job.state) == "succeeded"
    with pytest.raises(ConnectionRefusedError):
        client("GET", "/health/live")


def test_an_address_that_is_none_is_told_before_anything_starts(tmp_path):
    settings.configure(db=str(tmp_path / "nbflow.db"))
    with pytest.raises(ConfigError, match="HOST:PORT"):
        CliRunner().invoke(app, ["up", "--listen", "8765"], catch_exceptions=False)
    assert not (tmp_path / "nbflow.db").exists()
