"""The measurements of deployments: `python -m tests.bench.measure_deployments NAME ...` prints one number."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from nbflow import flow
from nbflow.deploying.deployments import Deployment
from nbflow.deploying.promoting import promote
from nbflow.deploying.timing import Timing, drafted
from nbflow.model.deployments import DeploymentRecord
from nbflow.queue.broker import Broker
from nbflow.queue.definitions import save
from nbflow.storage import bells, deployments, raw
from nbflow.storage.connection import Connection

_CELLS = 50
_LEAD = 20.0  # seconds until the first is due: the processes have begun by then
_GRACE = 120.0  # seconds after the last is due in which all have to begin


@flow
def nothing() -> None:
    """What the deployments run."""


def promotion() -> float:
    """Seconds that it takes to promote a notebook of 50 cells, its check left out."""
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_code_cell(f"a{number} = {number}") for number in range(_CELLS)]
    Path("book.ipynb").write_text(nbformat.writes(node))
    Broker.of()  # opens the database
    began = time.perf_counter()
    promote("book.ipynb", check=False)
    return time.perf_counter() - began


def lag(count: str, seconds: str) -> float:
    """Seconds, p95, from when each of `count` deployments is due, spread over `seconds`, to the start of its run.

    The worker has run a few before: it starts its processes for the first jobs that it has.
    """
    number, span = int(count), float(seconds)
    promote(nothing, name="d0", check=False)
    broker = Broker.of()
    begin = time.time() + _LEAD + number * 0.0015  # they are defined first
    _define(broker, number, begin, span)
    commands = (["scheduler"], ["worker", "--concurrency", "2"])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "nbflow", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        for job in [Deployment("d0").trigger() for _ in range(4)]:
            job.result(timeout=_LEAD)
        return _lag(broker, number, begin + span + _GRACE)
    finally:
        for process in processes:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)


def idle(count: str, seconds: str) -> float:
    """Percent of a core that a scheduler uses with so many deployments, none of which is due."""
    import psutil

    promote(nothing, name="d0", check=False)
    _define(Broker.of(), int(count), time.time() + 86_400.0, 60.0)
    process = subprocess.Popen([sys.executable, "-m", "nbflow", "scheduler"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # it is ready
    time.sleep(2.0)
    seen = psutil.Process(process.pid)
    before = sum(seen.cpu_times()[:2])
    time.sleep(float(seconds))
    used = sum(seen.cpu_times()[:2]) - before
    process.terminate()
    process.wait()
    return used / float(seconds) * 100


def _define(broker: Broker, count: int, begin: float, span: float) -> None:
    """Deployments of one version, each due once a day."""
    version = Deployment("d0").record_of_version(1)
    drafts = []
    for number in range(count):
        start = datetime.fromtimestamp(begin + span * number / count, UTC)
        timing = Timing("interval", "1 day", {"start": start, "zone": "UTC"})
        drafts.append(drafted(timing, f"d{number}", None, broker))

    def act(connection: Connection) -> None:
        now = time.time()
        for number in range(1, count):
            deployments.put(connection, DeploymentRecord(f"d{number}", "nothing", 1, now, now))
            deployments.add_version(connection, version._replace(deployment=f"d{number}"))
        save(connection, drafts, now)

    bells.changing(broker.database, act, bells.SCHEDULES)


def _lag(broker: Broker, count: int, until: float) -> float:
    while time.time() < until:
        time.sleep(2.0)
        with broker.database.read() as connection:
            found = raw.one(connection, "SELECT created_at - logical_time FROM runs WHERE logical_time IS NOT NULL", ())
            lags = sorted(row[0] for row in found)
        if len(lags) >= count:
            break
    if len(lags) < count:
        raise RuntimeError(f"{count - len(lags)} of {count} runs had not begun {_GRACE:g} seconds after they were due")
    print(f"median {lags[count // 2]:.3f} s, slowest {lags[-1]:.3f} s", file=sys.stderr)
    return float(lags[int(count * 0.95)])


MEASUREMENTS = {"promotion": promotion, "lag": lag, "idle": idle}

if __name__ == "__main__":
    from tests.bench import measure_deployments as home  # flows have to be found by that name

    print(json.dumps(home.MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
