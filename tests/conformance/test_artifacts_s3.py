"""Flows whose every value lies on S3."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest

from nbflow import Run, configure, errors, flow, runs, step
from nbflow.client import cleaning
from nbflow.running.clock import SystemClock
from nbflow.values.artifacts import open_store
from tests.conformance.shapes import Shape
from tests.conformance.test_flows import SHAPES
from tests.conformance.test_flows import _check as check
from tests.servers import S3Server, wait_until

pytestmark = pytest.mark.s3

EXECUTORS = ["threads", "processes"]
MEGABYTES = 100
HOUR = 3600.0


@pytest.fixture
def on_s3(s3_url: str) -> str:
    """The URL of the store that all values go to, however small."""
    configure(artifacts=s3_url, inline_limit=1)
    return s3_url


@step
def double(x: int) -> int:
    return 2 * x


@step
def large() -> Any:
    return numpy.arange(MEGABYTES * 2**20 // 8)


@step
def look(array: Any) -> tuple[int, int, int]:
    array[0] = 7  # a step may change what it is given
    return int(array.nbytes), int(array[-1]), os.getpid()


@step
def need(path: str) -> int:
    return int(Path(path).read_text())


in_the_midst: list[Any] = []  # what happens while the flow runs, put there by a test


@flow
def doubles(count: int) -> int:
    numbers = [double(n) for n in range(count)]
    for action in in_the_midst:
        action()
    return sum([double(number) for number in numbers])


@flow
def hop() -> Any:
    array = large()
    return [look(array), look(array), int(array[0])]


@flow
def needing(path: str) -> int:
    return double(double(20)) + need(path)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("shape", SHAPES[::10], ids=lambda shape: shape.name)
def test_a_shape_means_the_same_on_s3(shape: Shape, executor: str, on_s3: str, caplog: Any) -> None:
    caplog.set_level(logging.ERROR, logger="nbflow")
    check(shape, shape.flow.run(*shape.args, executor=executor, workers=2))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_values_lie_on_s3_and_nowhere_else(executor: str, on_s3: str) -> None:
    run = doubles.run(5, executor=executor)
    assert run.result() == 40
    stored = {name for name, _, _ in open_store(on_s3).names()}
    assert stored >= {task.record.result_uri for task in run.tasks()}
    assert not Path(".nbflow/artifacts").exists()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_large_array_goes_from_step_to_step(executor: str, s3_url: str) -> None:
    configure(artifacts=s3_url)
    first, second, begin = hop.run(executor=executor, workers=2).result()
    size = MEGABYTES * 2**20
    assert first[:2] == second[:2] == (size, size // 8 - 1)
    assert begin == 0, "nobody sees the change that a step made"
    assert (first[2] == os.getpid()) == (executor == "threads")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_that_failed_goes_on_with_what_lies_on_s3(executor: str, on_s3: str, tmp_path: Path) -> None:
    missing = tmp_path / "number"
    run = needing.run(str(missing), executor=executor)
    assert run.state == "failed"
    missing.write_text("5")
    before = {task.key: task.record.finished_at for task in run.tasks() if task.name == "double"}
    resumed = run.resume()
    assert resumed.result() == 85
    assert {task.key: task.record.finished_at for task in resumed.tasks() if task.name == "double"} == before


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_value_that_is_gone_is_told_and_computed_again(executor: str, on_s3: str) -> None:
    run = doubles.run(3, executor=executor)
    store = open_store(on_s3)
    for name, _, _ in store.names():
        store.delete(name)
    with pytest.raises(errors.ArtifactMissingError, match=f"is not in {on_s3}"):
        Run(run.id).result()
    assert doubles.run(3, executor=executor).result() == 12


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_server_that_is_away_for_a_while_delays_a_flow_only(
    executor: str, on_s3: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # it is nbflow that waits
    timers = [threading.Timer(2.0, s3_server.start)]
    monkeypatch.setattr(sys.modules[__name__], "in_the_midst", [s3_server.crash, timers[0].start])
    run = doubles.run(30, executor=executor)
    timers[0].join()
    assert run.result() == 4 * sum(range(30))
    assert {task.record.attempts for task in run.tasks()} == {1}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_missing_bucket_fails_the_run_with_the_way_out(executor: str, on_s3: str) -> None:
    configure(artifacts="s3://no-such-bucket/x")
    with pytest.raises(errors.StorageError, match=r"the bucket of s3://no-such-bucket/x.* does not exist"):
        doubles.run(3, executor=executor).result()
    configure(artifacts=on_s3)
    assert doubles.run(3, executor=executor).result() == 12


@pytest.mark.parametrize("executor", EXECUTORS)
def test_keys_are_neither_stored_nor_shown(
    executor: str, on_s3: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: Any, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    doubles.run(3, executor=executor)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    with pytest.raises(errors.StorageError) as caught:
        doubles.run(3, executor=executor).result()
    secret = s3_server.secret
    assert secret not in str(caught.value)
    assert secret not in caplog.text
    assert not any(secret in text for text in capfd.readouterr())
    stored = b"".join(path.read_bytes() for path in Path(".nbflow").rglob("*") if path.is_file())
    assert b"doubles" in stored
    assert secret.encode() not in stored


# --- commands ---------------------------------------------------------------------------------------------------------


def _command(store: str, *arguments: str) -> tuple[int, Any]:
    environment = {**os.environ, "NBFLOW_ARTIFACTS": store, "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run([sys.executable, "-m", "nbflow", *arguments, "--json"], env=environment, capture_output=True,
                          text=True, check=False)  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def _told(findings: list[dict[str, Any]], what: str) -> tuple[bool, str]:
    found = next(finding for finding in findings if finding["what"] == what)
    return found["ok"], found["told"]


def test_the_doctor_looks_at_the_store(on_s3: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    doubles.run(3)
    code, found = _command(on_s3, "doctor")
    ok, told = _told(found, "artifacts")
    assert (code, ok) == (0, True)
    assert told.startswith(f"{on_s3}, {len(open_store(on_s3).names())} files")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, found = _command(on_s3, "doctor")
    ok, told = _told(found, "artifacts")
    assert (code, ok) == (1, False)
    assert "Check the key" in told
    assert s3_server.secret not in told


def test_what_no_run_needs_is_removed(on_s3: str, s3_server: S3Server) -> None:
    made = [doubles.run(3), doubles.run(2)]
    results = {task.record.result_uri for run in made for task in run.tasks()}
    s3_server.make_older(3 * HOUR)
    code, told = _command(on_s3, "gc", "--older-than", "0m", "--dry-run")
    assert (code, len(told["runs"])) == (0, 2)
    assert made[0].result() == 12
    code, done = _command(on_s3, "gc", "--older-than", "0m", "--yes")
    assert (code, done["artifacts"]) == (0, told["artifacts"])
    assert not results & {name for name, _, _ in open_store(on_s3).names()}


def test_what_a_run_needs_is_kept(on_s3: str, s3_server: S3Server) -> None:
    run = doubles.run(3)
    s3_server.make_older(3 * HOUR)
    code, told = _command(on_s3, "gc", "--yes")
    assert (code, told["artifacts"]) == (0, 0)
    assert Run(run.id).result() == 12
    assert run.resume().result() == 12


def test_what_was_used_again_a_moment_ago_is_kept(on_s3: str, s3_server: S3Server) -> None:
    doubles.run(3)
    s3_server.make_older(3 * HOUR)
    plan = cleaning.plan(before=1e12)
    assert plan.artifacts
    again = doubles.run(3)  # gives the same values, between the plan and its execution
    cleaning.carry_out(plan)
    assert Run(again.id).result() == 12
    assert again.resume().result() == 12


def test_what_was_used_again_and_is_on_no_record_yet_is_kept(on_s3: str, s3_server: S3Server) -> None:
    doubles.run(3)
    store = open_store(on_s3)
    content = {name: bytes(store.read(name)) for name, _, _ in store.names()}
    s3_server.make_older(3 * HOUR)
    plan = cleaning.plan(before=1e12)
    for name, blob in content.items():
        assert store.write(name, [blob]) is True  # as a run that has not told the database yet
    cleaning.carry_out(plan)
    assert {name for name, _, _ in store.names()} == content.keys()


class Earlier(SystemClock):
    """The time 90 minutes ago."""

    def time(self) -> float:
        return super().time() - 1.5 * HOUR


def test_what_was_written_since_a_run_began_is_kept_while_it_goes_on(
    on_s3: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[cleaning.Plan] = []
    name = "ab/" + "0" * 38
    open_store(on_s3).write(name, [b"the arguments of a task that waits"])
    s3_server.make_older(1.25 * HOUR)

    def look() -> None:
        wait_until(lambda: Run(runs()[0].id).record.lease_until > time.time())  # the claim was renewed: the run is live
        plans.append(cleaning.plan(None))

    monkeypatch.setattr(sys.modules[__name__], "in_the_midst", [look])
    doubles.run(3, clock=Earlier())
    assert name not in plans[0].artifacts
    assert name in cleaning.plan(None).artifacts
