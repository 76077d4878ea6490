"""Benches: an executor under test, with its reports."""

import functools

import pytest

from nbflow.executors.registry import get_executor
from nbflow.testing.executor_suite import Bench


@pytest.fixture
def bench_of(tmp_path):
    """A function that returns a started bench for an executor's name; closed at the end."""
    benches = []

    def make(name, workers=2, **options):
        bench = Bench(functools.partial(get_executor, name), tmp_path, workers, **options)
        benches.append(bench)
        return bench.__enter__()

    yield make
    for bench in benches:
        bench.__exit__()


@pytest.fixture
def processes(bench_of):
    return bench_of("processes")


@pytest.fixture
def threads(bench_of):
    return bench_of("threads")


@pytest.fixture
def serial(bench_of):
    return bench_of("serial")
