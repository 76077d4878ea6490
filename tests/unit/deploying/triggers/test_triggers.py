from __future__ import annotations

import re
import threading

import pytest
from sqlalchemy import update

from nbflow.deploying.starts import key_of
from nbflow.model.errors import (
    ConfigError,
    DefinitionError,
    KeyReusedError,
    NbflowError,
    ParameterError,
    TooManyStartsError,
    TriggerError,
    TriggerNotFoundError,
)
from nbflow.storage.schema import jobs as jobs_table
from tests.unit.deploying.triggers.deployed import deploy, job_count, parameter, started


@pytest.fixture
def report(database):
    """A deployment with two parameters."""
    deploy(database, "report", parameter("day", "str", "'today'"), parameter("size", "int", "1"))
    return "report"


def begin(database, *ids):
    """Let jobs begin."""
    with database.write() as connection:
        connection.execute(update(jobs_table).where(jobs_table.c.id.in_(ids)).values(state="running"))


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_event_starts_every_deployment_that_listens_with_its_parameters(database, triggers, report):
    deploy(database, "other", parameter("day"))
    deploy(database, "deaf", parameter("day"))
    for name in (report, "other"):
        triggers.add("event", name, event="sales")
    found = triggers.emit("sales", {"day": "monday"})
    assert [(each.deployment, each.outcome) for each in found] == [("other", "started"), ("report", "started")]
    assert sorted(started(database)) == [("other", {"day": "monday"}), ("report", {"day": "monday"})]


def test_the_same_key_starts_nothing_twice_and_says_so(database, triggers, report):
    triggers.add("event", report, event="sales")
    first, again = [triggers.emit("sales", {"day": "monday"}, key="7")[0] for _ in range(2)]
    assert (first.outcome, again.outcome, again.job) == ("started", "repeated", first.job)
    assert job_count(database) == 1


def test_keys_of_different_events_have_nothing_to_do_with_each_other(triggers, report):
    for event in ("sales", "returns"):
        triggers.add("event", report, event=event)
    assert [triggers.emit(event, key="7")[0].outcome for event in ("sales", "returns")] == ["started", "started"]


def test_without_a_key_each_call_is_an_event_of_its_own(database, triggers, report):
    triggers.add("event", report, event="sales")
    assert {triggers.emit("sales")[0].outcome for _ in range(3)} == {"started"}
    assert job_count(database) == 3


def test_a_deployment_that_comes_later_is_started_by_a_repeated_event_alone(database, triggers, report):
    triggers.add("event", report, event="sales")
    triggers.emit("sales", key="7")
    deploy(database, "late")
    triggers.add("event", "late", event="sales")
    assert [(each.deployment, each.outcome) for each in triggers.emit("sales", key="7")] == [
        ("late", "started"),
        ("report", "repeated"),
    ]


def test_an_event_to_which_nobody_listens_starts_nothing(database, triggers, report):
    triggers.add("event", report, event="sales")
    assert triggers.emit("saels") == []
    assert (job_count(database), triggers.events()) == (0, ["sales"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dya": 1}, "deployment 'report' has no parameter 'dya'. Did you mean 'day'? It has day, size."),
        ({"size": "many"}, "'size' is an int, and 'many' is not"),
        ({"day": 3}, "'day' is a str, and 3 is not"),
        ({"day": "x" * 200_000}, "characters as JSON"),
        ({"size": 2, "day": "\ud800"}, None),
    ],
)
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)  # nothing of it is the database's
def test_parameters_are_checked_before_anything_is_started(database, triggers, report, parameters, message):
    deploy(database, "before", parameter("day"), parameter("dya"), parameter("size"))
    for name in ("before", report):
        triggers.add("event", name, event="sales")
    if message is None:
        assert len(triggers.emit("sales", parameters)) == 2
        return
    with pytest.raises(ParameterError, match=re.escape(message)):
        triggers.emit("sales", parameters)
    assert (job_count(database), triggers.history()) == (0, [])


def test_values_that_json_does_not_know_are_refused(triggers, database):
    deploy(database, "any", parameter("x"))
    triggers.add("event", "any", event="sales")
    for value in (object(), float("nan"), b"bytes"):
        with pytest.raises(ParameterError, match="what JSON can hold"):
            triggers.emit("sales", {"x": value})


def test_a_missing_parameter_is_told_unless_the_version_has_a_value(triggers, database):
    deploy(database, "needs", parameter("url", required=True))
    deploy(database, "has", parameter("url", required=True), given={"url": "x"})
    triggers.add("event", "has", event="sales")
    assert triggers.emit("sales")[0].outcome == "started"
    triggers.add("event", "needs", event="sales")
    with pytest.raises(ParameterError, match="needs a value for url"):
        triggers.emit("sales")


def test_texts_of_a_command_line_become_values_of_the_declared_types(database, triggers, report):
    triggers.add("event", report, event="sales")
    triggers.emit("sales", {"day": "7", "size": "7"}, texts=True)
    assert started(database) == [("report", {"day": "7", "size": 7})]


def test_a_trigger_passes_on_what_it_takes_under_the_names_of_the_flow_and_adds_its_own(database, triggers, report):
    triggers.add("event", report, event="sales", take={"date": "day"}, set={"size": "5"}, texts=True)
    triggers.emit("sales", {"date": "monday", "weather": "good"})
    assert started(database) == [("report", {"day": "monday", "size": 5})]


def test_a_key_may_be_as_long_as_it_likes(triggers, report):
    triggers.add("event", report, event="sales")
    long = "k" * 10_000
    assert [triggers.emit("sales", key=key)[0].outcome for key in (long, long, long + "k")] == [
        "started", "repeated", "started",
    ]  # fmt: skip
    assert len(key_of("event", "sales", "\0" * 300)) == 255


def test_the_same_key_with_other_parameters_is_an_error_where_that_is_asked_for(database, triggers, report):
    triggers.add("event", report, event="sales")
    triggers.emit("sales", {"size": 1}, key="7", strict=True)
    assert triggers.emit("sales", {"size": 1}, key="7", strict=True)[0].outcome == "repeated"
    with pytest.raises(KeyReusedError):
        triggers.emit("sales", {"size": 2}, key="7", strict=True)
    assert job_count(database) == 1


def test_one_event_told_by_many_at_once_starts_once(database, triggers, report):
    triggers.add("event", report, event="sales")
    outcomes = []

    def tell():
        outcomes.append(triggers.emit("sales", key="7")[0].outcome)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["repeated"] * 7 + ["started"]
    assert job_count(database) == 1


# --- storms ----------------------------------------------------------------------------------------------------------


def test_a_storm_of_events_is_bounded_and_goes_on_once_starts_begin(database, triggers, report):
    triggers.add("event", report, event="sales", most_waiting=3)
    first = [triggers.emit("sales", key=str(number))[0].job for number in range(3)]
    with pytest.raises(TooManyStartsError, match="3 starts of deployment 'report' wait already"):
        triggers.emit("sales", key="3")
    assert job_count(database) == 3
    assert triggers.emit("sales", key="2")[0].outcome == "repeated", "what is there already needs no room"
    begin(database, *first[:2])
    assert [triggers.emit("sales", key=key)[0].outcome for key in ("3", "4")] == ["started", "started"]
    with pytest.raises(TooManyStartsError):
        triggers.emit("sales", key="5")


def test_a_full_deployment_keeps_an_event_from_all_of_them(database, triggers, report):
    deploy(database, "roomy")
    triggers.add("event", report, event="sales", most_waiting=1)
    triggers.emit("sales")
    triggers.add("event", "roomy", event="sales")
    with pytest.raises(TooManyStartsError):
        triggers.emit("sales")
    assert job_count(database) == 1


def test_events_with_the_parameters_of_a_start_that_waits_are_joined_to_it(database, triggers, report):
    triggers.add("event", report, event="sales", join=True, most_waiting=2)
    first = triggers.emit("sales", {"size": 1}, key="a")[0]
    joined = triggers.emit("sales", {"size": 1}, key="b")[0]
    assert (joined.outcome, joined.job) == ("joined", first.job)
    assert triggers.emit("sales", {"size": 2}, key="c")[0].outcome == "started"
    begin(database, first.job)
    assert triggers.emit("sales", {"size": 1}, key="d")[0].outcome == "started", "it would come too late for the first"
    assert triggers.emit("sales", {"size": 1}, key="b")[0].outcome == "repeated"
    assert job_count(database) == 3


# --- making and removing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "kind_of_error", "message"),
    [
        ("event", {}, ConfigError, "needs event"),
        ("event", {"event": "7 up"}, DefinitionError, "cannot be the name of a kind of event"),
        ("event", {"event": "a", "evnt": 1}, ConfigError, "no option 'evnt'. Did you mean 'event'"),
        ("event", {"event": "a", "most_waiting": 0}, ConfigError, "1 or more"),
        ("event", {"event": "a", "take": {"x": "nope"}}, ParameterError, "no parameter 'nope'"),
        ("event", {"event": "a", "set": {"nope": 1}}, ParameterError, "no parameter 'nope'"),
        ("event", {"event": "a", "set": {"size": "x"}}, ParameterError, "is an int"),
        ("event", {"event": "a", "name": "x" * 65}, ConfigError, "too long for a trigger"),
        ("flow", {"flow": "a", "on": "sucess"}, ConfigError, "success, failure, any"),
        ("flow", {"flow": "report"}, TriggerError, "start itself again and again: report → report"),
        ("file", {"pattern": "x/*.csv"}, ConfigError, "needs as"),
        ("file", {"pattern": "nowhere/*.csv", "as": "day"}, TriggerError, "There is no folder"),
        ("file", {"pattern": "*.csv", "as": "path"}, ParameterError, "no parameter 'path'"),
        ("file", {"pattern": "*.csv", "as": "day", "every": "often"}, ConfigError, "every"),
        ("file", {"pattern": "*.csv", "as": "day", "every": "0.1s"}, ConfigError, "1 seconds or more"),
        ("file", {"pattern": "ftp://me:secret@host/*.csv", "as": "day"}, ConfigError, "holds a password"),
        ("table", {"url": "a.db", "column": "id"}, ConfigError, "either table"),
        ("table", {"url": "a.db", "column": "id", "table": "a.b.c"}, ConfigError, "no name of a table"),
        ("table", {"url": "a.db", "column": "id", "query": "DELETE FROM t"}, ConfigError, "only reads"),
        ("table", {"url": "postgresql://me:pw@host/db", "column": "id", "table": "t"}, ConfigError, "a password"),
        ("table", {"url": "a.db", "column": "id", "table": "t"}, NbflowError, "no database"),
        ("webhook", {"body_as": "nope"}, ParameterError, "no parameter 'nope'"),
        ("mail", {}, ConfigError, "listens to one of"),
    ],
)
@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)  # nothing of it is the database's
def test_what_makes_no_sense_is_refused_and_nothing_is_made(triggers, report, kind, options, kind_of_error, message):
    with pytest.raises(kind_of_error, match=message):
        triggers.add(kind, report, **options)
    assert triggers.listed() == []


def test_a_deployment_that_is_not_there_is_told_with_the_nearest_one(triggers, report):
    with pytest.raises(TriggerNotFoundError, match="Did you mean 'report'"):
        triggers.add("event", "repot", event="sales")


def test_a_name_is_given_once(triggers, report):
    triggers.add("event", report, event="sales")
    with pytest.raises(TriggerError, match="has a trigger 'sales' already"):
        triggers.add("event", report, event="sales")


def test_a_trigger_that_is_removed_starts_nothing(triggers, report):
    triggers.add("event", report, event="sales")
    triggers.remove(report, "sales")
    assert triggers.emit("sales") == []
    with pytest.raises(TriggerNotFoundError, match="There is no trigger 'sales'"):
        triggers.remove(report, "sales")


def test_a_circle_of_deployments_that_follow_each_other_is_named(database, triggers):
    for name in ("a", "b", "c"):
        deploy(database, name, flow=f"flow-{name}")
    triggers.add("flow", "b", flow="a")
    triggers.add("flow", "c", flow="flow-b")
    with pytest.raises(TriggerError, match="a → b → c → a"):
        triggers.add("flow", "a", flow="c")
