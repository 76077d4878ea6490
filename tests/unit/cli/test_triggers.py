"""The commands that make triggers and look after them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import nbflow
from nbflow.cli.codes import NOT_FOUND, exit_code
from nbflow.cli.main import app
from nbflow.deploying import tokens
from nbflow.deploying.triggers import Triggers
from nbflow.model.errors import ConfigError, NbflowError, ParameterError, TriggerError
from nbflow.storage import opened
from tests.unit.deploying.triggers.deployed import deploy, parameter


@pytest.fixture(autouse=True)
def report(tmp_path):
    """A deployment."""
    nbflow.configure(db=f"sqlite:///{tmp_path / 'nbflow.db'}")
    deploy(opened.database(), "report", parameter("day", "str"), parameter("size", "int", "1"))
    return "report"


def told(*arguments):
    """What a command prints."""
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("event", "report", "sales"), "Deployment report listens to event sales (trigger sales)."),
        (
            ("flow", "report", "training", "--on", "any"),
            "Deployment report follows training on any (trigger training).",
        ),
        (("file", "report", "/*.csv", "--as", "day"), "Deployment report looks for /*.csv every 10 s (trigger file)."),
        (("webhook", "report"), "is started by POST /trigger/report"),
        (("sender", "sales", "--name", "shop"), "Who has this token may tell of event sales (trigger shop)."),
    ],
)
def test_what_was_made_is_told_in_a_sentence(arguments, sentence):
    assert sentence in told("listen", *arguments)


def test_a_token_is_shown_once_and_never_listed():
    made = json.loads(told("listen", "webhook", "report", "--name", "hook", "--json"))
    listed = told("triggers", "list", "report", "--json")
    assert made["token"] not in listed
    assert tokens.digest(made["token"]) not in listed
    again = json.loads(told("triggers", "rotate", "report", "hook", "--grace", "1h", "--json"))
    assert again["token"] != made["token"]


def test_options_arrive_as_they_were_given():
    told("listen", "event", "report", "sales", "--take", "date=day", "--set", "size=3", "--most-waiting", "7", "--join")
    (record,) = Triggers.of().listed()
    found = json.loads(record.options)
    assert found == {"take": {"date": "day"}, "set": {"size": 3}, "most_waiting": 7, "join": True}


def test_a_table_is_listed_with_what_it_is_watched_by(tmp_path):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
    told(
        "listen", "table", "report", "orders", "--in", str(tmp_path / "shop.db"), "--column", "id", "--until-as", "day"
    )
    assert 'SELECT * FROM "orders" by id every 30 s' in told("triggers", "list")


def test_an_event_to_which_nobody_listens_is_told_with_the_nearest_one():
    told("listen", "event", "report", "sales")
    done = CliRunner().invoke(app, ["event", "saels"])
    assert (done.exit_code, "Did you mean 'sales'?" in done.stderr) == (0, True)
    assert json.loads(CliRunner().invoke(app, ["event", "saels", "--json"]).stdout) == []


def test_lists_that_are_empty_say_how_to_go_on():
    assert "nbflow listen" in told("triggers", "list")
    assert "No event" in told("triggers", "history")


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("event", "sales", "-p", "day"), ParameterError, "-p takes NAME=VALUE"),
        (("event", "sales", "--key", " "), ConfigError, "not empty"),
        (("listen", "event", "report", "sales", "--take", "=day"), ConfigError, "--take takes"),
        (("listen", "event", "repotr", "sales"), NbflowError, "Did you mean 'report'"),
        (("triggers", "remove", "report", "sales"), TriggerError, "There is no trigger 'sales'"),
        (("triggers", "rotate", "report", "sales", "--grace", "soon"), ConfigError, "--grace"),
    ],
)
def test_bad_input_is_told(arguments, kind, message):
    with pytest.raises(kind, match=message):
        told(*arguments)


def test_a_trigger_that_is_removed_is_gone():
    told("listen", "event", "report", "sales")
    assert "Trigger sales is removed." in told("triggers", "remove", "report", "sales")
    with pytest.raises(TriggerError) as caught:
        told("triggers", "remove", "report", "sales")
    assert exit_code(caught.value) == NOT_FOUND


def test_a_trigger_without_a_token_cannot_have_another():
    told("listen", "event", "report", "sales")
    with pytest.raises(TriggerError, match="has no token"):
        told("triggers", "rotate", "report", "sales")


@pytest.mark.parametrize(
    "command",
    [("event",), *[("listen", each) for each in ("event", "flow", "file", "table", "webhook", "sender")],
     *[("triggers", each) for each in ("list", "history", "rotate", "remove")]],
)  # fmt: skip
def test_every_command_says_what_it_does(command):
    assert f"Usage: nbflow {' '.join(command)}" in told(*command, "--help")
