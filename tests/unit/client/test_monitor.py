"""The monitor's conversation with a page: what it tells by itself, and what it answers."""

from __future__ import annotations

import pytest

from nbflow import flow, settings, step
from nbflow.client.monitor import Monitor
from nbflow.model.errors import DatabaseMissingError
from nbflow.queue.queue import Queue
from tests.servers import wait_until
from tests.unit.views.page import Page

CONTROLS, DISPLAY = 0, 1


@step
def double(x):
    print("doubling", x)
    return 2 * x


@flow
def doubling(x):
    return double(x)


@pytest.fixture
def page(monkeypatch):
    made = Page(monkeypatch)
    yield made
    made.close()


@pytest.fixture
def run():
    return doubling.run(2, executor="threads")


@pytest.fixture
def monitor(page, run):
    made = Monitor(every=0.01).start()
    yield made
    made.stop()


def told(page, name):
    """The last of what was told under a name."""
    return next((news[name] for news in reversed(page.news) if name in news), None)


def asked(page, **question):
    page.say({**question, "number": "7"}, CONTROLS)
    return next(news for news in reversed(page.news) if news.get("answer") == "7")


def test_a_page_begins_with_how_it_stands(page, monitor, run):
    state = page.opened[DISPLAY]["data"]
    assert [shown["id"] for shown in state["sample"]["runs"]] == [run.id]
    assert state["controls"] == page.opened[CONTROLS]["data"]["key"]
    assert state["commands"]["cancel_run"] == "nbflow cancel {}"


def test_only_what_changed_is_sent(page, monitor):
    wait_until(lambda: len(page.news) > 3)
    assert set(page.news[-1]["sample"]) <= {"now", "rates"}
    Queue("mail").create()
    wait_until(lambda: any("queues" in news.get("sample", ()) for news in list(page.news)[1:]))


def test_a_button_is_answered_in_words(page, monitor):
    Queue("mail").create()
    assert asked(page, ask="act", action="pause_queue", target="mail")["text"].startswith("Queue mail is paused")
    wrong = asked(page, ask="act", action="pause_queue", target="nosuch")
    assert wrong["wrong"]
    assert "nosuch" in wrong["text"]


def test_the_output_of_a_task_is_followed(page, monitor, run):
    asked(page, ask="log", id=f"{run.id}/1/1")
    wait_until(lambda: told(page, "log"))
    assert told(page, "log") == {"id": f"{run.id}/1/1", "text": "doubling 2\n"}


def test_what_is_no_task_has_no_output(page, monitor):
    asked(page, ask="log", id="../../etc")
    asked(page, ask="log", id=None)
    assert told(page, "log") is None


def test_the_graph_and_the_gantt_chart_of_a_chosen_run_are_shown(page, monitor, run):
    asked(page, ask="show", run=run.id)
    assert told(page, "chosen") == run.id
    assert 'data-state="succeeded"' in told(page, "svg")
    assert told(page, "gantt").startswith("nbflow-")
    assert asked(page, ask="details", id="1")["details"]["title"] == "double#1"


def test_a_run_that_is_gone_is_told(page, monitor):
    answer = asked(page, ask="show", run="nosuch")
    assert answer["wrong"]
    assert "nosuch" in answer["text"]


def test_a_monitor_that_stops_says_so_and_leaves_its_picture(page, monitor, run, capsys):
    monitor.stop()
    assert told(page, "stopped")
    assert f"data-nbflow='{page.opened[DISPLAY]['data']['key']}'".replace("'", '"') in capsys.readouterr().out


def test_outside_of_a_notebook_it_is_a_picture_of_the_moment(run):
    monitor = Monitor()
    with pytest.raises(NotImplementedError):
        monitor._ipython_display_()
    assert run.id in repr(monitor)
    monitor.stop()


def test_another_database_is_named_in_the_commands(page, tmp_path, run):
    doubling.run(1, executor="threads", db=str(tmp_path / "other.db"))
    monitor = Monitor(str(tmp_path / "other.db")).start()
    assert page.opened[DISPLAY]["data"]["commands"]["cancel_run"].startswith("nbflow cancel {} --db sqlite:///")
    monitor.stop()


def test_a_database_that_does_not_exist_is_told_and_not_made(tmp_path):
    with pytest.raises(DatabaseMissingError):
        Monitor(str(tmp_path / "none.db")).sample()
    assert not (tmp_path / "none.db").exists()


def test_the_default_database_is_that_of_the_settings(run):
    monitor = Monitor()
    assert monitor._url == settings.resolve_db(settings.current().db)
    monitor.stop()
