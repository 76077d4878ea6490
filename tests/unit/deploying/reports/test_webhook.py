from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nbflow.deploying.reports import webhook
from nbflow.deploying.reports.smtp import MailError, MailRefusedError
from nbflow.model.errors import ConfigError
from tests.servers import free_port


class Receiver(HTTPServer):
    """A server that keeps what it is told."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.told = []  # headers and body of each request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def receiver(running):
    running.status, running.told = 200, []
    return running


def test_a_url_is_told_with_a_signature_that_its_receiver_can_check(receiver):
    webhook.post(receiver.url, "id1", {"type": "incident.began", "data": {"name": "Zoë"}}, "hunter2", 1_700_000_000.5)
    ((headers, body),) = receiver.told
    assert json.loads(body) == {"type": "incident.began", "data": {"name": "Zoë"}}
    lower = {name.lower(): value for name, value in headers.items()}
    signed = f"{lower['webhook-id']}.{lower['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"hunter2", signed, hashlib.sha256).digest()).decode()
    assert (lower["webhook-id"], lower["webhook-timestamp"]) == ("id1", "1700000000")
    assert lower["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_that_of_the_standard():
    # The example of standardwebhooks.com's own libraries.
    found = webhook.signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                              b'{"test": 2432232314}')  # fmt: skip
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_a_secret_there_is_no_signature(receiver):
    webhook.post(receiver.url, "id1", {}, None, 1.0)
    assert "webhook-signature" not in {name.lower() for name in receiver.told[0][0]}


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, MailError), (404, MailError), (429, MailError), (302, MailError), (410, MailRefusedError)],
)
def test_whoever_does_not_take_it_is_told_again_unless_it_is_gone(receiver, status, error):
    receiver.status = status
    with pytest.raises(MailError, match=f"answers {status}") as raised:
        webhook.post(receiver.url, "id1", {}, None, 1.0)
    assert type(raised.value) is error
    assert len(receiver.told) == 1, "a redirect is not followed"


def test_a_server_that_is_down_is_told():
    with pytest.raises(MailError, match=r"cannot be told: .*refused"):
        webhook.post(f"http://127.0.0.1:{free_port()}/", "id1", {}, None, 1.0)


def test_a_broken_secret_is_refused_without_being_told():
    with pytest.raises(ConfigError, match="no base64") as raised:
        webhook.signature("whsec_hunter2!", "id", 1, b"")
    assert "hunter2" not in str(raised.value)
