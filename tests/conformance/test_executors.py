"""The executor suite on every built-in executor."""

import functools

import pytest

from nbflow import configure
from nbflow.executors.registry import get_executor
from nbflow.testing.executor_suite import CHECKS, Bench
from tests.dask_cluster import DaskCluster


@pytest.mark.parametrize("name", ["serial", "threads", "processes", "dask"])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_executor(check, name, tmp_path):
    with Bench(functools.partial(get_executor, name), tmp_path) as bench:
        check(bench)


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    with DaskCluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.worker(threads=2)
        yield cluster


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_dask_on_a_cluster_that_was_there_before(check, dask_cluster, tmp_path):
    configure(dask=dask_cluster.address)
    with Bench(functools.partial(get_executor, "dask"), tmp_path) as bench:
        check(bench)
