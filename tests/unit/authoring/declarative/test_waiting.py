"""Steps that wait: for a time, a signal, a file, a function, a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nbflow import Pipeline, from_dict
from nbflow.authoring.declarative.operators import Approval, Shell, Wait, approve
from nbflow.authoring.declarative.operators.approval import gates
from nbflow.authoring.declarative.operators.wait import moment
from nbflow.client.run import Run
from nbflow.model.errors import DefinitionError
from nbflow.testing.clock import VirtualClock
from tests.servers import wait_until

START = 1_000_000_000.0  # of the clock: 2001-09-09 01:46:40 UTC


def jumping(does: dict[str, Any], **said: Any) -> tuple[Run, float]:
    """A finished run of one step, and how many seconds passed; the clock goes on whenever something waits for it."""
    clock = VirtualClock(START)
    run = from_dict({"name": "one", "steps": {"does": does}, **said}).submit(executor="threads", clock=clock)
    while not run.state.finished:
        clock.jump()
    return run.wait(30), clock.time() - START


@pytest.mark.parametrize(
    ("wait", "seconds"), [("2h", 7200), (90, 90), ({"for": "1d"}, 86400), ({"until": "2001-09-09T01:50:00+00:00"}, 200)]
)
def test_a_while_or_a_moment_passes(wait: Any, seconds: float) -> None:
    run, passed = jumping({"wait": wait})
    assert run.state == "succeeded", run.explanation()
    assert passed == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("08:00", "Europe/Paris", "2026-03-29T06:00:00+00:00"),  # clocks were put forward that night
        ("01:30", "Europe/Paris", "2026-03-29T00:30:00+00:00"),
        ("23:30", "UTC", "2026-03-28T23:30:00+00:00"),
        ("23:00", "UTC", "2026-03-29T23:00:00+00:00"),
        ("2026-04-01", "Europe/Paris", "2026-03-31T22:00:00+00:00"),
        ("2026-04-01T09:00:00+02:00", None, "2026-04-01T07:00:00+00:00"),
    ],
)
def test_until_is_the_next_such_time_in_its_zone(text: str, zone: str | None, expected: str) -> None:
    present = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    assert moment(text, zone, present).astimezone(UTC).isoformat() == expected


def test_what_is_no_time_is_told() -> None:
    with pytest.raises(DefinitionError, match="'noon' is no time"):
        moment("noon", "UTC", datetime.now(UTC))


def test_a_file_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    run, passed = jumping({"wait": {"file": f"{tmp_path}/*.csv", "every": 60}})
    assert (run.result(), passed) == ([str(tmp_path / "a.csv")], 0)


def test_a_file_that_does_not_come_ends_the_wait() -> None:
    run, passed = jumping({"wait": {"file": "nowhere", "every": "1m", "timeout": "5m"}})
    assert "'nowhere' did not come within 300 seconds (6 looks)" in str(run.error)
    assert passed == 300


CALLS: list[int] = []


def third_time(what: str) -> str | None:
    CALLS.append(1)
    return what if len(CALLS) >= 3 else None


def test_a_function_is_asked_until_it_says_something() -> None:
    CALLS.clear()
    run, passed = jumping({"wait": {"function": third_time, "every": 30}, "inputs": {"what": "ready"}})
    assert (run.result(), passed) == ("ready", 60)


def test_a_signal_is_waited_for() -> None:
    with Pipeline("signalled") as made:
        made.step(Wait(signal="go"), "does")
    run = made.submit(executor="threads")
    run.send("go", {"n": 3})
    assert run.wait(30).result() == {"n": 3}


def gated(**said: Any) -> Pipeline:
    with Pipeline("gated") as made:
        gate = made.step(Approval("Release it?", **said), "gate")
        gate >> made.step(Shell("true"), "release")
        gate["rejected"] >> made.step(Shell("true"), "tell")
    return made


def states(run: Run) -> dict[str, str]:
    return {task.name: str(task.state) for task in run.tasks() if task.record.kind != "record" and "/" not in task.key}


def test_a_gate_opens_when_somebody_approves() -> None:
    run = gated().submit(executor="threads")
    wait_until(lambda: gates(run)["gate"])
    assert approve(run, "gate", by="ada", note="fine")
    run.wait(30)
    assert states(run) == {"gate": "succeeded", "release": "succeeded", "tell": "skipped"}
    answer = run["gate"].result()
    assert (answer.label, answer.value["by"], answer.value["note"]) == ("approved", "ada", "fine")
    assert gates(run) == {"gate": False}


def test_a_gate_that_is_rejected_leads_another_way_and_the_first_answer_counts() -> None:
    run = gated().submit(executor="threads")
    assert approve(run, "gate", approved=False)
    assert not approve(run, "gate")
    assert states(run.wait(30)) == {"gate": "succeeded", "release": "skipped", "tell": "succeeded"}


@pytest.mark.parametrize(("said", "state"), [({}, "failed"), ({"on_timeout": "reject"}, "succeeded")])
def test_a_gate_that_nobody_answers_fails_or_is_rejected(said: dict[str, Any], state: str) -> None:
    clock = VirtualClock(START)
    run = gated(timeout="2d", **said).submit(executor="threads", clock=clock)
    wait_until(lambda: gates(run)["gate"])
    while not run.state.finished:
        clock.advance(3600)
    assert states(run)["gate"] == state
    assert states(run)["tell"] == ("succeeded" if said else "skipped")


def test_a_gate_in_a_sub_flow_has_its_path() -> None:
    with Pipeline("outer") as made:
        made.step(gated(), "stage")
    run = made.submit(executor="threads")
    wait_until(lambda: gates(run) == {"stage.gate": True})
    approve(run, "stage.gate")
    assert run.wait(30).state == "succeeded"
