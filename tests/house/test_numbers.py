"""Lengths, arguments and the habits of test code."""

from __future__ import annotations

import ast
import statistics

import pytest

from tests.house import measure
from tests.house.files import PACKAGE, TESTS, short, sources, tree


def test_functions_classes_and_files_stay_short_but_for_named_exceptions():
    found = {(each.rule, each.where): each.found for each in measure.violations(PACKAGE)}
    allowed = measure.exceptions("function", "class", "file", "arguments")
    assert {place: found[place] for place in found.keys() - allowed} == {}, "over the house's numbers"
    assert allowed - found.keys() == set(), "exceptions that are no longer needed"


def test_nearly_every_function_can_be_read_without_scrolling():
    assert measure.p95(measure.function_lengths(PACKAGE)) <= measure.FUNCTION_LINES_P95


def test_the_median_test_is_short():
    assert statistics.median(measure.function_lengths(TESTS, "test_")) <= measure.TEST_LINES_MEDIAN


@pytest.mark.parametrize("rule", ["sleep", "mock"])
def test_tests_neither_sleep_nor_mock(rule):
    found = {(rule, short(path)) for path in sources(TESTS) if rule in _habits(path)}
    allowed = measure.exceptions(rule)
    assert found - allowed == set(), "wait for a condition with a deadline; put a fake behind a real seam"
    assert allowed - found == set(), "exceptions that are no longer needed"


def _habits(path):
    """Which bad habits a test file has. Sleeping is the business of the fault suite and of benchmarks."""
    may_sleep = path.relative_to(TESTS).parts[0] in ("faults", "bench")
    for node in ast.walk(tree(path)):
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Import | ast.ImportFrom) else ""
        if text.startswith("time.sleep(") or text == "from time import sleep":
            if not may_sleep:
                yield "sleep"
        elif "unittest.mock" in text.split(" import ")[0] or text == "from unittest import mock":
            yield "mock"
        elif text.startswith(("monkeypatch.setattr('nbflow", "mocker.")):
            yield "mock"
