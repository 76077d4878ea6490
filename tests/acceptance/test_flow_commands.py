"""`%flow` in a real kernel: run, plan, check, debug, retry, history, and what it says when it cannot."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.kernel_session import Session


def test_run_shows_outputs_and_brings_values_back(session: Session) -> None:
    for source in ("size = 3", "numbers = list(range(size))\nprint('made', numbers)", "numbers.append(9)"):
        session.cell(source)
    session.cell("numbers.append('by hand')", page=False)
    shown = session.cell("run = %flow run --executor processes --workers 2", page=False)
    assert not shown.error
    assert "made [0, 1, 2]" in shown.text
    assert session.value("numbers") == [0, 1, 2, 9]
    assert session.value("str(run.state)") == "succeeded"
    session.cell("numbers = 'mine'", page=False)
    session.cell("%flow run --keep", page=False)
    assert session.value("numbers") == "mine"


def test_parts_of_a_notebook_run_with_what_the_kernel_has(session: Session) -> None:
    for source in ("base = 10", "%%step double\ntwice = base * 2", "more = twice + 1"):
        session.cell(source)
    session.cell("base = 100", page=False)
    session.cell("%flow run --only double", page=False)
    assert session.value("[twice, more]") == [200, 21]
    session.cell("%flow run --from double", page=False)
    assert session.value("[twice, more]") == [200, 201]
    told = session.cell("%flow run --only triple", page=False).trace
    assert "no step 'triple'" in told
    assert "double" in told
    assert "nbflow/" not in told, "our own frames hide the message"


def test_kernel_state_is_named_and_sent_along(session: Session) -> None:
    session.cell("secret = 7", page=False)
    session.cell("answer = secret * 6")
    shown = session.cell("%flow run", page=False)
    assert "secret: set by no cell" in shown.text
    assert session.value("answer") == 42
    assert "takes secret from kernel" in session.cell("%flow plan", page=False).text
    session.cell("del secret", page=False)
    assert "uses secret, which no cell before it sets" in session.cell("%flow plan", page=False).text


def test_what_cannot_be_sent_along_is_refused_with_a_way_out(session: Session) -> None:
    session.cell("lines = (n for n in range(3))", page=False)
    session.cell("first = next(lines)")
    told = session.cell("%flow run", page=False).trace
    assert "lines of this kernel cannot be sent along" in told
    assert "--from" in told


def test_plan_is_a_table_with_a_picture_and_explains_a_step(session: Session) -> None:
    session.cell("a = 1")
    session.cell("%%step use\nb = a + 1")
    shown = session.cell("%flow plan", page=False)
    assert "text/html" in shown.kinds
    assert "takes a from a" in shown.text
    assert "line" in session.cell("%flow plan use", page=False).text
    assert "no step 'nobody'" in session.cell("%flow plan nobody", page=False).trace


def test_check_says_when_all_is_well_and_finds_hidden_state(session: Session) -> None:
    for source in ("count = 1", "count += 1", "other = count * 10"):
        session.cell(source)
    assert "do not" not in session.cell("%flow check", page=False).text
    session.cell("count += 1", page=False)  # the second cell again
    session.edit(2, "other = count * 1000")
    session.cell("left = 'over'", page=False)
    told = session.cell("%flow check", page=False).text
    assert "count: kernel 3, flow 2" in told
    assert "other: kernel 20, flow 2000" in told
    assert "left: no cell of the notebook sets it" in told
    assert "ran 2 times" in told


def test_a_failed_step_is_debugged_edited_and_retried(session: Session) -> None:
    session.cell("%%step numbers\nvalues = [4, 2, 0]")
    session.cell("%%step divide\nshares = [8 / v for v in values]\nprint('divided')")
    session.cell("%%step total\ntotal = sum(shares)")
    shown = session.cell("run = %flow run", page=False)
    assert "ZeroDivisionError" in shown.text
    assert "%flow debug" in shown.text
    session.cell("values = 'of the kernel'", page=False)
    brought = session.cell("%flow debug run divide", page=False)
    assert "values: list" in brought.text
    assert "shares = [8 / v for v in values]" in brought.next_input
    tried = session.cell(
        "%%flow scratch\nvalues = [v for v in values if v]\nprint([8 / v for v in values])", page=False
    )
    assert "[2.0, 4.0]" in tried.text
    assert session.value("values") == "of the kernel"
    session.edit(1, "%%step divide\nshares = [8 / v for v in values if v]\nprint('divided')")
    again = session.cell("again = %flow retry run divide", page=False)
    assert not again.error
    assert session.value("[str(again.state), str(again.error)]") == ["succeeded", "None"]
    assert session.value("[again.values['total'], total, values]") == [6.0, 6.0, [4, 2, 0]]
    assert session.value("[len(again[name].attempts()) for name in ('numbers', 'divide', 'total')]") == [1, 2, 1]


def test_the_error_of_a_cell_is_shown_with_the_lines_of_the_cell(session: Session) -> None:
    session.cell("def helper(x):\n    return 1 / x")
    session.cell("helper(0)")
    shown = session.cell("%flow run --executor processes", page=False)
    assert "ZeroDivisionError" in shown.text
    assert "return 1 / x" in re.sub(r"<[^>]+>", "", shown.html)
    assert "nbflow/" not in shown.html


def test_history_tells_what_cells_did(session: Session) -> None:
    session.cell("a = [1]\nb = a")
    session.cell("a.append(2)\nopen('made.txt', 'w').close()")
    session.cell("import random\nrandom.seed(1)")
    session.cell("table = %flow history", page=False)
    rows = session.value("table.to_dict('records')")
    assert [row["set"] for row in rows[-3:]] == ["a, b", "", "random"]
    assert rows[-3]["shares"] == "a = b"
    assert rows[-2]["changed"] == "a, b"
    assert rows[-2]["wrote"] >= 1
    assert "random" in rows[-1]["effects"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%flow", "%flow run"),
        ("%flow fly", "no command 'fly'"),
        ("%flow run --fast", "--fast"),
        ("%flow run nowhere.ipynb", "there is no such file"),
        ("%flow debug", "takes a run and a step"),
        ("%flow retry nothing step", "There is no"),
        ("%flow run --executor warp", "warp"),
        ("%%flow scratch\n1", "%flow debug RUN STEP"),
    ],
)
def test_mistakes_are_told_in_a_few_words(session: Session, line: str, told: str) -> None:
    shown = session.cell(line, page=False)
    assert told in shown.trace + shown.text
    assert "Traceback" not in shown.error
