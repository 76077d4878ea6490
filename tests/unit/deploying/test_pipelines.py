"""Declared flows as deployments: their schedule and triggers come with them."""

from __future__ import annotations

import pytest

import nbflow
from nbflow.deploying.deployments import deployments
from nbflow.deploying.promoting import promote
from nbflow.deploying.triggers import Triggers
from nbflow.model.errors import ConfigError

UNCHECKED = {"check": False, "override": "it is a test"}
YAML = """
name: nightly
parameters:
  source: data.csv
schedule:
  cron: "0 6 * * MON"
  tz: Europe/Paris
  catchup: all
triggers:
  - event: uploaded
    name: upload
  - webhook: true
    name: push
steps:
  load:
    function: steps_of_yaml:load
    inputs: {{source: "{source}"}}
"""
STEPS = "def load(source):\n    return source\n"


@pytest.fixture(autouse=True)
def _database(db_url):
    nbflow.configure(db=db_url)


@pytest.fixture
def nightly(desk):
    """Writes the flow, with some text as what it loads."""
    desk.module("steps_of_yaml", STEPS)

    def write(source="a.csv"):
        (desk.folder / "nightly.yaml").write_text(YAML.format(source=source))
        return "nightly.yaml"

    return write


def test_a_flow_in_yaml_brings_its_schedule_and_its_triggers(nightly):
    made = promote(nightly(), **UNCHECKED)
    assert (made.name, made.schedule.describe()) == ("nightly", "At 06:00 on Monday (Europe/Paris)")
    assert made.schedule.record.catchup == "all"
    assert {(each.name, each.kind) for each in Triggers.of().listed("nightly")} == {
        ("upload", "event"), ("push", "webhook"),
    }  # fmt: skip
    assert list(made.tokens) == ["push"]
    assert set(made.versions()[0].files) == {"nightly.yaml", "steps_of_yaml.py"}


def test_what_is_asked_for_counts_more_than_what_is_declared(nightly):
    made = promote(nightly(), every="2 h", **UNCHECKED)
    assert made.schedule.describe() == "Every 2 hours"


def test_a_webhook_keeps_its_token_when_the_flow_is_promoted_again(nightly):
    promote(nightly(), **UNCHECKED)
    made = promote(nightly("b.csv"), **UNCHECKED)
    assert (made.version, made.tokens) == (2, {})
    assert [line for change in made.diff(1).changes for line in change.lines if line[0] in "+-"] == [
        '-    inputs: {source: "a.csv"}', '+    inputs: {source: "b.csv"}',
    ]  # fmt: skip


def test_what_is_wrong_with_a_trigger_is_told_before_anything_is_stored(nightly, desk):
    path = nightly()
    text = (desk.folder / path).read_text().replace("event: uploaded", "event: uploaded\n    most_waiting: 0")
    (desk.folder / path).write_text(text)
    with pytest.raises((ConfigError, nbflow.NbflowError), match="most_waiting"):
        promote(path, **UNCHECKED)
    assert deployments() == []
