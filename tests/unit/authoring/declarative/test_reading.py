"""From data to a definition: defaults, edges, inputs, and what is refused."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest

from nbflow import Pipeline, flow, from_dict, step
from nbflow.authoring.declarative.operators import Shell
from nbflow.authoring.declarative.problems import PipelineError
from nbflow.authoring.declarative.reading import mistakes
from nbflow.model.errors import CycleError, DefinitionError


def fetch_data() -> list[int]:
    return [1, 2, 3]


def clean_data(data: list[int]) -> list[int]:
    return data[1:]


def both(fetch: Any, clean: Any, rate: Any = 1) -> Any:
    return fetch, clean, rate


def anything(**found: Any) -> Any:
    return found


@step(retries=2, timeout=9)
def patient(data: Any) -> Any:
    return data


@flow
def inner(data: Any, rate: Any = 1) -> Any:
    return data


def made(steps: dict[str, Any], **sections: Any) -> Pipeline:
    return from_dict({"name": "made", "steps": steps, **sections})


def inputs_of(flow: Pipeline, name: str) -> Any:
    return flow.definition.steps[name].inputs


def test_the_one_dependency_is_for_the_one_parameter() -> None:
    found = made({"a": {"function": fetch_data}, "b": {"function": clean_data, "depends_on": "a"}})
    assert inputs_of(found, "b") == {"data": "${{ a }}"}


def test_dependencies_and_parameters_are_found_by_name() -> None:
    steps = {
        "fetch": {"function": fetch_data},
        "clean": {"function": clean_data, "depends_on": "fetch"},
        "use": {"function": both, "depends_on": ["fetch", "clean"]},
    }
    assert inputs_of(made(steps, parameters={"rate": 2}), "use") == {
        "fetch": "${{ fetch }}", "clean": "${{ clean }}", "rate": "${{ rate }}",
    }  # fmt: skip


def test_a_function_that_takes_everything_gets_all_it_depends_on() -> None:
    found = made({"a": {"shell": "1"}, "b": {"shell": "2"}, "c": {"function": anything, "depends_on": ["a", "b"]}})
    assert inputs_of(found, "c") == {"a": "${{ a }}", "b": "${{ b }}"}


def test_what_is_referred_to_is_a_dependency() -> None:
    found = made({"b": {"shell": "echo ${{ a }}"}, "a": {"shell": "make"}})
    assert found.definition.steps["b"].depends_on == {"a": ()}
    assert list(found.definition.steps) == ["a", "b"]


def test_defaults_are_options_of_all_steps_that_do_not_say_otherwise() -> None:
    found = made({"a": {"shell": "1"}, "b": {"shell": "2", "retries": 0}}, defaults={"retries": 3, "timeout": "2m"})
    assert found.definition.steps["a"].options == {"retries": 3, "timeout": 120}
    assert found.definition.steps["b"].options == {"retries": 0, "timeout": 120}


def test_durations_are_the_same_in_words_and_numbers() -> None:
    forms = ["90s", 90, 90.0, "1m 30s", timedelta(seconds=90)]
    assert len({made({"a": {"shell": "1", "timeout": form}}).definition.digest for form in forms}) == 1


def test_options_of_a_decorated_step_come_with_it_and_can_be_overruled() -> None:
    found = made({"a": {"function": patient, "inputs": {"data": 1}, "timeout": 3}})
    spec = found.spec.function.specs["a"]
    assert (spec.name, spec.retry.retries, spec.timeout) == ("a", 2, 3.0)


def test_the_undeclared_dependency_of_the_well_known_sample_is_refused_by_name() -> None:
    with pytest.raises(PipelineError, match=r"'clean_data' depends on 'fetch_data1', which is not declared"):
        made({
            "fetch_data": {"function": fetch_data, "depends_on": []},
            "clean_data": {"function": clean_data, "depends_on": ["fetch_data1"]},
        })  # fmt: skip


def test_a_circle_is_shown() -> None:
    with pytest.raises(CycleError, match=r"a -> b -> a") as raised:
        made({"a": {"shell": "1", "depends_on": "b"}, "b": {"shell": "2", "depends_on": "a"}})
    assert raised.value.cycle == ["a", "b"]


def test_all_mistakes_come_together_and_survive_pickling() -> None:
    with pytest.raises(PipelineError) as raised:
        made({"a": {"shell": "1", "depends_on": "x"}, "b": {"shell": "${{ y }}", "join": "any"}})
    error = pickle.loads(pickle.dumps(raised.value))
    assert str(error).startswith("3 mistakes:\nflow 'made': steps.a.depends_on.x: step 'a' depends on 'x'")
    assert len(list(mistakes(error))) == 3


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"a": {"function": inner}}, "is a flow, not a function"),
        ({"a": {"flow": clean_data}}, "is no flow"),
        ({"a": {"function": 3}}, "'function' is a text, not 3"),
        ({"a": {"shell": object()}}, "a object cannot be written down"),
        ({"a": {"flow": inner}}, "has no value for 'data'"),
        ({"a": {"function": clean_data}}, "has no value for 'data'; give one: inputs"),
        ({"a": {"function": clean_data, "inputs": {"dta": 1}}}, "takes no 'dta'. Did you mean 'data'"),
        ({"a": {"approval": "go?", "outcomes": ["yes"]}}, "the outcomes of approval are approved, rejected"),
        ({"a": {"shell": "1", "outcomes": ["failed"]}}, "is the outcome of a step that fails"),
    ],
)
def test_a_step_that_cannot_be_is_refused(steps: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        made(steps)


def test_a_parameter_that_is_an_option_of_run_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'workers', which is an option of run"):
        made({"a": {"shell": "1"}}, parameters={"workers": 3})


def test_a_definition_and_its_data_are_the_same() -> None:
    steps = {
        "a": {"shell": {"command": ["make", "all"], "env": {"X": 1}}, "outputs": ["x", "y"], "group": "build"},
        "b": {"approval": {"message": "ok?", "timeout": "1d"}, "depends_on": "a", "description": "A gate."},
        "c": {"http": "http://localhost/${{ a.x }}", "depends_on": {"b": "rejected"}, "may_fail": True},
        "d": {"wait": 3, "join": "none_failed", "depends_on": ["b", "c"], "nested_tasks": ["one", "two"]},
    }
    sections = {
        "parameters": {"p": {"type": "int"}, "q": {"default": {"x": 1}}, "r": [1]}, "output": {"x": "${{ a.x }}"},
        "schedule": "0 5 * * *", "triggers": [{"file": "*.csv", "as": "p"}], "tags": ["b", "a"], "timeout": "2h",
    }  # fmt: skip
    first = made(steps, **sections)
    assert from_dict(first.to_dict()) == first
    assert from_dict(first.to_dict()).definition.digest == first.definition.digest


def test_flows_that_say_something_else_differ() -> None:
    base = {"a": {"shell": "1"}, "b": {"shell": "2", "depends_on": "a"}}
    others = [
        {**base, "a": {"shell": "3"}},
        {**base, "b": {"shell": "2"}},
        {**base, "b": {"shell": "2", "depends_on": "a", "join": "all_done"}},
        {**base, "b": {"shell": "2", "depends_on": "a", "retries": 1}},
    ]
    assert all(made(base) != made(other) for other in others)
    assert made(base) == made(dict(reversed(base.items())))
    assert made(base) != "made"


def test_operators_stand_in_a_dict_as_data_only() -> None:
    with pytest.raises(PipelineError, match="a Shell cannot be written down"):
        made({"a": {"shell": Shell("make")}})
