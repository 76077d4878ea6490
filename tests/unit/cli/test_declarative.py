"""`nbflow validate`, `nbflow approve`, and YAML files for `nbflow run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nbflow import Pipeline
from nbflow.authoring.declarative.operators import Approval
from nbflow.authoring.declarative.operators.approval import gates
from nbflow.cli.main import app
from nbflow.client.run import Run
from nbflow.model.errors import ConfigError, UnknownStepError
from tests.servers import wait_until
from tests.workers import running_worker

GOOD = """\
name: greeting
parameters: {who: {type: str, default: world}}
steps:
  check:
    shell: {command: "test ${{ who }} != nobody || exit 3", exit_codes: {3: nobody}}
  greet:
    shell: echo Hello ${{ who }}
    depends_on: check
output: ${{ greet }}
"""
BAD = "name: bad\nsteps:\n  a:\n    shel: make\n    depends_on: b\n"


def nbflow(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def good() -> str:
    Path("good.yaml").write_text(GOOD)
    return "good.yaml"


@pytest.fixture
def bad() -> str:
    Path("bad.yaml").write_text(BAD)
    return "bad.yaml"


def test_a_good_file_has_no_mistakes(good: str) -> None:
    done = nbflow("validate", good)
    assert (done.exit_code, done.output) == (0, "good.yaml: no mistakes.\n")


def test_a_bad_file_is_told_line_by_line(good: str, bad: str) -> None:
    done = nbflow("validate", good, bad)
    assert done.exit_code == 2
    assert [line.partition(". ")[0] for line in done.output.splitlines()] == [
        "bad.yaml:3:3: step 'a' does nothing",
        "bad.yaml:4:5: 'a' cannot have 'shel'",
        "bad.yaml:5:17: step 'a' depends on 'b', which is not declared",
        "good.yaml: no mistakes.",
    ]


def test_mistakes_are_json_for_scripts(bad: str) -> None:
    (found,) = json.loads(nbflow("validate", bad, "--json").output)
    assert (found["file"], found["valid"], len(found["mistakes"])) == ("bad.yaml", False, 3)
    first = found["mistakes"][0]
    assert (first["line"], first["column"], first["path"]) == (3, 3, "steps.a")


def test_the_schema_is_printed() -> None:
    found = json.loads(nbflow("validate", "--schema").output)
    assert set(found["required"]) == {"name", "steps"}


def test_a_dry_run_goes_the_way_of_fakes(good: str) -> None:
    done = nbflow("validate", good, "--fake", "check=nobody", "--fake", "greet=Hi", "-p", "who=you")
    assert done.exit_code == 0
    assert "succeeded  check\nsucceeded  greet" in done.output


@pytest.mark.parametrize(("arguments", "message"), [((), "name a file"), (("good.yaml", "--fake", "x"), "STEP=VALUE")])
def test_what_cannot_be_validated_is_told(good: str, arguments: tuple[str, ...], message: str) -> None:
    done = nbflow("validate", *arguments)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


def test_a_yaml_file_is_run_with_parameters(good: str) -> None:
    done = nbflow("run", good, "-p", "who=you", "--executor", "serial", "--json")
    found = json.loads(done.stdout)
    assert (found["flow"], found["state"], found["result"]) == ("greeting", "succeeded", "Hello you")


def test_a_yaml_file_is_drawn_before_any_run(good: str) -> None:
    assert "· greet  ← check" in nbflow("graph", good).output


def test_a_bad_file_is_not_run(bad: str) -> None:
    done = nbflow("run", bad)
    assert "bad.yaml:4:5: 'a' cannot have 'shel'" in str(done.exception)


def test_a_yaml_file_is_run_by_workers(good: str) -> None:
    id_ = nbflow("run", good, "--detach", "-p", "who=them").stdout.strip()
    with running_worker(concurrency=1):
        assert Run(id_).wait(50).result() == "Hello them"


def test_a_failed_run_of_a_file_is_resumed_from_it() -> None:
    Path("flaky.yaml").write_text("name: flaky\nsteps:\n  a: {shell: test -e flag && echo there}\n")
    assert nbflow("run", "flaky.yaml", "--executor", "serial").exit_code == 1
    Path("flag").touch()
    assert nbflow("resume", "last").exit_code == 0


@pytest.fixture
def waiting() -> Iterator[Run]:
    with Pipeline("gated") as made:
        made.step(Approval("Release?"), "release")
    run = made.submit(executor="threads")
    wait_until(lambda: gates(run)["release"])
    yield run
    if not run.state.finished:
        run.cancel()
        run.wait(30)


def test_the_one_gate_that_waits_needs_no_name(waiting: Run) -> None:
    done = nbflow("approve", waiting.id, "--note", "fine", "--by", "ada")
    assert (done.exit_code, done.output) == (0, f"approved release of run {waiting.id}.\n")
    assert waiting.wait(30).result()["by"] == "ada"


def test_a_gate_is_rejected_once(waiting: Run) -> None:
    done = nbflow("approve", waiting.id, "release", "--reject", "--json")
    assert json.loads(done.output)["answer"] == "rejected"
    waiting.wait(30)
    assert nbflow("approve", waiting.id, "release").exit_code != 0


def test_a_gate_that_is_not_there_is_told(waiting: Run) -> None:
    done = nbflow("approve", waiting.id, "deploy")
    assert isinstance(done.exception, UnknownStepError)
    assert "has no gate 'deploy'. It has: release." in str(done.exception)
