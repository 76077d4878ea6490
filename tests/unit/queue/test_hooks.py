"""Hooks around jobs: the order in which they are called, what their errors do, what they may stand around."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nbflow.model.errors import ConfigError, DefinitionError
from nbflow.queue.hooks import Active, HookedJob, WorkerHooks, load


class Noting(WorkerHooks):
    """Notes what is called."""

    def __init__(self):
        self.noted = []

    def before_job(self, job):
        self.noted.append(("before", job.name, job.attempt))

    def after_job(self, job, error):
        self.noted.append(("after", type(error).__name__))


class PlainWrapper(Noting):
    def around_job(self, job, call):
        self.noted.append("in")
        return call() + 100


class AsyncWrapper(Noting):
    async def around_job(self, job, call):
        self.noted.append("in")
        await asyncio.sleep(0)
        return await call() + 100


class Failing(WorkerHooks):
    def before_job(self, job):
        raise ValueError("before")

    def after_job(self, job, error):
        raise ValueError("after")


class NeedsArguments(WorkerHooks):
    def __init__(self, needed):
        self.needed = needed


def double(number):
    return 2 * number


async def double_later(number):
    await asyncio.sleep(0)
    return 2 * number


def broken(number):
    raise KeyError(number)


def job(function, number=4):
    return HookedJob("0" * 12, function.__name__, 1, function, (number,))


def run(hooks, function):
    around = Active(hooks)
    if asyncio.iscoroutinefunction(function):
        return asyncio.run(around.run_async(job(function)))
    return around.run(job(function))


@pytest.mark.parametrize("function", [double, double_later])
def test_hooks_stand_before_and_after_a_job(function):
    hooks = Noting()
    assert run(hooks, function) == 8
    assert hooks.noted == [("before", function.__name__, 1), ("after", "NoneType")]


def test_the_hook_after_a_job_is_told_its_error():
    hooks = Noting()
    with pytest.raises(KeyError):
        run(hooks, broken)
    assert hooks.noted[-1] == ("after", "KeyError")


@pytest.mark.parametrize(
    ("hooks", "function"), [(PlainWrapper, double), (AsyncWrapper, double), (AsyncWrapper, double_later)]
)
def test_a_wrapper_runs_the_job_and_may_change_its_result(hooks, function):
    made = hooks()
    assert run(made, function) == 108
    assert made.noted == [("before", function.__name__, 1), "in", ("after", "NoneType")]


def test_a_plain_wrapper_around_an_async_job_is_an_error():
    with pytest.raises(DefinitionError, match="declare it with `async def`"):
        run(PlainWrapper(), double_later)


def test_errors_of_hooks_beside_a_job_are_logged_and_stop_nothing(caplog):
    with caplog.at_level(logging.ERROR, "nbflow"):
        assert run(Failing(), double) == 8
    assert [record.getMessage() for record in caplog.records] == [
        "The hook Failing.before_job failed.",
        "The hook Failing.after_job failed.",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hooks", "write module:Class"),
        ("no_such_module:Hooks", "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:NoSuchClass", "cannot be imported: AttributeError"),
        (f"{__name__}:double", "are no class derived"),
        (f"{__name__}:NeedsArguments", "They take no arguments"),
    ],
)
def test_hooks_that_cannot_be_used_are_told_before_anything_runs(name, message):
    with pytest.raises(ConfigError, match=message):
        load(name)


def test_hooks_are_found_by_name():
    assert type(load(f"{__name__}:Noting")).__name__ == "Noting"
