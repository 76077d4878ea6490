"""Many runs at once on one worker: they come one after the other, and few of them wait in processes of their own."""

from __future__ import annotations

import psutil
import pytest

from nbflow import Queue, configure
from nbflow.model.names import run_job
from nbflow.storage import jobs, opened
from tests.acceptance import worker_flows
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(300)
LONG = 250.0  # seconds until a test gives up
RUNS = 20
FEW = 10  # processes: a child that runs, those that wait, and those that begin meanwhile on a busy machine


class Watched:
    """A worker, and how many processes it had at most."""

    def __init__(self, worker):
        self.process = psutil.Process(worker.ready().process.pid)
        self.most = 0

    def until(self, condition):
        """Look at its processes until a condition holds."""
        wait_until(lambda: self._look() or condition(), LONG)

    def _look(self):
        self.most = max(self.most, len(self.process.children(recursive=True)))


def test_many_runs_take_few_processes(db_url, start_worker):
    configure(db=db_url)
    runs = [worker_flows.quadruple.submit(number, executor="queue") for number in range(RUNS)]
    watched = Watched(start_worker("-c", "1"))
    watched.until(lambda: all(run.state.finished for run in runs))
    assert [run.result() for run in runs] == [4 * number for number in range(RUNS)]
    assert watched.most <= FEW


def test_runs_that_wait_for_another_queue_all_begin_and_take_few_processes(db_url, start_worker):
    configure(db=db_url)
    Queue("far").create()
    runs = [worker_flows.there_and_back.submit(number, executor="queue") for number in range(RUNS)]
    watched = Watched(start_worker("-c", "1", "--exclude", "far"))

    def waiting():
        """By run, its tasks that wait."""
        with opened.database().read() as connection:
            found = [jobs.of_run(connection, run.id, ["ready"]) for run in runs]
        return [[job for job in each if job.kind == "task"] for each in found]

    watched.until(lambda: all(waiting()))
    with opened.database().read() as connection:
        places = [jobs.standing(connection, run_job(run.id)).place for run in runs]
    assert [found[0].place for found in waiting()] == [place + 1 for place in places]  # just behind their runs
    start_worker("-c", "1", "--queues", "far")
    watched.until(lambda: all(run.state.finished for run in runs))
    assert [run.result() for run in runs] == [2 * (number + 1) for number in range(RUNS)]
    assert watched.most <= FEW
