"""No secret is found in any file, output or error, whatever a step does with it, on every executor."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner

import nbflow
from nbflow import configure, from_notebook
from nbflow.cli.main import app
from nbflow.deploying.reports import alerts
from nbflow.deploying.reports.alerts import add_alert
from nbflow.deploying.reports.sending import schedule_report
from nbflow.model.errors import NotebookError, SecretError, SecretInValueError, SecretMissingError
from nbflow.queue.schedule import Schedule
from nbflow.testing import freeze, replay
from nbflow.values.secrets import forms, traces
from nbflow.values.secrets.references import Secret
from tests.acceptance import secret_flows
from tests.mail import mail_server
from tests.servers import wait_until
from tests.workers import running_worker

VALUE = "tok/\"'+ é<&>%42-of-the-test"
EXECUTORS = ["serial", "threads", "processes", "queue", "dask"]
# Executors whose processes are nbflow's own, down to their descriptors.
CAPTURED = ["processes", "queue"]

pytestmark = pytest.mark.filterwarnings("ignore:a warning about")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a secret in its file of secrets, which lies elsewhere."""
    work, kept = tmp_path / "own", tmp_path / "kept.toml"
    (work / ".nbflow").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("NBFLOW_HOME", str(work / "home"))
    monkeypatch.setenv("NBFLOW_SECRETS", str(kept))
    kept.write_text(f"TOKEN = {json.dumps(VALUE, ensure_ascii=False)}\n")
    kept.chmod(0o600)
    yield work
    traces.forget()


@contextlib.contextmanager
def place_for(executor: str) -> Iterator[None]:
    """What an executor needs to run anything."""
    if executor == "queue":
        with running_worker(None, concurrency=1):
            yield
    else:
        yield


def traces_in(*texts: str | bytes) -> list[str]:
    """The forms of the secret that are in any of the texts."""
    found = [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in texts]
    return [form.decode("utf-8", "replace") for form in forms.stored(VALUE) if any(form in text for text in found)]


def traces_in_files(folder: Path) -> list[tuple[str, list[str]]]:
    """Files of a folder with forms of the secret, and which."""
    looked = [(path.name, traces_in(path.read_bytes())) for path in folder.rglob("*") if path.is_file()]
    assert any(name.endswith(".db") for name, _ in looked)
    return [(name, found) for name, found in looked if found]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_that_a_flow_leaves_behind_holds_the_secret(executor, folder, capfd):
    events: list[Any] = []
    with place_for(executor):
        options = {"executor": executor, "workers": 1, "listeners": [events.extend], "echo": True}
        below = executor in CAPTURED
        told = secret_flows.telling.run("secret:TOKEN", len(VALUE), str(folder / "steps.log"), below, **options)
        failed = secret_flows.refusing.run(nbflow.secret("TOKEN"), **options)
    assert told.result() is True
    error = failed.error
    assert isinstance(error, secret_flows.RefusedError)
    assert "refused ***" in str(error)
    assert "***" in error.header
    logs = [record.text for run in (told, failed) for record in run.logs()]
    assert any("in two parts: ***" in text for text in logs)
    assert any("ends with ***" in text for text in logs)
    shown = capfd.readouterr()
    assert "in two parts: ***" in shown.out + "".join(logs)
    assert "a record about ***" in (folder / "steps.log").read_text()
    texts = [shown.out, shown.err, repr(error), repr(error.args), repr(vars(error)), repr(events), *logs]
    assert traces_in(*texts) == []
    assert traces_in_files(folder) == []


def test_no_mail_holds_the_secret(folder, monkeypatch):
    with mail_server() as server:
        monkeypatch.setenv("NBFLOW_SMTP", server.url)
        monkeypatch.setenv("NBFLOW_MAIL_FROM", "nbflow@example.org")
        add_alert(flow="refusing", to="ann@example.org", zone="UTC")
        report = schedule_report("day", ["ann@example.org"], zone="UTC")
        secret_flows.telling.run("secret:TOKEN", len(VALUE), str(folder / "steps.log"), True, executor="processes")
        secret_flows.refusing.run(nbflow.secret("TOKEN"), executor="processes")
        with running_worker(None, concurrency=1):
            report.trigger(datetime.now(UTC) + timedelta(days=1))
            Schedule(alerts.SCHEDULE).trigger()
            wait_until(lambda: len(server.mails) == 2)
        told = [part.get_content() for mail in server.mails for part in mail.walk() if not part.is_multipart()]
    assert sum("refused ***" in text for text in told if isinstance(text, str)) >= 2
    assert traces_in(*told, *server.raw) == []
    assert traces_in_files(folder) == []


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_result_that_holds_the_secret_is_refused_with_the_way_out(executor, folder):
    run = secret_flows.leaking.run("secret:TOKEN", executor=executor)
    assert isinstance(run.error, SecretInValueError)
    assert "the result of step 'leak' holds the value of secret 'TOKEN'" in str(run.error)
    assert traces_in_files(folder) == []


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_missing_secret_ends_a_run_before_it_begins(executor, folder):
    with pytest.raises(SecretMissingError, match="NBFLOW_SECRET_OTHER"):
        secret_flows.leaking.run("secret:OTHER", executor=executor)
    assert not (folder / ".nbflow" / "nbflow.db").exists()


def test_a_missing_secret_ends_a_job_before_the_step_begins(folder):
    with running_worker(None, concurrency=1):
        run = secret_flows.refusing.run("secret:OTHER", executor="queue")
    assert isinstance(run.error, SecretMissingError)


def test_a_flow_that_is_a_job_itself_holds_references_only(folder):
    with running_worker(None, concurrency=2):
        run = secret_flows.sizes.submit("secret:TOKEN", executor="queue").wait()
    assert run.result() == 2 * len(VALUE) + 1
    assert traces_in_files(folder) == []


def test_jobs_take_secrets_as_arguments_of_their_own(folder):
    with running_worker(None, concurrency=1):
        job = nbflow.Queue().enqueue(len, "secret:TOKEN")
        assert job.result(timeout=30) == len(VALUE)
    assert traces_in_files(folder) == []


def test_plain_python_means_the_same(folder):
    with contextlib.suppress(secret_flows.RefusedError):
        secret_flows.refusing.plain("secret:TOKEN")
    assert secret_flows.leaking.plain("secret:TOKEN") == {"Authorization": f"Bearer {VALUE}"}
    assert secret_flows.leak(nbflow.secret("TOKEN")) == {"Authorization": f"Bearer {VALUE}"}


def _notebook(path: Path, *cells: tuple[str, tuple[str, ...]]) -> Path:
    book = nbformat.v4.new_notebook()
    for source, tags in cells:
        book.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {}))
    nbformat.write(book, path)
    return path


@pytest.fixture
def book(folder: Path) -> Path:
    """A notebook that is given a secret, makes a header of it, and tells it in outputs and errors."""
    return _notebook(
        folder / "book.ipynb",
        ('token = "secret:TOKEN"\nother = "plain"', ("parameters",)),
        ("import os\nimport pandas as pd\nfrom tests.acceptance import secret_flows", ()),
        ('headers = {"Authorization": f"Bearer {token}"}', ()),
        ('os.environ["SERVICE_KEY"] = token\npd.set_option("display.max_rows", 7)', ()),
        ("print(headers)\nsecret_flows.show_everywhere(token)\nsecret_flows.write_everywhere(token, 'cells.log')", ()),
        ("[token, str(token), headers]", ()),
        ("raise ValueError(f'no use for {token}')", ("raises-exception",)),
        ("length = len(headers['Authorization'])\nkey = os.environ['SERVICE_KEY'] == token", ()),
    )


@pytest.mark.timeout(120)
def test_nothing_that_a_notebook_leaves_behind_holds_the_secret(book, folder, capfd):
    run = from_notebook(book).run(other="more", workers=1)
    assert run.state == "succeeded", run.error
    run.save_notebook(folder / "book.executed.ipynb")
    assert (run.values["length"], run.values["key"]) == (len("Bearer " + VALUE), True)
    assert run.values["token"] == Secret("TOKEN")
    with pytest.raises(NotebookError, match="headers holds the value of secret 'TOKEN'"):
        _ = run.values["headers"]
    executed = (folder / "book.executed.ipynb").read_text()
    assert "no use for ***" in executed
    assert "secret:TOKEN" in executed
    shown = capfd.readouterr()
    assert traces_in(shown.out, shown.err) == []
    assert traces_in_files(folder) == []
    nbformat.validate(nbformat.read(folder / "book.executed.ipynb", 4))


def test_a_parameter_of_a_notebook_may_be_a_secret_whatever_it_is_declared_as(folder):
    path = _notebook(
        folder / "typed.ipynb", ("limit: int = 3", ("parameters",)), ("found = str(limit) == str(len(limit))", ()),
        ("size = len(limit)", ()),
    )  # fmt: skip
    run = from_notebook(path).run(limit="secret:TOKEN")
    assert run.values["size"] == len(VALUE)
    assert traces_in_files(folder) == []
    missing = from_notebook(path).run(limit=nbflow.secret("TOKEN"))
    assert missing.state == "succeeded"
    with pytest.raises(SecretMissingError):
        from_notebook(path).run(limit="secret:OTHER")


def test_a_default_that_is_a_secret_is_looked_up_only_if_it_is_used(folder):
    path = _notebook(folder / "own.ipynb", ('key = "secret:OTHER"', ("parameters",)), ("size = len(key)", ()))
    assert from_notebook(path).run(key="12345").values["size"] == 5
    run = from_notebook(path).run()
    assert isinstance(run.error, SecretMissingError)


def test_secrets_in_the_environment_do_not_go_into_stored_settings(folder, monkeypatch):
    monkeypatch.setenv("NBFLOW_SECRET_UNUSED", VALUE)
    path = _notebook(
        folder / "settings.ipynb", ("import pandas as pd\npd.set_option('display.max_rows', 7)", ()),
        ("import os\nrows = pd.get_option('display.max_rows')\nprint(os.environ)", ()),
        ("there = 'NBFLOW_SECRET_UNUSED' in os.environ", ()),
    )  # fmt: skip
    run = from_notebook(path).run()
    assert (run.values["rows"], run.values["there"]) == (7, True)
    assert traces_in_files(folder) == []


def test_frozen_steps_hold_references_and_are_replayed_with_the_secret(folder):
    path = _notebook(
        folder / "book.ipynb", ('token = "secret:TOKEN"', ("parameters",)),
        ('import os\nos.environ["SERVICE_KEY"] = token', ()),
        ("length = len(token)\nsame = os.environ['SERVICE_KEY'] == token", ()),
        ("twice = 2 * length if same else 0", ()),
    )  # fmt: skip
    freeze(path)
    assert {report.state for report in replay(path)} == {"same"}
    assert traces_in_files(folder) == []


def test_the_commands_tell_where_secrets_are_and_never_what_they_are(folder, monkeypatch):
    monkeypatch.delenv("NBFLOW_SECRETS")
    monkeypatch.setenv("NBFLOW_SECRET_FROM_ENV", VALUE)
    outputs = [_command("secret", "set", "API_KEY", told=f"{VALUE}\n")]
    assert oct((folder / "home" / "secrets.toml").stat().st_mode)[-3:] == "600"
    listed = json.loads(_command("secret", "list", "--json"))
    assert [each["name"] for each in listed] == ["API_KEY", "FROM_ENV"]
    assert json.loads(_command("secret", "check", "API_KEY", "--json"))["characters"] == len(VALUE)
    rest = (("list",), ("check", "FROM_ENV"), ("remove", "API_KEY"), ("list",))
    outputs += [_command("secret", *arguments) for arguments in rest]
    assert "environment variable NBFLOW_SECRET_FROM_ENV" in outputs[2]
    assert "API_KEY" not in outputs[-1]
    with pytest.raises(SecretMissingError, match="nbflow secret set API_KEY"):
        _command("secret", "check", "API_KEY")
    with pytest.raises(SecretError, match="5 characters or more"):
        _command("secret", "set", "SHORT", told="abc\n")
    assert traces_in(*outputs) == []


def _command(*arguments: str, told: str = "") -> str:
    """What a command prints; `told`: what it reads."""
    done = CliRunner().invoke(app, list(arguments), input=told)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_secret_given_on_the_command_line_is_stored_as_its_reference(folder):
    (folder / "flows.py").write_text(Path(secret_flows.__file__).read_text())
    command = [sys.executable, "-m", "nbflow", "run", "flows.py:refusing", "-p", "token=secret:TOKEN"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "***" in done.stdout + done.stderr
    assert "secret:TOKEN" in _command("show", "last")
    assert traces_in(done.stdout, done.stderr, _command("show", "last"), _command("logs", "last")) == []
    assert traces_in_files(folder) == []


def test_a_setting_of_the_project_names_the_file_of_secrets(folder):
    configure(secrets=str(folder.parent / "nowhere.toml"))
    with pytest.raises(SecretMissingError, match=r"nowhere\.toml \(not there\)"):
        secret_flows.leaking.run("secret:TOKEN")
