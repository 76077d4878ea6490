from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nbflow import Run, configure, errors, flow, runs, step
from nbflow.authoring.flow import inject
from nbflow.testing.clock import VirtualClock
from tests.servers import wait_until


@step
def inc(x: int) -> int:
    return x + 1


@step
def fail() -> None:
    raise ValueError("broken")


@flow(tags=["demo"])
def simple(x: int = 1) -> int:
    """Add two."""
    return inc(inc(x))


def test_calling_a_flow_gives_its_value() -> None:
    assert simple(3) == 5


def test_a_run_is_kept_and_found_again() -> None:
    run = simple.run(3, tags=["mine"])
    again = runs(flow="simple")[0]
    assert again.id == run.id
    assert again.result() == 5
    assert again.parameters == {"x": "3"}
    assert again.record.tags == '["demo", "mine"]'
    assert again["inc#2"].inputs() == ((4,), {})
    assert again["inc#1"].attempts()[0].worker.startswith("threads")


def test_a_flow_keeps_signature_and_docstring() -> None:
    assert inspect.signature(simple) == inspect.signature(simple.__wrapped__)
    assert simple.spec.doc == "Add two."


def test_the_error_tells_how_to_go_on() -> None:
    @flow
    def broken() -> Any:
        return fail()

    with pytest.raises(ValueError, match="broken") as caught:
        broken()
    run = runs()[0]
    assert f"nbflow resume {run.id}" in caught.value.__notes__[-1]
    assert "fail" in run["fail"].traceback
    assert "nbflow/engine" not in run["fail"].traceback


def test_an_error_that_nobody_looked_at_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def careless() -> int:
        fail()
        return inc(1)

    told: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("nbflow")
    monkeypatch.setattr(log, "level", logging.WARNING)
    monkeypatch.setattr(log, "disabled", False)  # applications that other tests run here may have switched it off
    log.addHandler(listener)
    run = careless.run()
    log.removeHandler(listener)
    assert run.result() == 2
    assert [text.partition(": ")[2] for text in told] == ["nobody looked at the error of fail#1: ValueError: broken"]
    assert [event["kind"] for event in run.events()] == ["ignored_error"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: flow(asyncio.sleep), "async"),
        (lambda: flow(simple), "decorated already"),
        (lambda: flow(3), "decorates a function"),
        (lambda: flow(lambda executor: 1), "option of run"),
    ],
)
def test_what_cannot_be_a_flow_is_refused(make: Any, told: str) -> None:
    with pytest.raises(errors.DefinitionError, match=told):
        make()


def test_wrong_arguments_are_refused_before_anything_is_stored() -> None:
    with pytest.raises(errors.NbflowError, match=r"got an unexpected keyword argument 'y'.*Its parameters are: x"):
        simple(y=1)
    with pytest.raises(errors.ConfigError, match="threads"):
        simple.run(executor="cloud")
    with pytest.raises(errors.DatabaseMissingError):
        runs()


@pytest.mark.parametrize(
    ("names", "told"),
    [({"class": inc}, "identifier"), ({"work": inc, "other": inc}, "unexpected keyword"), ({}, "missing")],
)
def test_a_factory_gets_exactly_the_steps_that_it_names(names: dict[str, Any], told: str) -> None:
    def factory(work: Any) -> Any:
        return lambda x: work(x)

    with pytest.raises(errors.DefinitionError, match=told):
        inject(factory, name="made", **names)


def test_a_flow_runs_inside_a_running_event_loop() -> None:
    async def cell() -> int:
        return simple(1)

    assert asyncio.run(cell()) == 3


def test_flows_run_in_several_threads_at_once() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(simple(n))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [2, 3, 4, 5, 6, 7]


@step
def runs_a_flow(depth: int) -> int:
    return deeper(depth - 1) + 1 if depth else 0


@flow
def deeper(depth: int) -> int:
    return runs_a_flow(depth)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_flow_inside_a_step_needs_no_second_worker(executor: str) -> None:
    configure(workers=1)
    run = deeper.run(3, executor=executor, workers=1)
    assert run.result() == 3
    nested = [other for other in runs(flow="deeper") if other.record.parent_run is not None]
    assert len(nested) == 3


def test_a_submitted_run_is_waited_for() -> None:
    run = simple.submit(1)
    assert run.wait(20).state == "succeeded"
    assert run.result() == 3


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_submitted_run_is_cancelled(executor: str, tmp_path: Path) -> None:
    started = tmp_path / "started"

    @step
    def endless() -> None:
        started.touch()
        threading.Event().wait()

    @flow
    def long() -> Any:
        return [endless(), inc(endless())]

    run = long.submit(executor=executor, workers=1)
    wait_until(started.exists)
    run.cancel()
    run.wait(20)
    assert run.state == "cancelled"
    assert {str(task.state) for task in run.tasks()} <= {"cancelled", "skipped"}
    with pytest.raises(errors.TaskCancelledError):
        run.result()


INTERRUPTED = """
import threading, sys
from nbflow import flow, step

@step
def endless():
    open("started", "w").close()
    threading.Event().wait()

@flow
def long():
    return endless(), endless()

long.run(executor=sys.argv[1], workers=1)
"""


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_ctrl_c_cancels_the_run(executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".nbflow").mkdir()
    (tmp_path / "script.py").write_text(INTERRUPTED)
    monkeypatch.chdir(tmp_path)
    child = subprocess.Popen([sys.executable, "script.py", executor], stderr=subprocess.PIPE)
    wait_until((tmp_path / "started").exists)
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=30)[1]
    run = runs()[0]
    assert run.state == "cancelled"
    assert {str(task.state) for task in run.tasks()} == {"cancelled"}


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_run_is_cancelled_from_another_process(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".nbflow").mkdir()
    (tmp_path / "script.py").write_text(INTERRUPTED)
    monkeypatch.chdir(tmp_path)
    child = subprocess.Popen([sys.executable, "script.py", executor], stderr=subprocess.PIPE)
    wait_until((tmp_path / "started").exists)
    run = runs()[0]
    wait_until(run.attempts)  # else there is nothing on record yet that could be cancelled
    run.cancel()
    assert child.communicate(timeout=30)[1].decode().count("Traceback") == 0
    assert run.state == "cancelled"
    assert {str(task.state) for task in run.tasks()} == {"cancelled"}
    assert {attempt.state for attempt in run.attempts()} == {"cancelled"}


def test_two_processes_cannot_resume_one_run(tmp_path: Path) -> None:
    started = tmp_path / "started"
    release = threading.Event()

    @step
    def waits() -> int:
        started.touch()
        release.wait(30)
        return 1

    @flow
    def long() -> int:
        return waits()

    run = long.submit()
    wait_until(started.exists)
    code = f"from nbflow import Run; Run({run.id!r}).resume()"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    release.set()
    assert "RunActiveError" in other.stderr
    assert run.wait(20).result() == 1


def test_retries_wait_on_the_given_clock() -> None:
    clock = VirtualClock(1000.0)
    tries: list[float] = []

    @step(retries=2, delay=3600, backoff=2)
    def hourly() -> int:
        tries.append(clock.time())
        if len(tries) < 3:
            raise OSError("later")
        return len(tries)

    @flow
    def patient() -> int:
        return hourly()

    run = patient.submit(executor="threads", clock=clock)
    while not run._session.done.is_set():  # type: ignore[union-attr]
        clock.advance(600)
        run._session.done.wait(0.005)  # type: ignore[union-attr]
    assert run.result() == 3
    assert [
        later - earlier >= least for earlier, later, least in zip(tries, tries[1:], (3600, 7200), strict=False)
    ] == [True, True]


def test_output_is_captured_and_readable_while_the_step_runs(tmp_path: Path) -> None:
    release = threading.Event()

    @step
    def talks() -> int:
        print("first words")
        print("to stderr", file=sys.stderr)
        release.wait(30)
        return 1

    @flow
    def talking() -> int:
        return talks()

    run = talking.submit()
    wait_until(lambda: len(_texts(run)) == 2)
    assert run.state == "running"
    release.set()
    assert _texts(run.wait(20)) == {"stdout": "first words\n", "stderr": "to stderr\n"}


def _texts(run: Run) -> dict[str, str]:
    texts: dict[str, str] = {}
    for record in run.logs():
        texts[record.stream] = texts.get(record.stream, "") + record.text
    return texts


def test_ten_thousand_tasks() -> None:
    @step
    def double(x: int) -> int:
        return 2 * x

    @step
    def total(values: list[int]) -> int:
        return sum(values)

    @flow
    def wide() -> int:
        return total([double(n) for n in range(10_000)])

    run = wide.run()
    assert run.result() == 99_990_000
    assert len(run.tasks()) == 10_001


SECONDS = 0.1  # that each step of the example takes


def _takes(*_: object) -> None:
    time.sleep(SECONDS)


def _work(name: str) -> Any:
    def work(*inputs: Any) -> str:
        _takes()
        return f"{name}({', '.join(map(str, inputs))})"

    return step(name=name)(work)


overlay, encode, chapters_of, thumbnail, ads, target = map(
    _work, ("overlay", "encode", "chapters", "thumbnail", "ads", "target")
)


@step
def find_chapters(video: str) -> list[int]:
    _takes()
    return [3, 14, 59]


@flow
def process_video(video: str, subtitles: str) -> dict[str, Any]:
    overlaid = overlay(video, subtitles)
    encoded = [encode(overlaid, form) for form in ("mp4", "webm")]
    chapters = find_chapters(video)
    thumbnails = [thumbnail(video, chapter) for chapter in chapters]
    return {"encoded": encoded, "thumbnails": thumbnails, "ads": target(ads(subtitles))}


def test_steps_of_the_video_example_run_beside_one_another() -> None:
    run = process_video.run("v", "s", workers=8)
    assert run.result() == process_video.plain("v", "s")
    spans = [(task.record.started_at or 0.0, task.record.finished_at or 0.0) for task in run.tasks()]
    beside = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    # Nine steps, of which no more than two have to follow one another.
    assert max(beside) >= 3
