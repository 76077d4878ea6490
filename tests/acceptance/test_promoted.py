"""Deployments on real workers, with schedulers that race and die."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import nbformat
import pytest

import nbflow
from nbflow.client.run import Run
from nbflow.deploying.environments.capturing import Captured, Package
from nbflow.deploying.promoting import promote
from nbflow.storage import deployments, opened
from tests.acceptance.clocked_scheduler import set_clock
from tests.acceptance.workers import ROOT
from tests.servers import wait_until
from tests.wheels import make_wheel, only_from

pytestmark = pytest.mark.timeout(300)
PARIS = ZoneInfo("Europe/Paris")
LONG = 250.0  # seconds until a test gives up: on a busy machine processes take long to start
FLOWS = """
from nbflow import flow, step
from tests.acceptance.worker_jobs import note
import helpers_of_version

@step
def work(log, name):
    note(log, name, helpers_of_version.VALUE)
    return helpers_of_version.VALUE

@flow
def main(log: str, name: str = "first", logical_time: str = ""):
    return f"{work(log, name)} {logical_time}"
"""


@pytest.fixture(autouse=True)
def _database(db_url):
    nbflow.configure(db=db_url)


@pytest.fixture
def project(monkeypatch, tmp_path):
    """The folder that the test works in, with a flow and a module that it imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "flows_of_version.py").write_text(FLOWS)
    (tmp_path / "helpers_of_version.py").write_text("VALUE = 1\n")
    yield tmp_path
    forget()


def forget():
    """Have the modules of the project imported anew."""
    for name in ("flows_of_version", "helpers_of_version"):
        sys.modules.pop(name, None)


@pytest.fixture
def start_scheduler(db_url, tmp_path):
    """Starts schedulers whose clock is the file `clock`."""
    started = []

    def start():
        command = [sys.executable, "-m", "tests.acceptance.clocked_scheduler", db_url, str(tmp_path / "clock")]
        started.append(subprocess.Popen(command, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def waiting(go):
    """Lines of a function that wait until a file is there."""
    return f"    import os, time\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.01)\n"


def mondays(year):
    """Those of a month around the change to summer time, at six in Paris."""
    first = datetime(year, 3, 8, 6, tzinfo=PARIS)
    first += timedelta(days=-first.weekday() % 7)
    return [first + timedelta(weeks=week) for week in range(5)]  # of the wall clock


def ended(run):
    return wait_until(lambda: str(run.state) in ("succeeded", "failed"), LONG)


@pytest.fixture
def book(db_url, project):
    """A notebook in the folder, parameters for it, and a line of it before and after an edit."""
    if not db_url.startswith("sqlite"):
        shutil.copy(ROOT / "tests" / "notebooks" / "parameters.ipynb", project / "book.ipynb")
        return "book.ipynb", {"rounds": 2}, "value = 1.0", "value = 2.0"
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", project / "quickstart.ipynb")
    line = "neighbours = make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=9))"
    return "quickstart.ipynb", {"folds": 2}, line, line.replace("9", "7")  # models are trained for each Monday


@pytest.mark.timeout(900)
def test_each_monday_of_a_month_runs_once_at_its_local_time(start_worker, start_scheduler, book, tmp_path):
    chance = random.Random(20261121)
    name, parameters, old, new = book
    times = mondays(datetime.now(UTC).year + 1)
    assert len({at.utcoffset() for at in times}) == 2, "the month has both winter and summer time"
    begin = times[0] - timedelta(days=1)
    made = promote(name, parameters=parameters, cron="0 6 * * MON", zone="Europe/Paris", start=begin, catchup="all")
    assert made.report is not None
    assert made.report.passed
    start_worker("-c", "2").ready()
    set_clock(tmp_path / "clock", begin.timestamp())
    racing = [start_scheduler(), start_scheduler()]
    for number, at in enumerate(times, start=1):
        set_clock(tmp_path / "clock", at.timestamp() + chance.uniform(0, 3600))
        victim = chance.randrange(2)
        racing[victim].kill()  # now, or just after it has seen the time, or before it has begun
        racing[victim].wait()
        racing[victim] = start_scheduler()
        wait_until(lambda number=number: len(made.schedule.history()) >= number, LONG)
    wait_until(lambda: [str(run.state) for run in made.runs()].count("succeeded") == len(times), 2 * LONG)
    runs = made.runs(100)
    told = sorted(datetime.fromtimestamp(run.record.logical_time, PARIS) for run in runs)
    assert told == times
    assert {(at.weekday(), at.hour, at.minute) for at in told} == {(0, 6, 0)}
    for run in runs:
        cells = json.loads(run.save_notebook(tmp_path / f"{run.id}.ipynb").read_text())["cells"]
        code = [c for c in cells if c["cell_type"] == "code" and "skip" not in c["metadata"].get("tags", ())]
        assert all(cell["execution_count"] for cell in code)
    (tmp_path / name).write_text((tmp_path / name).read_text().replace(old, new))
    made = promote(name, parameters=parameters, check=False, override="the check was seen above")
    assert made.version == 2
    lines = [line for change in made.diff(1).changes for line in change.lines]
    assert [line for line in lines if old in line or new in line] == [f"-{old}", f"+{new}"]
    assert made.rollback() == 1


def test_a_run_keeps_its_version_and_the_next_has_the_new_one(project, start_worker, log):
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    start_worker("-c", "1").ready()
    first = made.trigger()
    assert first.result(timeout=LONG) == first.record.run
    (project / "helpers_of_version.py").write_text("VALUE = 2\n")
    again = made.trigger({"name": "again"})  # what lies in the folder does not matter
    assert again.result(timeout=LONG)
    forget()
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    new = made.trigger({"name": "new"})
    assert new.result(timeout=LONG)
    made.rollback()
    old = made.trigger({"name": "old"})
    assert old.result(timeout=LONG)
    assert log.read_text().splitlines() == ["first 1", "again 1", "new 2", "old 1"]
    assert [Run(job.record.run).record.deployment_version for job in (first, again, new, old)] == [1, 1, 2, 1]


def test_two_versions_run_side_by_side_on_one_worker(project, start_worker, log, go):
    (project / "flows_of_version.py").write_text(
        FLOWS.replace("    return helpers", waiting(go) + "    return helpers")
    )
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    (project / "helpers_of_version.py").write_text("VALUE = 2\n")
    forget()
    promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    start_worker("-c", "2").ready()
    jobs = [made.trigger({"name": f"of-{number}"}, version=number) for number in (1, 2)]
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, LONG)
    go.touch()
    assert [Run(job.result(timeout=LONG)).result().strip() for job in jobs] == ["1", "2"]


def test_a_run_of_a_killed_worker_goes_on_on_the_next(project, start_worker, log, go):
    begun = "    first = work(log, name) + 0\n" + waiting(go)
    (project / "flows_of_version.py").write_text(FLOWS.replace("    return f", begun + "    return f"))
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    worker = start_worker("-c", "1").ready()
    job = made.trigger()
    wait_until(
        lambda: job.record.run and [str(task.state) for task in Run(job.record.run).tasks()] == ["succeeded"], LONG
    )
    worker.kill()
    go.touch()
    start_worker("-c", "1").ready()
    assert job.result(timeout=LONG) == job.record.run
    assert log.read_text().splitlines() == ["first 1", "first 1"]  # two calls, each once


def test_a_run_that_fails_fails_its_job_with_its_error(project, start_worker, log):
    (project / "flows_of_version.py").write_text(
        FLOWS.replace("    note(", "    raise ValueError('no rows')\n    note(")
    )
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    start_worker("-c", "1").ready()
    job = made.trigger()
    with pytest.raises(nbflow.RunFailedError, match="failed: ValueError: no rows"):
        job.result(timeout=LONG)
    assert str(Run(job.record.run).state) == "failed"


def test_a_version_that_cannot_be_loaded_harms_no_other(project, start_worker, log, go):
    good = promote("flows_of_version:main", name="good", parameters={"log": str(log)}, check=False)
    broken = f"import os\nif os.path.exists({str(go)!r}):\n    raise RuntimeError('it is broken')\nVALUE = 3\n"
    (project / "helpers_of_version.py").write_text(broken)
    forget()
    bad = promote("flows_of_version:main", name="bad", parameters={"log": str(log)}, check=False)
    go.touch()
    start_worker("-c", "1").ready()
    jobs = [deployment.trigger() for deployment in (bad, good, bad, good)]
    for job in jobs[::2]:
        with pytest.raises(nbflow.NbflowError, match="it is broken"):
            job.result(timeout=LONG)
    assert [Run(job.result(timeout=LONG)).result().strip() for job in jobs[1::2]] == ["1", "1"]


def test_the_time_that_is_meant_is_told_to_a_flow_that_asks(project, start_worker, start_scheduler, log, tmp_path):
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    made = promote(
        "flows_of_version:main", parameters={"log": str(log)}, cron="0 0 * * *", zone="UTC", start=at, check=False,
        override="test",
    )  # fmt: skip
    meant = made.next(1)[0]
    start_worker("-c", "1").ready()
    set_clock(tmp_path / "clock", meant.timestamp())
    start_scheduler()
    wait_until(lambda: made.runs(), LONG)
    ended(made.runs()[0])
    assert made.runs()[0].result() == f"1 {meant.isoformat()}"


def test_versions_with_packages_that_conflict_run_side_by_side_on_one_worker(
    project, start_worker, monkeypatch, tmp_path_factory, go
):
    wheels = tmp_path_factory.mktemp("wheels")
    for version in ("1", "2"):
        make_wheel(wheels, "clash_of_versions", version, {"clash_of_versions.py": f"VERSION = {version}\n"})
    only_from(wheels, monkeypatch)
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    node = nbformat.v4.new_notebook()
    node.cells = [nbformat.v4.new_code_cell(f"import clash_of_versions\n{waits}found = clash_of_versions.VERSION")]
    nbformat.write(node, project / "clash.ipynb")
    go.touch()  # for the checks
    for version in (1, 2):
        made = promote("clash.ipynb", requirements=[f"clash_of_versions=={version}"])
        assert made.report is not None
        assert made.report.passed
    go.unlink()
    start_worker("-c", "2").ready()
    jobs = [made.trigger(version=version) for version in (1, 2)]
    wait_until(lambda: len(made.runs()) == 2, LONG)
    go.touch()
    assert [Run(job.result(timeout=LONG)).values["found"] for job in jobs] == [1, 2]


def test_packages_that_are_others_by_now_are_told_with_the_run(project, start_worker, log, db_url):
    made = promote("flows_of_version:main", parameters={"log": str(log)}, check=False)
    captured = Captured.from_json(made.record_of_version(1).environment)
    older = dataclasses.replace(captured, packages=(Package("pandas", "0.1"),))
    with opened.database(db_url).write() as connection:
        deployments.change_version(connection, made.name, 1, environment=older.to_json())
    start_worker("-c", "1").ready()
    run = Run(made.trigger().result(timeout=LONG))
    assert [event for event in run.events() if "pandas is" in str(event) and "and was 0.1" in str(event)]
