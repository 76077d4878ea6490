"""Operators: commands, requests, SQL, notebooks, and own ones."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from nbflow import Pipeline, from_dict
from nbflow.authoring.declarative.operators import Operator, operator
from nbflow.authoring.declarative.operators.base import kinds
from nbflow.client.run import Run
from nbflow.model.errors import DefinitionError
from nbflow.testing.clock import VirtualClock
from tests.servers import wait_until
from tests.unit.authoring.declarative.web import Site, running_site


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.asked.clear()
    return running


def run_of(does: dict[str, Any], more: dict[str, Any] | None = None, **options: Any) -> Run:
    """A run of one step that comes after `given`, whose value is what the parameter says."""
    steps = {"does": does, **(more or {})}
    made = from_dict({"name": "one", "parameters": {"given": "x"}, "steps": steps, "output": "${{ does }}"})
    return made.run(**{"executor": "serial", **options})


def value_of(does: dict[str, Any], **given: Any) -> Any:
    return run_of(does, **given).result()


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "value"),
    [
        ("echo one; echo two", "one\ntwo"),
        (["echo", "a b", 3], "a b 3"),
        ({"command": "printf 'a\\nb\\n'", "output": "lines"}, ["a", "b"]),
        ({"command": "echo '{\"x\": [1]}'", "output": "json"}, {"x": [1]}),
        ({"command": "echo shown", "output": "none"}, None),
        ({"command": 'echo "$WORD ${{ given }}"', "env": {"WORD": "got"}}, "got x"),
        ({"command": "pwd", "cwd": "/"}, "/"),
        ("echo ${HOME:+home} '$${{ given }}'", "home ${{ given }}"),
    ],
)
def test_a_command_gives_what_it_writes(shell: Any, value: Any) -> None:
    assert value_of({"shell": shell}) == value


@pytest.mark.parametrize("given", ["a; echo pwned", "$(echo pwned)", "`echo pwned`", '"; echo pwned; "', "'a b'"])
def test_a_value_is_never_taken_for_code(given: str) -> None:
    assert value_of({"shell": 'printf %s "${{ given }}"'}, given=given) == given
    assert value_of({"shell": ["printf", "%s", "${{ given }}"]}, given=given) == given


def test_inputs_are_variables_of_the_command() -> None:
    assert value_of({"shell": "echo $WHO", "inputs": {"WHO": "${{ given }}"}}, given={"a": 1}) == '{"a": 1}'


def test_a_command_that_fails_tells_its_code_and_last_words() -> None:
    run = run_of({"shell": "echo before; echo why >&2; exit 3"})
    assert str(run.error) == "'echo before; echo why >&2; exit 3' ended with exit code 3: why"
    assert run.error.exit_code == 3
    assert [record.text for record in run["does"].logs()] == ["before\n", "why\n"]


def test_exit_codes_can_be_outcomes() -> None:
    with Pipeline("codes") as made:
        check = made.step(kinds()["shell"]("exit 4", exit_codes={4: "empty"}), "check")
        check["empty"] >> made.step(kinds()["shell"]("echo nothing there"), "note")
    assert made.run(executor="serial").result() == "nothing there"


@pytest.mark.parametrize(
    ("shell", "message"),
    [
        (["no-such-program"], "cannot be started: No such file"),
        ("kill -KILL $$", "was ended by signal SIGKILL"),
        ({"command": "echo x", "output": "json"}, "was to write JSON"),
    ],
)
def test_a_command_that_cannot_be_used_says_why(shell: Any, message: str) -> None:
    assert message in str(run_of({"shell": shell}).error)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_cancelled_command_leaves_nothing_behind(tmp_path: Path, executor: str) -> None:
    pids = tmp_path / "pids"
    made = from_dict({"name": "long", "steps": {"a": {"shell": f"sleep 300 & echo $! $$ > {pids}; wait"}}})
    run = made.submit(executor=executor, workers=1)
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    run.cancel()
    run.wait(30)
    wait_until(lambda: not any(_lives(int(pid)) for pid in pids.read_text().split()))


def test_a_command_ends_when_the_process_that_runs_it_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from nbflow.authoring.declarative.operators import Shell\n"
        f"step = Shell('sleep 300 & echo $! $$ > {pids}; wait')\n"
        "step.run({}, step.fill(None))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    process.kill()
    process.wait()
    wait_until(lambda: not any(_lives(int(pid)) for pid in pids.read_text().split()))


# --- requests ------------------------------------------------------------------------------------------------------


def test_a_request_is_made_of_the_steps_inputs(site: Site) -> None:
    does = {
        "http": {
            "url": f"{site.url}/models/${{{{ given }}}}", "method": "PUT", "headers": {"X-Run": "${{ run.id }}"},
            "query": {"tag": ["a", "b c"]}, "json": {"model": "${{ given }}", "n": 1},
        }
    }  # fmt: skip
    run = run_of(does, given="m1")
    assert run.result() == {"path": "/models/m1?tag=a&tag=b+c"}
    (asked,) = site.asked
    assert (asked["method"], json.loads(asked["body"])) == ("PUT", {"model": "m1", "n": 1})
    assert (asked["headers"]["X-Run"], asked["headers"]["Content-Type"]) == (run.id, "application/json")


@pytest.mark.parametrize(
    ("http", "value"),
    [
        ({"url": "/text"}, "plain words"),
        ({"url": "/text", "response": "bytes"}, b"plain words"),
        ({"url": "/missing", "expect": [404]}, "no such page here"),
        ({"url": "/x", "form": {"a": 1}}, {"path": "/x"}),
        ({"url": "/x", "body": "raw"}, {"path": "/x"}),
    ],
)
def test_an_answer_is_taken_as_it_is_wanted(site: Site, http: dict[str, Any], value: Any) -> None:
    assert value_of({"http": {**http, "url": site.url + http["url"]}}) == value


def test_a_full_answer_has_status_and_headers(site: Site) -> None:
    found = value_of({"http": {"url": f"{site.url}/x", "response": "full"}})
    assert (found["status"], found["body"]) == (200, {"path": "/x"})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/missing", "was answered with 404: no such page here"),
        ("ftp://host/x", "is no URL of the web"),
        ("file:///etc/hostname", "is no URL of the web"),
        ("/file", "302"),
    ],
)
def test_a_request_that_fails_says_why(site: Site, url: str, message: str) -> None:
    error = run_of({"http": url if ":" in url else site.url + url}).error
    assert message in str(error)


def test_a_status_that_was_not_expected_is_in_the_error(site: Site) -> None:
    error = run_of({"http": {"url": f"{site.url}/text", "expect": [204]}}).error
    assert (error.status, error.body) == (200, "plain words")
    assert "answered with 200 instead of 204" in str(error)


def test_a_failed_request_is_retried(site: Site) -> None:
    site.failures = 2
    run = run_of({"http": f"{site.url}/flaky", "retries": 2})
    assert run.result() == {"ok": True}
    assert run["does"].record.attempts == 3


def test_a_request_is_repeated_until_it_is_done(site: Site) -> None:
    site.looks_until_done = 3
    poll = {"until": {"path": "job.state", "equals": "done"}, "every": 60, "timeout": "1h"}
    clock = VirtualClock()
    run = _jumping({"http": {"url": f"{site.url}/job", "poll": poll}}, clock)
    assert run.result()["rows"] == 7
    assert clock.time() == 1_000_000_000 + 3 * 60
    assert [task.key for task in run.tasks() if task.name == "request"][-1] == "does#1/request#4"


def test_a_request_that_is_never_done_times_out(site: Site) -> None:
    site.looks_until_done = 100
    poll = {"until": {"path": "job.state", "equals": ["done", "failed"]}, "every": 60, "timeout": 150}
    run = _jumping({"http": {"url": f"{site.url}/job", "poll": poll}}, VirtualClock())
    assert "was not done after 150 seconds (3 looks)" in str(run.error)


def _jumping(does: dict[str, Any], clock: VirtualClock) -> Run:
    """A run on a clock that goes to the next time whenever something waits for it."""
    made = from_dict({"name": "one", "steps": {"does": does}})
    run = made.submit(executor="threads", clock=clock)
    while not run.state.finished:
        clock.jump()
    return run.wait(30)


def test_credentials_are_not_sent_to_where_a_redirect_leads(site: Site) -> None:
    value_of({"http": {"url": f"{site.url}/away", "headers": {"Authorization": "secret", "X-Other": "kept"}}})
    first, second = (asked["headers"] for asked in site.asked)
    assert first["Authorization"] == "secret"
    assert "Authorization" not in second
    assert second["X-Other"] == "kept"


# --- SQL -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table sales (item text, n integer)")
        connection.executemany("insert into sales values (?, ?)", [("pear", 2), ("fig", 5)])
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ({"statement": "select * from sales order by n"}, [{"item": "pear", "n": 2}, {"item": "fig", "n": 5}]),
        ({"statement": "select n from sales where item = ${{ given }}", "fetch": "value"}, 5),
        ({"statement": "select * from sales where n > :least", "parameters": {"least": 4}, "fetch": "one"},
         {"item": "fig", "n": 5}),
        ({"statement": "update sales set n = n + 1"}, 2),
        ({"statement": ["delete from sales", "select count(*) as n from sales"], "fetch": "value"}, 0),
        ({"statement": "select * from sales where n > 9", "fetch": "one"}, None),
    ],
)  # fmt: skip
def test_a_statement_gives_its_rows(shop: str, sql: dict[str, Any], value: Any) -> None:
    assert value_of({"sql": {"url": shop, **sql}}, given="fig") == value


def test_a_value_is_never_taken_for_sql(shop: str) -> None:
    sql = {"url": shop, "statement": "select count(*) from sales where item = ${{ given }}", "fetch": "value"}
    assert value_of({"sql": sql}, given="x' or '1'='1") == 0


def test_statements_succeed_or_fail_together(shop: str) -> None:
    run = run_of({"sql": {"url": shop, "statement": ["delete from sales", "select * from nowhere"]}})
    assert "refused: no such table: nowhere" in str(run.error)
    assert value_of({"sql": {"url": shop, "statement": "select count(*) from sales", "fetch": "value"}}) == 2


def test_rows_can_be_a_frame(shop: str) -> None:
    frame = value_of({"sql": {"url": shop, "statement": "select * from sales", "fetch": "frame"}})
    assert list(frame["n"]) == [2, 5]


def test_a_password_is_not_told() -> None:
    run = run_of({"sql": {"url": "nosuch://me:hidden@host/db", "statement": "select 1"}})
    assert "hidden" not in str(run.error)


# --- notebooks and own operators -----------------------------------------------------------------------------------


def test_a_notebook_is_a_step(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell("rate = 1", metadata={"tags": ["parameters"]}),
             nbformat.v4.new_code_cell("answer = rate * 21")]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "book.ipynb")
    notebook = {"path": str(tmp_path / "book.ipynb"), "values": ["answer"], "executor": "serial",
                "out": str(tmp_path / "done.ipynb")}  # fmt: skip
    found = value_of({"notebook": notebook, "inputs": {"rate": "${{ given }}"}}, given=2)
    assert found["answer"] == 42
    assert Run(found["run"]).state == "succeeded"
    assert (tmp_path / "done.ipynb").exists()


@pytest.fixture
def greet() -> Iterator[None]:
    @operator(
        "greet",
        main="name",
        schema={
            "type": ["string", "object"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "loud": {"type": "boolean"}},
        },
    )
    def greet(inputs: dict[str, Any], settings: dict[str, Any]) -> str:
        """Say hello."""
        text = f"Hello {settings['name']}"
        return text.upper() if settings.get("loud") else text

    yield
    del kinds()["greet"]


@pytest.mark.usefixtures("greet")
def test_an_own_operator_is_a_word_in_steps() -> None:
    assert value_of({"greet": "${{ given }}"}) == "Hello x"
    assert value_of({"greet": {"name": "you", "loud": True}}) == "HELLO YOU"
    with pytest.raises(DefinitionError, match=r"'greet' cannot have 'lout'\. Did you mean 'loud'"):
        run_of({"greet": {"name": "you", "lout": True}})


def test_an_own_operator_is_a_subclass() -> None:
    class Twice(Operator, kind="twice", main="what"):
        def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
            return settings["what"] * 2

    try:
        assert value_of({"twice": "${{ given }}"}, given=[1]) == [1, 1]
        assert repr(Twice("a")) == "Twice(what='a')"
    finally:
        del kinds()["twice"]


def test_operators_come_by_entry_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nbflow.authoring.declarative.operators import base

    (tmp_path / "shouting.py").write_text(
        "from nbflow.authoring.declarative.operators import Operator\n"
        "class Shout(Operator):\n    main = 'text'\n    def run(self, inputs, settings):\n"
        "        return settings['text'].upper()\n"
    )
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nbflow.operators]\nshout = shouting:Shout\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    base._entries.cache_clear()
    try:
        assert value_of({"shout": "${{ given }}"}) == "X"
    finally:
        kinds().pop("shout", None)
        base._entries.cache_clear()


def test_the_words_of_operators_are_checked() -> None:
    with pytest.raises(DefinitionError, match="cannot be the kind of an operator"):
        operator("two words")(print)


def test_what_a_run_knows_of_itself_can_be_referred_to() -> None:
    run = run_of({"shell": "echo ${{ run.id }} ${{ run.task }} ${{ run.attempt }}"})
    assert run.result() == f"{run.id} does#1 1"
