"""The form that promotes a notebook, without a page that shows it."""

from __future__ import annotations

import nbformat
import pytest

from nbflow import configure, from_notebook
from nbflow.deploying.deployments import Deployment, deployments
from nbflow.jupyter.promote_form import PromoteForm


@pytest.fixture
def book(tmp_path):
    """Writes a notebook whose last cell is given with what it showed."""
    configure(db=str(tmp_path / "form.db"))

    def write(source="print(rate)", shown="1\n"):
        node = nbformat.v4.new_notebook()
        node.cells = [
            nbformat.v4.new_code_cell("rate = 1  # of interest", id="p", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(source, id="c"),
        ]
        node.cells[1].execution_count = 2
        node.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)]
        nbformat.write(node, tmp_path / "sales.ipynb")
        return PromoteForm(lambda: from_notebook(tmp_path / "sales.ipynb"), {"zone": "Europe/Paris"})

    return write


def test_the_schedule_is_told_in_words_with_its_next_times(book):
    form = book()
    assert "At 06:00 on Monday (Europe/Paris)" in form.told.value
    assert form.told.value.count("<li>Monday") == 5
    form.when.value = "30 7 * * *"
    assert "At 07:30 (Europe/Paris)" in form.told.value or "07:30" in form.told.value


def test_what_cannot_be_is_told_while_it_is_typed(book):
    form = book()
    form.when.value = "0 25 * * MON"
    assert "hour" in form.told.value
    assert form.button.disabled
    form.when.value = "0 5 * * MON"
    assert not form.button.disabled
    form.parameters["rate"].value = "a word"
    assert "rate" in form.told.value
    assert form.button.disabled


def test_other_kinds_of_schedules_bring_an_example(book):
    form = book()
    form.kind.value = "every"
    assert "Every 15 minutes" in form.told.value
    form.kind.value = "monthly"
    assert form.when.value == "1@06:00"
    assert form.told.value.count("06:00") == 6
    form.kind.value = ""
    assert "only when it is triggered" in form.told.value
    assert form.when.disabled


def test_the_button_promotes(book):
    form = book()
    form.parameters["rate"].value = "2"
    form.start().join()
    assert "sales is version 1: it does what the outputs saved in sales.ipynb tells" in form.outcome.value
    made = Deployment("sales")
    assert made.versions()[0].parameters == {"rate": 2}
    assert made.schedule.describe() == "At 06:00 on Monday (Europe/Paris)"
    assert form.deployment.name == "sales"


def test_a_failed_check_is_told_and_can_be_overridden(book):
    form = book(shown="5\n")
    form.start().join()
    assert "recorded: 5" in form.outcome.value
    assert deployments() == []
    form.override.value = "the rate has changed"
    form.start().join()
    assert form.deployment.versions()[0].verdict == "overridden"


def test_what_would_change_is_told_before(book):
    book().start().join()
    form = book(source="print(rate + 0)")
    assert "version 2; since version 1:" in form.told.value
    assert "cell 2: changed" in form.told.value


def test_where_there_are_no_widgets_the_form_is_a_line(book):
    assert repr(book()) == "promote sales: At 06:00 on Monday (Europe/Paris). version 1"


def test_names_from_notebooks_cannot_break_the_page(book):
    form = book()
    form.name.value = "<script>alert(1)</script>"
    assert "<script>" not in form.told.value
