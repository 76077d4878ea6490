"""Triggers on a database of each kind, under a clock that stands still."""

from __future__ import annotations

import pytest

import nbflow
from nbflow import settings
from nbflow.deploying.starts import Starts
from nbflow.deploying.triggers import Triggers
from nbflow.deploying.watching import Watcher
from nbflow.queue.broker import Broker
from nbflow.storage import opened
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store
from tests.unit.deploying.triggers.deployed import NOW


@pytest.fixture
def clock():
    return VirtualClock(NOW)


@pytest.fixture
def database(db_url):
    nbflow.configure(db=db_url)
    return opened.database()


@pytest.fixture
def starts(database, clock):
    return Starts(Broker(database, value_store(settings.current()), clock))


@pytest.fixture
def triggers(starts):
    return Triggers(starts.broker, starts)


@pytest.fixture
def watcher(starts):
    return Watcher(starts.broker, starts)
