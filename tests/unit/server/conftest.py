"""An endpoint in the test's process, on a port of its own, and a client for it."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

import nbflow
from nbflow import settings
from nbflow.deploying.triggers import Triggers
from nbflow.queue.broker import Broker
from nbflow.server.serving import Endpoint
from nbflow.storage import opened
from nbflow.values.project import value_store
from tests.unit.deploying.triggers.deployed import deploy, parameter


class Client:
    """Speaks to the endpoint."""

    def __init__(self, url):
        self.url = url

    def __call__(self, method, path, body=None, **headers):
        """The status and the answer; `headers` with underscores for hyphens."""
        status, found, _ = self.whole(method, path, body, **headers)
        return status, found

    def whole(self, method, path, body=None, **headers):
        """The status, the answer, and its headers."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        connection.request(method, path, data, given)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        told = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return answer.status, found, told


@pytest.fixture
def database(tmp_path):
    nbflow.configure(db=f"sqlite:///{tmp_path / 'nbflow.db'}")
    found = opened.database()
    deploy(found, "report", parameter("day", "str", "'today'"), parameter("size", "int", "1"), parameter("body"))
    return found


@pytest.fixture
def triggers(database):
    broker = Broker(database, value_store(settings.current()))
    return Triggers(broker)


@pytest.fixture
def alive():
    """What further checks of readiness say."""
    return {"scheduler": True}


@pytest.fixture
def client(triggers, alive):
    endpoint = Endpoint("127.0.0.1:0", triggers, {"scheduler": lambda: alive["scheduler"]})
    endpoint.start()
    yield Client(endpoint.url)
    endpoint.close()


@pytest.fixture
def token(triggers):
    """The token of a webhook of the deployment `report`."""
    return triggers.add("webhook", "report", name="hook").token


def bearer(token):
    return f"Bearer {token}"
