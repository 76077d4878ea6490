"""A step fails in a real kernel: its inputs are looked at, the cell is edited, and the run goes on from there."""

from __future__ import annotations

import pytest

from tests.acceptance.kernel_session import Session

STEPS = (
    "%%step numbers\nvalues = [4, 2, 0]\nlimit = 100",
    "%%step shares\nshares = [8 / v for v in values]\nprint(shares)",
    "%%step total\ntotal = sum(shares)",
)
MENDED = "%%step shares\nshares = [8 / v for v in values if v]\nprint(shares)"


@pytest.fixture
def session(session: Session) -> Session:
    """A notebook of which the second step has failed in `run`."""
    session.type(*STEPS)
    session.flow("run", into="run")
    return session


def attempts(session: Session, run: str = "again") -> dict[str, int]:
    found: dict[str, int] = session.value(f"{{task.key: len(task.attempts()) for task in {run}}}")
    return found


def test_the_exact_inputs_come_with_the_code_and_the_error(session: Session) -> None:
    brought = session.flow("debug run shares", into="given")
    assert brought.next_input == "%%flow scratch\nshares = [8 / v for v in values]\nprint(shares)"
    assert session.value("[given.values, given['values'], given.names['values']]") == [[4, 2, 0]] * 3
    assert "ZeroDivisionError" in session.cell("given", page=False).text
    assert session.value("'limit' in given.names") is False


def test_a_task_gives_them_too(session: Session) -> None:
    session.cell("given = run['shares'].debug()", page=False)
    assert session.value("[given.values, given.source]") == [[4, 2, 0], STEPS[1].partition("\n")[2]]
    assert "ZeroDivisionError" in session.cell("given.run()", page=False).trace


@pytest.mark.parametrize("name", ["last", "{run.id}", "{run.id[:11]}"])
def test_a_run_is_named_by_its_id_or_as_the_last_one(session: Session, name: str) -> None:
    assert "values: list" in session.flow(f"debug {name} shares").text


def test_the_scratch_cell_shows_its_result_and_leaves_the_kernel_alone(session: Session) -> None:
    session.cell("values, mine = 'of the kernel', 1", page=False)
    session.flow("debug run shares")
    assert session.cell("%%flow scratch\nvalues.remove(0)\nlen(values)", page=False).text == "2"
    assert session.cell("%%flow scratch\nfactor = 8\n[factor / v for v in values]", page=False).text == "[2.0, 4.0]"
    assert session.value("[values, 'factor' in dir()]") == ["of the kernel", False]


@pytest.mark.parametrize("code", ["mine", "[mine for _ in values]", "(lambda: mine)()"])
def test_the_scratch_cell_does_not_see_the_kernels_variables(session: Session, code: str) -> None:
    session.cell("mine = 1", page=False)
    session.flow("debug run shares")
    assert "name 'mine' is not defined" in session.cell(f"%%flow scratch\n{code}", page=False).trace


def test_an_error_in_the_scratch_cell_is_its_own(session: Session) -> None:
    session.flow("debug run shares")
    told = session.cell("%%flow scratch\nx = values\nx[7]", page=False).trace
    assert "----> 2 x[7]" in told
    assert "nbflow/" not in told
    assert "invalid syntax" in session.cell("%%flow scratch\nx = = 1", page=False).trace


def test_magics_work_in_the_scratch_cell(session: Session) -> None:
    session.flow("debug run shares")
    session.cell("%%flow scratch\n%%capture out\nprint('caught')", page=False)
    assert session.cell("%%flow scratch\nprint(out.stdout)", page=False).text == "caught\n\n"


def test_after_an_edit_that_step_and_what_follows_run_and_the_rest_is_kept(session: Session) -> None:
    session.edit(1, MENDED)
    shown = session.flow("retry run shares", into="again")
    assert "[2.0, 4.0]" in shown.text
    assert session.value("[str(again.state), again.id == run.id, total, values]") == ["succeeded", True, 6.0, [4, 2, 0]]
    assert attempts(session) == {"numbers#1": 1, "shares#1": 2, "total#1": 1}


def test_an_edit_that_does_not_help_fails_again_and_the_next_one_does(session: Session) -> None:
    session.edit(1, "%%step shares\nshares = [8 / v for v in values[1:]]")
    assert "ZeroDivisionError" in session.flow("retry last shares").text
    session.edit(1, MENDED)
    session.flow("retry last", into="again")
    assert session.value("total") == 6.0
    assert attempts(session) == {"numbers#1": 1, "shares#1": 3, "total#1": 1}


def test_an_edit_further_up_runs_that_step_again_too(session: Session) -> None:
    session.edit(0, "%%step numbers\nvalues = [4, 2, 8]\nlimit = 100")
    session.flow("retry run numbers", into="again")
    assert session.value("[total, values]") == [7.0, [4, 2, 8]]
    assert attempts(session) == {"numbers#1": 2, "shares#1": 2, "total#1": 1}


def test_steps_without_names_are_known_again_after_an_edit(session: Session) -> None:
    session.clear()
    session.type("a = [1]", "b = a[1]", "c = b * 2")
    session.flow("run", into="run")
    session.edit(1, "first = a[0]\nb = first + 1")
    session.flow("retry run b", into="again")
    assert session.value("[first, b, c]") == [1, 2, 4]
    assert attempts(session) == {"a#1": 1, "b#1": 2, "c#1": 1}


def test_a_part_of_a_notebook_is_retried_with_what_it_was_given(session: Session) -> None:
    session.cell("values = [2, 0]", page=False)
    session.flow("run --only shares", into="run")
    session.cell("values = 'something else'", page=False)
    session.edit(1, MENDED)
    session.flow("retry run shares")
    assert session.value("[shares, 'total' in dir()]") == [[4.0], False]


def test_other_steps_than_before_are_refused_with_a_way_out(session: Session) -> None:
    session.edit(0, "%%step other\nvalues = [1]")
    told = session.flow("retry run shares").error
    assert "has other steps than the run had: other, shares, total" in told
    assert "%flow run" in told
    assert session.value("str(run.state)") == "failed"


def test_an_edit_that_changes_the_order_of_steps_is_told_with_a_way_out(session: Session) -> None:
    session.clear()
    session.type("a = 0", "open('seen', 'w').close()\nb = 1 / a", "c = a + 1")
    session.flow("run", into="run")
    session.edit(1, "b = 1")
    assert "in what order steps may begin" in session.flow("retry run b").text
    session.flow("run")
    assert session.value("[a, b, c]") == [0, 1, 1]


def test_a_run_of_functions_is_looked_into_and_retried(session: Session) -> None:
    session.cell(
        "from nbflow import flow, step\n@step\ndef halve(number):\n    return 8 / number\n"
        "@flow\ndef halves(number):\n    return halve(number)\nrun = halves.run(0)",
        page=False,
    )
    brought = session.flow("debug run halve")
    assert "number: int" in brought.text
    assert brought.next_input == "%%flow scratch\nhalve(number=number)"
    told = session.cell(brought.next_input.replace("number=number", "number=4"), page=False)
    assert told.text == "2.0"
    session.cell("@step\ndef halve(number):\n    return number", page=False)
    assert not session.flow("retry run halve", into="again").error
    assert session.value("[str(again.state), again.result()]") == ["succeeded", 0]


MISTAKES = {
    "debug run": "%flow debug RUN STEP",
    "debug run shares more": "%flow debug RUN STEP",
    "debug run nobody": "Its steps: numbers, shares, total",
    "debug run total": "was not run, since shares#1 failed before it",
    "debug nowhere shares": "nowhere",
    "retry nowhere": "nowhere",
    "retry run nobody": "Its steps: numbers, shares, total",
    "retry": "%flow retry RUN [STEP]",
}


@pytest.mark.parametrize(("line", "told"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_told_in_one_line(session: Session, line: str, told: str) -> None:
    shown = session.flow(line)
    assert told in shown.error
    assert "\n" not in shown.error.strip()


def test_a_run_that_succeeded_is_not_retried_and_the_way_out_is_told(session: Session) -> None:
    session.edit(1, MENDED)
    session.flow("retry run shares")
    for name in ("run", "last"):
        assert "%flow run --from shares" in session.flow(f"retry {name} shares").error
