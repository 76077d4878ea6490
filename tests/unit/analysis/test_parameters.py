"""Parameters of notebooks: found, converted, refused."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow.analysis.cells import from_content
from nbflow.analysis.parameters import check_parameters, parameters_of
from nbflow.model.errors import ParameterError

SOURCE = "rate: float = 0.5  # learning rate\nrounds = 3\nlabel = 'run'\nverbose = False\nsizes = [1, 2]\n"


def known() -> Any:
    cell = {"cell_type": "code", "source": SOURCE, "metadata": {"tags": ["parameters"]}}
    return parameters_of(from_content({"cells": [cell]}, "book.ipynb").cells)


def test_names_values_annotations_and_comments_are_found() -> None:
    rate = known()[0]
    assert (rate.name, rate.annotation, rate.default, rate.comment) == ("rate", "float", 0.5, "learning rate")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("rate", "1", 1.0), ("rounds", "7", 7), ("label", "7", "7"), ("verbose", "yes", True), ("sizes", "[3]", [3])],
)
def test_texts_become_values_of_the_declared_type(name: str, text: str, value: Any) -> None:
    got = check_parameters(known(), {name: text}, "book.ipynb", texts=True)[name]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(("name", "value"), [("rounds", "many"), ("rounds", True), ("verbose", 1), ("sizes", "x")])
def test_values_of_another_type_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        check_parameters(known(), {name: value}, "book.ipynb")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="It has rate, rounds"):
        check_parameters(known(), {"speed": 1}, "book.ipynb")


def test_a_notebook_without_parameters_says_how_to_make_one() -> None:
    with pytest.raises(ParameterError, match="tag `parameters`"):
        check_parameters((), {"speed": 1}, "book.ipynb")
