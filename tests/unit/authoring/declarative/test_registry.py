"""Flows of a dict in the database: versions, replaced or put into, all or nothing."""

from __future__ import annotations

from typing import Any

import pandas
import pytest

from nbflow import configure, register_task_pipeline
from nbflow.authoring.declarative.registry import history, registered
from nbflow.client.run import Run
from nbflow.engine import stores
from nbflow.model.errors import CycleError, DefinitionError, FlowNotFoundError, UnpicklableError
from nbflow.storage.schema import flow_versions

SHOP = "shop"


def fetch_data() -> Any:
    return pandas.DataFrame({"n": [1, 2, 3]})


def clean_data(frame: Any) -> Any:
    return frame[frame.n > 1]


def train(clean: Any) -> int:
    return int(clean.n.sum())


SAMPLE = {
    "fetch_data": {"function": fetch_data},
    "clean_data": {"function": clean_data, "depends_on": ["fetch_data"], "nested_tasks": {"strip": {}, "dates": {}}},
    "train": {"function": train, "depends_on": ["clean_data"]},
}


@pytest.fixture(autouse=True)
def _each_database(db_url: str) -> None:
    configure(db=db_url)


def rows() -> list[Any]:
    with stores.database().read() as connection:
        return list(connection.execute(flow_versions.select()))


def test_a_registered_flow_is_a_version_and_runs() -> None:
    made = register_task_pipeline(flow_name=SHOP, clear_existing_flow_in_db=True, pipeline=SAMPLE)
    (row,) = rows()
    assert (row.flow, row.kind) == (SHOP, "pipeline")
    assert registered(SHOP) == made
    run = made.run(executor="serial")
    assert (run.result(), Run(run.id).record.version, len(rows())) == (5, row.id, 1)
    assert [task.name for task in run.tasks()] == list(SAMPLE)  # nested tasks are drawn only


def test_tasks_that_are_not_listed_any_more_are_gone() -> None:
    register_task_pipeline(SHOP, SAMPLE)
    register_task_pipeline(SHOP, {"fetch_data": SAMPLE["fetch_data"]})
    assert list(registered(SHOP).definition.steps) == ["fetch_data"]
    assert len(history(SHOP)) == 2


def test_tasks_can_be_put_into_what_is_there() -> None:
    register_task_pipeline(SHOP, SAMPLE, description="A shop.")
    changed = {"report": {"function": train, "depends_on": "clean_data"}, "train": {"shell": "echo 1"}}
    register_task_pipeline(SHOP, changed, clear_existing_flow_in_db=False)
    found = registered(SHOP).definition
    assert set(found.steps) == {*SAMPLE, "report"}
    assert (found.steps["train"].operator.kind, found.description) == ("shell", "A shop.")


def test_an_older_form_that_is_registered_again_is_the_latest() -> None:
    first = register_task_pipeline(SHOP, SAMPLE)
    register_task_pipeline(SHOP, {"fetch_data": SAMPLE["fetch_data"]})
    register_task_pipeline(SHOP, SAMPLE)
    assert registered(SHOP) == first
    assert len(rows()) == 2


@pytest.mark.parametrize(
    ("pipeline", "error", "message"),
    [
        (
            {**SAMPLE, "clean_data": {"function": clean_data, "depends_on": ["fetch_data1"]}},
            DefinitionError,
            "'clean_data' depends on 'fetch_data1', which is not declared",
        ),
        (
            {**SAMPLE, "fetch_data": {"function": fetch_data, "depends_on": ["train"]}},
            CycleError,
            "clean_data -> train -> fetch_data -> clean_data",
        ),
        ({}, DefinitionError, "'steps' is empty"),
    ],
)
def test_what_is_refused_is_not_stored(pipeline: dict[str, Any], error: type[Exception], message: str) -> None:
    before = register_task_pipeline(SHOP, SAMPLE)
    with pytest.raises(error, match=message):
        register_task_pipeline(SHOP, pipeline)
    assert (registered(SHOP), len(rows())) == (before, 1)


def test_functions_of_a_notebook_are_stored_by_value() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def cell():\n    return 7", names)
    register_task_pipeline(SHOP, {"a": {"function": names["cell"]}})
    assert registered(SHOP).run(executor="serial").result() == 7


def test_code_that_cannot_be_stored_is_refused() -> None:
    import threading

    lock = threading.Lock()

    def locked() -> Any:
        return lock

    with pytest.raises(UnpicklableError):
        register_task_pipeline(SHOP, {"a": {"function": locked}})
    assert rows() == []


def test_a_flow_that_was_not_registered_is_not_found() -> None:
    register_task_pipeline("other", SAMPLE)
    with pytest.raises(FlowNotFoundError, match=r"register_task_pipeline\('shop'"):
        registered(SHOP)
