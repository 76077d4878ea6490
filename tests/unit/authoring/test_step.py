from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest

from nbflow import flow, step
from nbflow.model.errors import ConfigError, DefinitionError
from nbflow.model.policies import Cache, Resources, Retry


@step
def documented(x: int, y: int = 2) -> int:
    """Add two numbers."""
    return x + y


def test_a_step_is_its_function_outside_of_a_flow() -> None:
    assert documented(1) == 3
    assert documented.map([1, 2], y=5) == [6, 7]


def test_a_step_keeps_name_signature_and_docstring() -> None:
    assert documented.__name__ == "documented"
    assert inspect.signature(documented) == inspect.signature(documented.__wrapped__)
    assert documented.__doc__ == "Add two numbers."


def test_options_are_recorded() -> None:
    made: Any = step(
        name="train it", retries=3, delay=[1, 5], backoff=2, cap=60, jitter=0.1, retry_on=OSError,
        timeout=timedelta(minutes=1), cache=timedelta(days=1), version="2", executor="processes",
        resources={"cpus": 2}, tags=["slow"],
    )(lambda: 1)  # fmt: skip
    assert made.spec.name == "train it"
    assert made.spec.retry == Retry(3, (1.0, 5.0), 2, 60, 0.1, (OSError,), ())
    assert (made.spec.timeout, made.spec.cache) == (60.0, Cache(enabled=True, lifetime=86_400.0))
    assert made.spec.resources == Resources(cpus=2)
    assert (made.spec.version, made.spec.executor, made.spec.tags) == ("2", "processes", ("slow",))


def test_retries_may_be_a_tuple_of_delays() -> None:
    assert step(retries=(0, 1, 5))(print).spec.retry == Retry(3, (0.0, 1.0, 5.0))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retrys": 3}, "no option 'retrys'"),
        ({"delay": 1}, "add retries"),
        ({"retries": -1}, "negative"),
        ({"retries": (1,), "delay": 2}, "not in both"),
        ({"retries": 1, "jitter": 2}, "jitter"),
        ({"retries": 1, "retry_on": "OSError"}, "exception types"),
        ({"timeout": 0}, "positive"),
        ({"timeout": "1 s"}, "positive"),
        ({"expires": -1}, "time to begin of step .* positive"),
        ({"deadline": 0}, "deadline of step .* positive"),
        ({"heartbeat_timeout": True}, "heartbeat timeout of step .* positive"),
        ({"timeout": 10, "deadline": 5}, r"deadline \(5 s\) has to be longer than timeout \(10 s\)"),
        ({"soft_timeout": 5, "deadline": 5}, "deadline .* has to be longer than soft_timeout"),
        ({"expires": 10, "deadline": 5}, "deadline .* has to be longer than expires"),
        ({"timeout": 5, "heartbeat_timeout": 10}, "timeout .* has to be longer than heartbeat_timeout"),
        ({"deadline": 5, "heartbeat_timeout": 10}, "deadline .* has to be longer than heartbeat_timeout"),
        ({"cache": -1}, "cache lifetime"),
        ({"name": "1st"}, "starts with a letter"),
        ({"tags": ["a/b"]}, "tag"),
        ({"resources": {"cpu": 1}}, "cpus"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises((DefinitionError, ConfigError), match=told):
        step(**options)(lambda: 1)


def test_limits_that_go_together_are_recorded() -> None:
    made: Any = step(timeout=5, deadline=timedelta(seconds=5), expires=5, heartbeat_timeout=5)(lambda: 1)
    assert (made.spec.expires, made.spec.deadline, made.spec.heartbeat_timeout) == (5.0, 5.0, 5.0)
    with pytest.raises(ConfigError, match=r"deadline .* has to be longer than timeout"):
        made.with_options(timeout=6)
    assert made.with_options(deadline=None, timeout=6).spec.timeout == 6.0


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": "soon"}, {"decision_timeout": -1}], ids=str)
def test_times_of_flows_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="timeout of flow 'sums' is a positive number"):
        flow(name="sums", **options)(_sums)


def _sums() -> int:
    return 1


def test_only_functions_become_steps() -> None:
    with pytest.raises(DefinitionError, match="decorates a function"):
        step(3)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="is a step already"):
        step(documented)


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry(3, (1.0,)), [1, 1, 1]),
        (Retry(4, (0.0, 5.0), backoff=2), [0, 5, 10, 20]),
        (Retry(5, (1.0,), backoff=10, cap=50), [1, 10, 50, 50, 50]),
        (Retry(2, (10.0,), jitter=0.5), [15, 15]),
    ],
)
def test_delays_of_retries(retry: Retry, delays: list[float]) -> None:
    assert [retry.delay(number, lambda: 1.0) for number in range(1, retry.retries + 1)] == delays


def test_what_a_placeholder_cannot_do() -> None:
    @step
    def nothing() -> None:
        return None

    @step
    def three() -> int:
        return 3

    @flow
    def looks() -> tuple[Any, ...]:
        none, number = nothing(), three()
        # Python asks the object itself here, not the value (see notebooks/about/flaws.md).
        return none is None, type(number) is int, isinstance(number, int), number == 3

    assert looks() == (False, False, True, True)
