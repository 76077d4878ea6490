"""The executor suite on every built-in executor."""

import functools

import pytest

from nbflow.executors.registry import get_executor
from nbflow.testing.executor_suite import CHECKS, Bench


@pytest.mark.parametrize("name", ["serial", "threads", "processes", "dask"])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_executor(check, name, tmp_path):
    with Bench(functools.partial(get_executor, name), tmp_path) as bench:
        check(bench)
