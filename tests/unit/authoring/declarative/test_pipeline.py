"""Pipelines step by step: arrows, lists on both sides, outcomes, groups; how they run, fail and go on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from nbflow import Pipeline, flow, from_dict, from_yaml
from nbflow.authoring.declarative.operators import Outcome, Shell
from nbflow.client.run import Run
from nbflow.model.errors import DefinitionError, FlowNotFoundError, ParameterError, UnknownStepError


def one() -> int:
    return 1


def plus(x: int) -> int:
    return x + 1


def fails() -> None:
    raise ValueError("it is broken")


def label(what: str) -> str:
    return what


async def later(x: int) -> int:
    return x * 10


def edges(made: Pipeline) -> dict[str, dict[str, tuple[str, ...]]]:
    return {name: dict(step.depends_on) for name, step in made.definition.steps.items() if step.depends_on}


def states(run: Run) -> dict[str, str]:
    return {task.name: str(task.state) for task in run.tasks() if task.record.kind != "record"}


def steps(made: Pipeline, names: str) -> Any:
    return [made.step(Shell("true"), name) for name in names]


def test_arrows_go_both_ways_and_on() -> None:
    with Pipeline("arrows") as made:
        a, b, c, d = steps(made, "abcd")
        assert (a >> b >> c) is c
        c << d
    assert edges(made) == {"b": {"a": ()}, "c": {"b": (), "d": ()}}


def test_lists_on_both_sides_are_many_to_many() -> None:
    with Pipeline("lists") as made:
        a, b, c, d, e, f = steps(made, "abcdef")
        a >> [b, c] >> d
        made.all(b, c) >> [e, f]
        [e, f] << d
    many = {"b": (), "c": (), "d": ()}
    assert edges(made) == {"b": {"a": ()}, "c": {"a": ()}, "d": {"b": (), "c": ()}, "e": many, "f": many}


def test_an_arrow_may_begin_at_an_outcome() -> None:
    with Pipeline("outcomes") as made:
        check = made.step(label, inputs={"what": "x"}, outcomes=["x", "y", "z"])
        a, b = steps(made, "ab")
        check["x"] >> a
        [check["y"], check["z"]] >> b
    assert edges(made) == {"a": {"label": ("x",)}, "b": {"label": ("y", "z")}}


@pytest.mark.parametrize("other", ["b", [1], None])
def test_an_arrow_to_anything_else_is_refused(other: Any) -> None:
    with pytest.raises(TypeError), Pipeline("arrows") as made:
        steps(made, "a")[0] >> other


def test_a_step_needs_a_name_of_its_own() -> None:
    with Pipeline("names") as made:
        made.step(one)
        with pytest.raises(DefinitionError, match="two steps 'one'"):
            made.step(one)
        with pytest.raises(DefinitionError, match="needs a name"):
            made.step(Shell("true"))
    with pytest.raises(DefinitionError, match="is finished"):
        made.step(plus)


def test_a_pipeline_that_is_not_finished_says_so() -> None:
    with pytest.raises(AttributeError, match=r"flow 'open' is not finished; add its steps in a block"):
        Pipeline("open").run()


def test_a_block_that_fails_makes_no_flow() -> None:
    with pytest.raises(KeyError), Pipeline("broken"):
        raise KeyError


def test_results_of_other_steps_are_inputs() -> None:
    with Pipeline("values", parameters={"start": 5}) as made:
        first = made.step(plus, inputs={"x": "${{ start }}"})
        made.step(later, inputs={"x": first})
    run = made.run(executor="serial")
    assert run.result() == 60
    assert made.plain(start=1) == 20
    assert made.run(start=2, executor="threads").result() == 30


def test_without_an_output_the_last_steps_are_the_value() -> None:
    with Pipeline("leaves") as made:
        first = made.step(one)
        made.step(plus, inputs={"x": first})
        made.step(later, inputs={"x": first})
    assert made.run(executor="serial").result() == made.plain() == {"plus": 2, "later": 10}


def test_a_failure_ends_its_branch_only_and_the_run_fails_with_it() -> None:
    with Pipeline("failure") as made:
        bad = made.step(fails)
        bad >> made.step(Shell("true"), "after") >> made.step(Shell("true"), "long_after")
        made.step(one)
        bad >> made.step(plus, "cleanup", inputs={"x": 1}, join="all_done")
        bad >> made.step(plus, "alarm", inputs={"x": 2}, join="one_failed")
        bad["failed"] >> made.step(plus, "handle", inputs={"x": 3})
    run = made.run(executor="serial")
    assert states(run) == {
        "fails": "failed", "after": "skipped", "long_after": "skipped", "one": "succeeded", "cleanup": "succeeded",
        "alarm": "succeeded", "handle": "succeeded",
    }  # fmt: skip
    with pytest.raises(ValueError, match="it is broken"):
        run.result()
    with pytest.raises(ValueError, match="it is broken"):
        made.plain()


def test_a_step_that_may_fail_does_not_fail_the_run() -> None:
    with Pipeline("lenient") as made:
        bad = made.step(fails, may_fail=True)
        made.step(plus, inputs={"x": 1}, join="all_done") << bad
    run = made.run(executor="serial")
    assert (run.state, run.result(), made.plain()) == ("succeeded", 2, 2)


def test_a_skipped_step_says_why() -> None:
    with Pipeline("why") as made:
        check = made.step(label, "check", inputs={"what": "bad"}, outcomes=["good", "bad"])
        check["good"] >> made.step(one) >> made.step(plus)
    run = made.run(executor="serial")
    assert states(run) == {"check": "succeeded", "one": "skipped", "plus": "skipped"}
    assert run["one"].record.error_message == "Its branch was not taken: check came out as bad, not good."
    assert run["plus"].record.error_message == "Its branch was not taken: one was skipped."
    assert run["one"].error is None
    assert "check" in run.graph().text()
    with pytest.raises(Exception, match="is skipped and has no result"):
        run["one"].result()


def test_an_outcome_that_was_not_declared_fails_the_step() -> None:
    with Pipeline("labels") as made:
        made.step(label, inputs={"what": "ugly"}, outcomes=["good", "bad"])
    run = made.run(executor="serial")
    assert "came out as 'ugly', which is none of its outcomes. It has: good, bad." in str(run.error)


def test_outputs_are_parts_by_name() -> None:
    with Pipeline("parts", output=["${{ split.left }}", "${{ split.right }}"]) as made:
        made.step(lambda: (1, 2), "split", outputs=["left", "right"])
    assert made.run(executor="serial").result() == [1, 2]
    with Pipeline("parts") as made:
        made.step(one, outputs=["left", "right"])
    assert "a tuple or list. It returned a int." in str(made.run(executor="serial").error)


def test_an_outcome_may_carry_a_value() -> None:
    with Pipeline("carried", output="${{ check.score }}") as made:
        made.step(lambda: Outcome("good", {"score": 3}), "check", outcomes=["good", "bad"])
    assert made.run(executor="serial").result() == 3


def test_a_failed_run_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with Pipeline("resumed", output="${{ last }}") as made:
        first = made.step(one)
        check = made.step(Shell(f"test -e {flag} && echo yes"), "check", depends_on=first)
        check["failed"] >> made.step(plus, "alarm", inputs={"x": 0})
        made.step(plus, "last", inputs={"x": first}, depends_on=check)
    run = made.run(executor="serial")
    assert states(run) == {"one": "succeeded", "check": "failed", "alarm": "succeeded", "last": "skipped"}
    flag.touch()
    again = made.resume(run.id)
    assert again.result() == 2
    assert states(again) == {"one": "succeeded", "check": "succeeded", "alarm": "skipped", "last": "succeeded"}
    assert again["one"].record.attempts == 1


def test_a_sub_flow_is_one_step(tmp_path: Path) -> None:
    @flow
    def inner(x: int) -> int:
        return x + 5

    with Pipeline("deeper") as deeper:
        deeper.step(Shell("echo 7"), "seven")
    with Pipeline("outer", output="${{ inner }} ${{ sub }}") as made:
        made.step(inner, inputs={"x": made.step(one)})
        made.step(deeper, "sub")
    run = made.run(executor="serial")
    assert run.result() == "6 7"
    assert run["sub#1/seven#1"].state == "succeeded"


def test_a_flow_travels_by_value_and_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("name: one\nsteps:\n  a: {shell: echo 1}\n")
    made = from_yaml(file)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.source == file.read_text()
    assert again.spec.reference == f"nbflow.authoring.declarative.yaml_files:from_yaml@{file}"
    assert from_dict(made.to_dict()) == made
    file.write_text(made.to_yaml())
    assert from_yaml(file) == made


def test_a_file_that_is_not_there_is_no_flow() -> None:
    with pytest.raises(FlowNotFoundError, match=r"There is no file nowhere\.yaml"):
        from_yaml("nowhere.yaml")


def test_files_may_use_one_another_but_not_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("name: inner\nsteps:\n  a: {shell: echo 1}\n")
    (tmp_path / "outer.yaml").write_text("name: outer\nsteps:\n  b: {flow: inner.yaml}\n")
    assert from_yaml(tmp_path / "outer.yaml").run(executor="serial").result() == "1"
    (tmp_path / "inner.yaml").write_text("name: inner\nsteps:\n  a: {flow: outer.yaml}\n")
    with pytest.raises(DefinitionError, match=r"outer\.yaml -> inner\.yaml -> outer\.yaml"):
        from_yaml(tmp_path / "outer.yaml")


def test_parameters_are_checked_when_a_run_begins() -> None:
    made = from_dict(
        {"name": "typed", "parameters": {"n": {"type": "int"}, "s": "x"}, "steps": {"a": {"shell": "echo ${{ n }}"}}}
    )
    assert made.run(n=3, executor="serial").result() == "3"
    with pytest.raises(ParameterError, match="missing a required argument: 'n'"):
        made.run()
    with pytest.raises(ParameterError, match="parameter 'n' of flow 'typed' takes int, not 'x'"):
        made(n="x")


def test_a_dry_run_goes_the_way_with_fakes() -> None:
    with Pipeline("dry", parameters={"what": "good"}) as made:
        check = made.step(label, "check", inputs={"what": "${{ what }}"}, outcomes=["good", "bad"])
        check["good"] >> made.step(plus, "use", inputs={"x": made.step(one)})
        check["bad"] >> made.step(fails)
    found = made.dry_run({"one": 41, "use": lambda x: x + 1})
    assert dict(found.states) == {"check": "succeeded", "one": "succeeded", "use": "succeeded", "fails": "skipped"}
    assert found.inputs["use"] == {"x": 41}
    bad = made.dry_run({"check": "bad", "fails": RuntimeError("no")})
    assert bad.states["fails"] == "failed"
    assert str(bad.error) == "no"
    with pytest.raises(UnknownStepError, match=r"no step 'chek' to fake\. Did you mean 'check'"):
        made.dry_run({"chek": 1})


def test_the_picture_shows_groups_nested_tasks_and_conditions() -> None:
    with Pipeline("drawn") as made:
        with made.group("prepare"):
            a, b = steps(made, "ab")
            a >> b
        check = made.step(label, "check", inputs={"what": "x"}, outcomes=["x", "y"], nested_tasks=["one", "two"])
        b >> check
        check["x"] >> made.step(one)
    text = made.graph().text()
    assert (
        "· prepare\n    · a\n    · b  ← a\n· check  ← prepare\n    · one\n    · two\n· one  check: x  ← check" in text
    )
    assert "def one" in made.graph().details("one").sections[-1].text
    assert made.run(executor="serial").state == "succeeded"


def test_a_call_raises_the_error_of_the_step() -> None:
    with Pipeline("failing") as made:
        made.step(fails)
    with pytest.raises(ValueError, match="it is broken"):
        made()
