"""Dask: a real scheduler and worker, and what Dask itself says."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pandas as pd
import pytest

from nbflow.client.foreign.dask import open_dask
from nbflow.client.sources import Query
from tests.dask_cluster import DaskCluster
from tests.foreign import work
from tests.foreign.conftest import rows
from tests.servers import wait_until


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A cluster of one worker with two threads that did some tasks, is at two, and has some before it."""
    folder = tmp_path_factory.mktemp("dask")
    with DaskCluster(folder) as cluster:
        cluster.worker(threads=2)
        client = cluster.client()
        early = client.submit(work.add, 0, 1, key="early")
        early.result()
        source = open_dask(cluster.address)
        added = client.submit(work.add, 1, 2, key="added")
        failed = client.submit(work.fail, "no\ngood", key=("failed", 3))
        client.submit(work.add, 5, 6, key="forgotten").result()  # nobody wants it any more
        wait_until(lambda: added.done() and failed.done())
        holds = [client.submit(work.hold, str(folder / name), key=name) for name in ("one", "two")]
        wait_until(lambda: (folder / "one").exists() and (folder / "two").exists())
        behind = client.submit(work.add, added, holds[0], key="behind")
        nowhere = client.submit(work.add, 7, 8, key="nowhere", resources={"GPU": 1})
        third = client.submit(work.hold, str(folder / "three"), key="third")
        wait_until(lambda: "third" in rows(source, "jobs"))
        (folder / "three").touch()
        yield SimpleNamespace(source=source, client=client, cluster=cluster)
        source.close()
        client.cancel([behind, nowhere, third], force=True)
        for name in ("one", "two"):
            (folder / name).unlink()


def test_every_task_is_there_in_its_state(told):
    found = {name: (row["state"], row["step"]) for name, row in rows(told.source, "jobs").items()}
    assert found == {
        "early": ("succeeded", "early"),
        "added": ("succeeded", "added"),
        "('failed', 3)": ("failed", "failed"),
        "forgotten": ("succeeded", "forgotten"),
        "one": ("running", "one"),
        "two": ("running", "two"),
        "third": ("ready", "third"),
        "behind": ("pending", "behind"),
        "nowhere": ("pending", "nowhere"),
    }


def test_attempts_are_those_of_the_task_stream_and_what_runs(told):
    found = rows(told.source, "attempts")
    stream = {str(each["key"]): each for each in told.client.get_task_stream()}
    assert found.keys() == {f"{key}#1" for key in [*stream, "one", "two"]}
    for key, each in stream.items():
        (span,) = [part for part in each["startstops"] if part["action"] == "compute"]
        row = found[f"{key}#1"]
        times = row["started_at"].timestamp(), row["finished_at"].timestamp()
        assert times == pytest.approx((span["start"], span["stop"]), abs=1e-5)
        assert row["worker"] == each["worker"]


def test_what_runs_is_what_dask_says_and_since_when_it_does(told):
    found = rows(told.source, "attempts")
    stacks = told.client.call_stack(keys=["one", "two"])
    assert {key for part in stacks.values() for key in part} == {"one", "two"}
    for name in ("one#1", "two#1"):
        assert found["added#1"]["finished_at"] < found[name]["started_at"]
        assert found[name]["queued_at"] <= found[name]["started_at"]
        assert pd.isna(found[name]["finished_at"])


def test_errors_and_messages_are_told(told):
    found = rows(told.source, "jobs")
    assert (found["('failed', 3)"]["error_type"], found["('failed', 3)"]["error"]) == ("ValueError", "no\ngood")
    assert found["nowhere"]["message"] == "no worker fits what it asks for"


def test_what_ended_before_the_first_look_has_an_end_only(told):
    row = rows(told.source, "jobs")["early"]
    assert pd.isna(row["started_at"])
    assert row["finished_at"] < rows(told.source, "jobs")["added"]["finished_at"]
    assert "jobs.started_at" in told.source.missing


def test_the_worker_is_the_one_that_dask_tells(told):
    ((address, facts),) = told.client.scheduler_info(n_workers=-1)["workers"].items()
    row = rows(told.source, "workers")[address]
    assert (row["state"], row["alive"], row["concurrency"]) == ("running", True, facts["nthreads"])
    assert row["host"] == facts["host"]


def test_a_client_can_be_given_and_stays_open(told):
    source = open_dask(told.client)
    assert len(source.frame("jobs", Query())[0]) == 9
    source.close()
    assert told.client.status == "running"


def test_reading_changes_nothing_and_may_leave_the_task_stream_alone(told):
    before = told.client.who_has(), told.client.processing(), told.client.has_what()
    bare = open_dask(told.cluster.address, record=False)
    for source in (told.source, bare):
        for what in ("jobs", "attempts", "queues", "workers", "schedules"):
            source.frame(what, Query())
    assert rows(bare, "attempts").keys() == {"one#1", "two#1"}
    bare.close()
    assert (told.client.who_has(), told.client.processing(), told.client.has_what()) == before


def test_frames_can_be_read_in_other_threads(told):
    found = []
    thread = threading.Thread(target=lambda: found.append(rows(told.source, "jobs")))
    thread.start()
    thread.join()
    assert len(found[0]) == 9
