"""What a notebook showed when it was saved, beside what it shows now."""

from __future__ import annotations

import nbformat
import pytest

from nbflow.deploying.comparing import compare_notebooks


def cell(source="a = 1", outputs=(), count=1, tags=()):
    made = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
    made.execution_count, made.outputs = count, list(outputs)
    return made


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def result(**data):
    return nbformat.v4.new_output("execute_result", {key.replace("_", "/", 1): value for key, value in data.items()})


def failure(name="ValueError", text="no"):
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[])


def compared(before, now):
    books = [nbformat.v4.new_notebook(cells=[each]) for each in (before, now)]
    return compare_notebooks(*books)[0]


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        ([], [], "same"),
        ([stream("a 1\n")], [stream("a 1\n")], "same"),
        ([stream("a 1\n"), stream("b\n")], [stream("a 1\nb\n")], "same"),
        ([stream("a 1\n")], [stream("a 2\n")], "different"),
        ([stream("mean 0.5123456789")], [stream("mean 0.5123456788")], "same"),
        ([stream("mean 0.5123")], [stream("mean 0.5124")], "different"),
        ([stream("took 3 rows")], [stream("took 3.0 rows")], "same"),
        ([stream("x", "stderr")], [], "same"),
        ([result(text_plain="<A at 0x7f0123456789>")], [result(text_plain="<A at 0x7f0987654321>")], "same"),
        ([result(text_plain="1")], [], "different"),
        ([stream("1")], [result(text_plain="1")], "different"),
        ([result(image_png="aaaa")], [result(image_png="bbbb")], "same"),
        ([], [failure()], "failed"),
    ],
    ids=range(13),
)
def test_outputs_are_the_same_if_people_would_say_so(before, now, state):
    assert compared(cell(outputs=before), cell(outputs=now)).state == state


@pytest.mark.parametrize(
    "ignored", [cell(tags=["nbval-ignore-output"]), cell("# NBVAL_IGNORE_OUTPUT\na"), cell(tags=["raises-exception"])]
)
def test_a_cell_that_nbval_is_told_to_ignore_is_not_compared(ignored):
    assert compared(ignored, cell(outputs=[stream("another")])).state == "ignored"


def test_a_notebook_that_was_never_run_has_nothing_to_compare_with():
    assert compared(cell(count=None), cell(outputs=[stream("a")])).state == "unrecorded"


def test_an_error_that_is_allowed_is_no_failure():
    assert compared(cell(outputs=[failure()], tags=["raises-exception"]), cell(outputs=[failure()])).state != "failed"


def test_a_difference_tells_both_sides():
    told = compared(cell(outputs=[stream("total 3")]), cell(outputs=[stream("total 4")])).text()
    assert told == "cell 1 shows something else:\n  recorded: total 3\n  now:      total 4"
