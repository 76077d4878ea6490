"""The training workflow of eight steps: four equal forms, on all four paths, on every executor and database."""

from __future__ import annotations

import os
import random
from typing import Any, NamedTuple

import pytest

from nbflow import Pipeline, configure, operators
from nbflow.client.run import Run
from tests.conformance.cut import cut
from tests.conformance.training.forms import FORMS, OF_YAML
from tests.servers import wait_until
from tests.workers import running_worker


class Path(NamedTuple):
    """One way through the workflow."""

    source: str
    wanted: float
    skipped: set[str]
    value: dict[str, Any]


PATHS = {
    "good data, good model": Path(
        "many", 2.0, {"fall_back", "notify"}, {"published": "slope 2", "told": None}
    ),
    "good data, bad model": Path(
        "many", 7.0, {"fall_back", "publish"}, {"published": None, "told": "data good, off by 5"}
    ),
    "bad data, good model": Path(
        "few", 2.0, {"prepare"}, {"published": "slope 2", "told": "data bad, off by 0"}
    ),
    "bad data, bad model": Path(
        "few", 7.0, {"prepare", "publish"}, {"published": None, "told": "data bad, off by 5"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_the_workflow_are_equal(form: str) -> None:
    assert FORMS[form] == OF_YAML
    assert FORMS[form].definition.digest == OF_YAML.definition.digest
    assert len(OF_YAML.definition.steps) == 8


def check(run: Run, path: Path, *, once: bool = True) -> None:
    """The run went this way, and every step that ran did so once."""
    assert run.error is None, run.explanation()
    assert Run(run.id).result() == path.value
    tasks = [task for task in run.tasks() if task.record.kind != "record"]
    states = {task.key: str(task.state) for task in tasks}
    expected = {f"{name}#1": "skipped" if name in path.skipped else "succeeded" for name in OF_YAML.definition.steps}
    assert states == expected
    assert not once or all(task.record.attempts == (task.name not in path.skipped) for task in tasks)


def start(form: str, way: str, **options: Any) -> Run:
    path = PATHS[way]
    return FORMS[form].run(source=path.source, wanted=path.wanted, **options)


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_takes_each_path(form: str, way: str) -> None:
    check(start(form, way, executor="serial"), PATHS[way])
    path = PATHS[way]
    assert FORMS[form].plain(source=path.source, wanted=path.wanted) == path.value


@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("executor", ["threads", "processes", "dask"])
def test_each_executor_takes_each_path(executor: str, way: str) -> None:
    check(start("yaml", way, executor=executor, workers=2), PATHS[way])


@pytest.mark.postgres
@pytest.mark.parametrize("way", PATHS)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes", "dask"])
def test_each_executor_takes_each_path_on_postgresql(executor: str, way: str, shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    check(start("dict", way, executor=executor, workers=2), PATHS[way])


@pytest.mark.parametrize("form", ["yaml", "context"])
def test_the_queue_takes_each_path(form: str) -> None:
    with running_worker():
        for way in PATHS:
            check(start(form, way, executor="queue"), PATHS[way])


@pytest.mark.postgres
def test_the_queue_takes_each_path_on_postgresql(shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    with running_worker():
        for way in PATHS:
            check(start("arrows", way, executor="queue"), PATHS[way])


@pytest.mark.timeout(150)
@pytest.mark.parametrize("form", ["yaml", "arrows"])
def test_a_run_that_nobody_waits_in_takes_each_path(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", "0.1")  # left wherever it waits, and replayed
    with running_worker(concurrency=1):
        runs = {
            way: FORMS[form].submit(source=path.source, wanted=path.wanted, executor="queue")
            for way, path in PATHS.items()
        }
        for way, run in runs.items():
            check(run.wait(120), PATHS[way])


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_steps_that_do_not_wait_for_one_another_are_decided_on_as_they_come(executor: str) -> None:
    made = many()
    run = made.run(executor=executor, workers=4)
    assert run.result() == {f"end{n}": n for n in range(30) if n % 3}
    states = {task.name: task.state for task in run.tasks()}
    assert all((states[f"end{n}"] == "skipped") == (n % 3 == 0) for n in range(30))


def label(n: int) -> str:
    return "yes" if n % 3 else "no"


def same(n: int) -> int:
    return n


def many() -> Pipeline:
    """Thirty branches, each with a decision of its own."""
    with Pipeline("many") as made:
        for n in range(30):
            check = made.step(label, f"check{n}", inputs={"n": n}, outcomes=["yes", "no"])
            check["yes"] >> made.step(same, f"end{n}", inputs={"n": n})
    return made


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_was_killed_anywhere_goes_on_the_same_way(seed: int) -> None:
    chance = random.Random(seed)
    way = chance.choice(list(PATHS))
    run = start("yaml", way, executor="threads", workers=2)
    kept = cut(run.id, chance)
    check(OF_YAML.resume(run.id), PATHS[way], once=False)
    assert all(run[key].record.attempts == 1 for key in kept if not key.startswith("@"))


def test_single_steps_run_elsewhere() -> None:
    with Pipeline("mixed") as made:
        here = made.step(operators.Function(f"{__name__}:pid"), "here")
        there = made.step(operators.Function(f"{__name__}:pid"), "there", executor="processes")
        made.step(same, inputs={"n": [here, there]})
    here, there = made.run(executor="serial", workers=1).result()
    assert here == os.getpid() != there


def pid() -> int:
    return os.getpid()


@pytest.mark.timeout(150)
def test_a_gate_on_the_queue_waits_without_a_place_and_survives_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", "0.1")
    with Pipeline("gated") as made:
        made.step(operators.Approval("Release?"), "gate") >> made.step(same, "release", inputs={"n": 3})
    run = made.submit(executor="queue")
    with running_worker(concurrency=1):
        wait_until(lambda: run["gate"].state == "running" if run.tasks() else False)
        other = OF_YAML.submit(source="few", wanted=7.0, executor="queue")  # has the one place while the gate waits
        assert other.wait(120).state == "succeeded"
    operators.approve(run, "gate", by="ada")
    with running_worker(concurrency=1):
        assert run.wait(120).result() == 3
