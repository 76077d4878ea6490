from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from nbflow import Queue, configure
from nbflow.deploying.reports import telling
from nbflow.deploying.reports.alerts import SCHEDULE, add_alert, alerts, find_alert, remove_alert
from nbflow.deploying.reports.checking import check_alerts
from nbflow.deploying.reports.smtp import MailError
from nbflow.model.errors import ConfigError, DefinitionError, ScheduleError
from nbflow.model.jobs import FiringRecord
from nbflow.queue.schedule import schedules
from nbflow.storage import alerts as stored
from nbflow.storage import mailings, opened, schema
from tests.servers import free_port
from tests.unit.deploying.reports.history import Written

ANN = "ann@example.org"


class Flows:
    """Runs that end so many seconds after the test began."""

    def __init__(self) -> None:
        self.began = time.time()
        self._count = 0

    def ends(self, flow: str, at: float, state: str = "succeeded", **changes) -> str:
        """A run that has ended, and what came of it."""
        self._count += 1
        made = Written()
        bad = {} if state == "succeeded" else {"error_type": "app.SchemaError", "error_message": "no column <price>"}
        run = made.run(f"run{self._count}", flow, self.began + at - 5, 5, state=state, **{**bad, **changes})
        made.store(opened.database())
        return run

    def look(self, at: float) -> int:
        """Look for incidents then."""
        return check_alerts(self.began + at)


@pytest.fixture
def flows(database, mail) -> Flows:
    """Runs of flows, in an empty database, and a server for mail about them."""
    return Flows()


def deliver() -> list[str]:
    """Send what was enqueued; the states of all mailings, in their order."""
    database = opened.database()
    with database.read() as connection:
        waiting = [record for record in mailings.listed(connection) if record.state == "pending"]
    for record in sorted(waiting, key=lambda record: record.created_at):
        _, alert, moment, incident, _ = record.key.split("/", 4)
        telling.tell(alert, incident, moment, record.key)
    with database.read() as connection:
        return [record.state for record in mailings.listed(connection)]


def enqueued() -> int:
    with opened.database().read() as connection:
        return len([row for row in connection.execute(schema.jobs.select()) if row.name == "tell"])


# --- definitions -----------------------------------------------------------------------------------------------------


def test_an_alert_is_kept_and_looked_for_by_one_schedule_for_all(database):
    add_alert(flow="training", to=ANN)
    add_alert(deployment="daily", to=[ANN], webhook="https://example.org/hook", secret="secret:HOOK", start_within=60)
    assert [(each.name, each.about, each.addressees) for each in alerts()] == [
        ("daily", "deployment daily", (ANN, "https://example.org/hook")),
        ("training", "flow training", (ANN,)),
    ]
    assert [each.name for each in schedules()] == [SCHEDULE]
    assert find_alert("daily").start_within == 60


def test_an_alert_of_the_same_name_is_changed_and_goes_on(database):
    first = add_alert(flow="training", to=ANN)
    add_alert(flow="training", to="bob@example.org", most=3)
    (found,) = alerts()
    assert (found.to, found.most, found.created_at) == (("bob@example.org",), 3, first.created_at)


def test_the_schedule_goes_with_the_last_alert(database):
    add_alert(flow="training", to=ANN)
    add_alert(to=ANN)
    remove_alert("training")
    assert [each.name for each in schedules()] == [SCHEDULE]
    remove_alert("all")
    assert schedules() == []
    with pytest.raises(ConfigError, match=r"no alert .all.\. There are none yet"):
        remove_alert("all")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"flow": "a", "deployment": "b", "to": ANN}, ConfigError, "one of them"),
        ({"flow": "a"}, ConfigError, "nobody to tell"),
        ({"flow": "a", "to": "ann"}, ConfigError, "no mail address"),
        ({"flow": "a", "webhook": "example.org"}, ConfigError, "no URL"),
        ({"flow": "a", "webhook": "https://x", "secret": "hunter2"}, ConfigError, "secret:NAME"),
        ({"flow": "a", "to": ANN, "secret": "secret:X"}, ConfigError, "signs what a webhook is told"),
        ({"flow": "a", "to": ANN, "start_within": 0}, ConfigError, "start_within is a number of seconds"),
        ({"flow": "a", "to": ANN, "finish_within": "1h"}, ConfigError, "finish_within is a number of seconds"),
        ({"flow": "a", "to": ANN, "failures": False}, ConfigError, "start_within or finish_within"),
        ({"flow": "a", "to": ANN, "most": 0}, ConfigError, "most is a number of incidents"),
        ({"flow": "a", "to": ANN, "zone": "Mars"}, ScheduleError, "no time zone 'Mars'"),
        ({"flow": "a", "to": ANN, "name": "x" * 65}, ConfigError, "too long"),
        ({"flow": "a", "to": ANN, "name": "a/b"}, DefinitionError, "cannot be the name of a alert|cannot be the name"),
    ],
)
def test_what_is_no_alert_is_refused_and_nothing_kept(database, given, error, message):
    with pytest.raises(error, match=message):
        add_alert(**given)
    assert alerts() == []
    assert schedules() == []


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_failure_is_told_once_and_so_is_the_next_success(flows, mail):
    add_alert(flow="training", to=ANN, zone="Europe/Paris")
    flows.ends("training", 10, "failed")
    assert [flows.look(at) for at in (11, 12)] == [1, 0]
    flows.ends("training", 20, "timed_out")
    flows.ends("other", 21, "failed")
    assert flows.look(22) == 0
    deliver()
    flows.ends("training", 30)
    assert [flows.look(at) for at in (31, 32)] == [1, 0]
    assert deliver() == ["sent", "sent"]
    began, ended = mail.mails
    assert began["Subject"] == "nbflow: training failed: SchemaError: no column <price>"
    assert ended["Subject"] == "nbflow: training has recovered after 20.0 s (2 failures)"
    assert ended["In-Reply-To"] == began["Message-ID"]
    assert enqueued() == 2


def test_a_mail_tells_what_happened_and_what_to_do(flows, mail):
    add_alert(flow="training", to=ANN, zone="Europe/Paris")
    run = flows.ends("training", 10, "failed")
    flows.look(11)
    deliver()
    text, page = (mail.mails[0].get_body((kind,)).get_content() for kind in ("plain", "html"))
    for told in (f"nbflow resume {run}", "no column <price>", "nbflow alert remove training"):
        assert told in text
    assert "no column &lt;price&gt;" in page
    assert "<price>" not in page


def test_a_run_that_is_resumed_and_fails_again_is_told_again(flows):
    add_alert(flow="training", to=ANN)
    run = flows.ends("training", 1, "failed")
    flows.ends("training", 2)
    flows.look(3)
    with opened.database().write() as connection:
        connection.execute(schema.runs.update().where(schema.runs.c.id == run).values(finished_at=flows.began + 5))
    assert flows.look(6) == 1


def test_the_next_failure_after_a_success_is_another_incident(flows, mail):
    add_alert(flow="training", to=ANN)
    for at, state in ((1, "failed"), (2, "succeeded"), (3, "failed"), (4, "failed")):
        flows.ends("training", at, state)
    assert flows.look(10) == 2
    deliver()
    subjects = sorted(each["Subject"].removeprefix("nbflow: training ") for each in mail.mails)
    assert subjects == [
        "failed: SchemaError: no column <price>",
        "has recovered by itself after 1.0 s (failed: SchemaError: no column <price>)",
    ]


def test_an_alert_of_any_flow_tells_each_of_them_but_not_what_they_call(flows):
    add_alert(to=ANN)
    flows.ends("training", 1, "failed")
    flows.ends("report", 2, "failed")
    flows.ends("inner", 3, "failed", parent_run="run1", parent_seq=1)
    assert flows.look(10) == 2


def test_an_alert_of_a_deployment_is_about_its_runs_alone(flows, mail):
    add_alert(deployment="nightly", to=ANN)
    flows.ends("training", 1, "failed")
    flows.ends("training", 2, "failed", deployment="nightly")
    assert flows.look(10) == 1
    deliver()
    assert mail.mails[0]["Subject"].startswith("nbflow: nightly failed")


def test_what_failed_before_the_alert_is_not_told(flows):
    flows.ends("training", -60, "failed")
    add_alert(flow="training", to=ANN)
    assert flows.look(10) == 0


def test_in_a_storm_the_rest_is_held_back_and_that_is_told_once(flows, mail):
    add_alert(to=ANN, most=3)
    for number in range(10):
        flows.ends(f"flow{number}", number + 1, "failed")
    assert flows.look(20) == 10
    flows.ends("late-one", 30, "failed")
    flows.look(31)
    states = deliver()
    assert (states.count("sent"), states.count("held")) == (4, 8)
    subjects = [each["Subject"] for each in mail.mails]
    assert sum("holds back more" in subject for subject in subjects) == 1
    for number in range(10):
        flows.ends(f"flow{number}", 40 + number)
    flows.look(60)
    deliver()
    assert sum("has recovered" in each["Subject"] for each in mail.mails) == 3, "of those that were told"


def test_a_mail_server_that_is_down_leaves_the_alert_waiting(flows, mail):
    add_alert(flow="training", to=ANN)
    configure(smtp=f"smtp://127.0.0.1:{free_port()}")
    flows.ends("training", 1, "failed")
    flows.look(10)
    with pytest.raises(MailError, match="cannot be reached"):
        deliver()
    configure(smtp=mail.url)
    assert deliver() == ["sent"]


def test_an_alert_that_was_removed_tells_nothing_more(flows, mail):
    add_alert(flow="training", to=ANN)
    flows.ends("training", 1, "failed")
    flows.look(10)
    remove_alert("training")
    assert deliver() == ["pending"]
    assert mail.mails == []


def test_a_test_reaches_all_and_leaves_no_trace(flows, mail):
    made = add_alert(flow="training", to=[ANN, "bob@example.org"], webhook=f"http://127.0.0.1:{free_port()}/")
    found = telling.send_test(made)
    assert [each for each, error in found if error is None] == [ANN, "bob@example.org"]
    assert "refused" in (found[2][1] or "")
    assert [each["Subject"] for each in mail.mails] == ["nbflow: a test of alert training"] * 2
    assert deliver() == []


# --- lateness --------------------------------------------------------------------------------------------------------


def nothing() -> None:
    pass


def fired(at: float, outcome: str = "enqueued", job: str | None = None) -> None:
    """A time of schedule "daily" that was dealt with."""
    with opened.database().write() as connection:
        connection.execute(insert(schema.firings).values(FiringRecord("daily", at, outcome, job, None, at)._asdict()))


@pytest.fixture
def daily(flows) -> Flows:
    """A schedule, and an alert for when its runs are late."""
    Queue().schedule("0 6 * * *", nothing, name="daily", zone="UTC", start=datetime(2100, 1, 1, tzinfo=UTC))
    add_alert(deployment="daily", to=ANN, start_within=60, finish_within=600, zone="UTC")
    return flows


def test_a_run_that_does_not_start_in_time_is_late_until_it_succeeds(daily, mail):
    due = daily.began + 100
    fired(due)
    assert [daily.look(at) for at in (159, 161, 162)] == [0, 1, 0]
    daily.ends("training", 300, deployment="daily", logical_time=due)
    assert daily.look(301) == 1
    deliver()
    late, over = (each["Subject"] for each in mail.mails)
    assert late == f"nbflow: daily is late: due {datetime.fromtimestamp(due, UTC):%H:%M}, not started 1 min 00 s later"
    assert over.startswith("nbflow: daily has recovered after 2 min 20 s")


def test_a_run_that_takes_too_long_is_late(daily):
    due = daily.began + 100
    fired(due)
    made = Written()
    made.run("slow", "training", due + 1, None, deployment="daily", logical_time=due)
    made.store(opened.database())
    assert [daily.look(at) for at in (500, 701)] == [0, 1]
    with opened.database().read() as connection:
        (found,) = stored.history(connection, 10)
    assert (found.kind, found.run, json.loads(found.details)["what"]) == ("late", "slow", "finished")


def test_runs_in_time_and_times_that_were_left_out_on_purpose_are_not_late(daily):
    fired(daily.began + 100)
    daily.ends("training", 130, deployment="daily", logical_time=daily.began + 100)
    fired(daily.began + 200, "skipped")
    assert daily.look(5000) == 0


def test_a_schedule_that_nobody_looks_after_is_late_and_a_paused_one_is_not(daily):
    with opened.database().write() as connection:
        connection.execute(schema.schedules.update().where(schema.schedules.c.name == "daily").values(
            next_at=daily.began + 100))  # fmt: skip
    (schedule,) = [each for each in schedules() if each.name == "daily"]
    schedule.pause()
    assert daily.look(5000) == 0
    with opened.database().write() as connection:
        connection.execute(schema.schedules.update().where(schema.schedules.c.name == "daily").values(paused=0))
    assert daily.look(5000) == 1


def test_the_alert_of_a_flow_watches_the_schedules_that_call_it(flows):
    Queue().schedule("0 6 * * *", nothing, name="daily", zone="UTC", start=datetime(2100, 1, 1, tzinfo=UTC))
    add_alert(flow="nothing", to=ANN, start_within=60)
    fired(flows.began + 100, "missed")
    assert flows.look(5000) == 1
