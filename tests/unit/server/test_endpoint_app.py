from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from nbflow.deploying import tokens, webhooks
from nbflow.model.errors import ConfigError
from nbflow.model.jobs import WorkerRecord
from nbflow.queue.presence import boot, host
from nbflow.running.clock import SystemClock
from nbflow.server.serving import Endpoint, parsed
from nbflow.storage import queues
from tests.unit.deploying.triggers.deployed import job_count, started
from tests.unit.server.conftest import bearer


def trigger(client, token, body=None, **headers):
    return client("POST", "/trigger/report", body, Authorization=bearer(token), **headers)


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_a_webhook_starts_its_deployment_with_the_parameters_of_the_body(client, database, token):
    status, found = trigger(client, token, {"parameters": {"day": "monday", "size": 2}})
    assert (status, found["starts"][0]["deployment"], found["starts"][0]["outcome"]) == (202, "report", "started")
    assert started(database) == [("report", {"day": "monday", "size": 2})]


def test_a_replayed_webhook_does_nothing_twice_and_says_so(client, database, token):
    body = {"parameters": {"size": 2}}
    (_, first), (status, again) = trigger(client, token, body), trigger(client, token, body)
    assert (status, again["starts"][0]["outcome"]) == (200, "repeated")
    assert again["starts"][0]["job"] == first["starts"][0]["job"]
    assert "nothing is done twice" in again["message"]
    assert job_count(database) == 1


def test_a_key_tells_requests_of_the_same_body_apart_and_holds_for_one_body_only(client, database, token):
    assert [trigger(client, token, {}, Idempotency_Key=key)[0] for key in ("a", "b", "a")] == [202, 202, 200]
    status, found = trigger(client, token, {"parameters": {"size": 9}}, Idempotency_Key="a")
    assert (status, found["error"]["code"]) == (409, "key_reused")
    assert job_count(database) == 2


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer nbf_wrong", "Basic abc", "bearer\tnbf", "Bearer é"])
def test_a_wrong_token_starts_nothing_and_learns_nothing(client, database, token, given):
    answers = [
        client.whole("POST", path, {}, Authorization=given.encode("latin-1"))
        for path in ("/trigger/report", "/trigger/nowhere", "/event/sales")
    ]
    assert {status for status, _, _ in answers} == {401}
    assert len({json.dumps(found) for _, found, _ in answers}) == 1, "it does not tell which deployments there are"
    assert answers[0][2]["www-authenticate"] == "Bearer"
    assert job_count(database) == 0


def test_a_token_is_good_for_its_own_deployment_alone(client, database, triggers, token):
    from tests.unit.deploying.triggers.deployed import deploy

    deploy(database, "other")
    triggers.add("webhook", "other")
    assert client("POST", "/trigger/other", {}, Authorization=bearer(token))[0] == 401


def test_the_database_knows_only_a_digest_of_the_token(triggers, token):
    (record,) = triggers.listed()
    assert token.startswith("nbf_")
    assert token not in repr(record)
    assert tokens.digest(token) in record.options


def test_a_new_token_replaces_the_old_one_at_once_or_after_a_while(client, triggers, token):
    second = triggers.rotate("report", "hook", grace=3600.0).token
    assert [trigger(client, each, {}, Idempotency_Key=each)[0] for each in (token, second)] == [202, 202]
    third = triggers.rotate("report", "hook").token
    found = [trigger(client, each, {}, Idempotency_Key=f"2{each}")[0] for each in (token, second, third)]
    assert found == [401, 401, 202]


def test_a_storm_is_told_to_come_again(client, database, triggers):
    token = triggers.add("webhook", "report", name="small", most_waiting=2).token
    answers = [
        client.whole("POST", "/trigger/report", {}, Authorization=bearer(token), Idempotency_Key=str(number))
        for number in range(4)
    ]
    assert [status for status, _, _ in answers] == [202, 202, 429, 429]
    assert (answers[3][1]["error"]["code"], answers[3][2]["retry-after"]) == ("too_many_starts", "10")
    assert job_count(database) == 2


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"{", 400, "bad_body", "no JSON"),
        (b"\xff\xfe", 400, "bad_body", "no JSON"),
        (b"[1]", 400, "bad_body", "has to be an object"),
        (b'{"parameters": [1]}', 400, "bad_body", "has to be an object"),
        (b'{"paramters": {}}', 400, "bad_body", "knows no 'paramters'"),
        (b'{"parameters": {"size": NaN}}', 400, "bad_body", "NaN is no number"),
        (b'{"parameters": {"size": 1, "size": 2}}', 400, "bad_body", "is there twice"),
        (b"[" * 100_000, 400, "bad_body", ""),
        (b'{"parameters": {"dya": 1}}', 422, "bad_parameters", "has no parameter 'dya'"),
        (b'{"parameters": {"size": "x"}}', 422, "bad_parameters", "is an int"),
        (b" " * (webhooks.LARGEST + 1), 413, "too_large", "larger than 256 KiB"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_bad_body_is_told_what_is_wrong_with_it(client, database, token, body, status, code, words):
    found_status, found = trigger(client, token, body)
    assert (found_status, found["error"]["code"]) == (status, code)
    assert words in found["error"]["message"]
    assert job_count(database) == 0


def test_a_body_that_is_larger_than_it_says_is_cut_off(client, token):
    parts = (b"x" * 65_536 for _ in range(8))
    connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=30)
    connection.request("POST", "/trigger/report", parts, {"Authorization": bearer(token)}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_whole_body_may_be_one_parameter(client, database, triggers):
    token = triggers.add("webhook", "report", name="raw", body_as="body").token
    assert client("POST", "/trigger/report", {"ref": ["x"]}, Authorization=bearer(token))[0] == 202
    assert started(database) == [("report", {"body": {"ref": ["x"]}})]


def test_what_nobody_foresaw_is_told_by_a_number_and_logged_with_it(client, triggers, token, caplog):
    class Broken(SystemClock):
        def time(self):
            raise RuntimeError("a secret of the house: /etc/passwd")

    triggers.broker.clock = Broken()
    status, found = trigger(client, token, {})
    assert (status, found["error"]["code"]) == (500, "internal")
    assert "secret" not in json.dumps(found)
    number = found["error"]["message"].split()[-1].rstrip(".")
    assert number in caplog.text
    assert "a secret of the house" in caplog.text


# --- signatures ------------------------------------------------------------------------------------------------------


def signed(client, header, body):
    return client("POST", "/trigger/report", body, X_Nbflow_Signature=header)


def test_a_signed_webhook_is_started_by_a_fresh_signature_of_its_body_alone(client, database, triggers):
    secret = triggers.add("webhook", "report", name="signed", signed=True).token
    body, now = b'{"parameters": {"size": 3}}', time.time()
    header = tokens.signature_header(body, secret, now)
    assert signed(client, header, body)[0] == 202
    assert signed(client, header, body)[1]["starts"][0]["outcome"] == "repeated"
    assert signed(client, tokens.signature_header(body, secret, now + 1), body)[0] == 202, "the same, said again later"
    wrong = [
        (header, body + b" "),
        (tokens.signature_header(body, secret, now - 301), body),
        (tokens.signature_header(body, secret, now + 400), body),
        (tokens.signature_header(body, "other", now), body),
        (header.replace("t=", "t=0,t="), body),
        ("v1=" + header.partition("v1=")[2], body),
        ("t=" + "9" * 30 + ",v1=00", body),
        ("", body),
    ]
    assert {signed(client, *each)[0] for each in wrong} == {401}
    assert job_count(database) == 2


def test_the_secret_of_signatures_is_not_in_the_database_and_no_token_does_instead(client, triggers):
    secret = triggers.add("webhook", "report", name="signed", signed=True).token
    assert secret not in repr(triggers.listed())
    assert client("POST", "/trigger/report", {}, Authorization=bearer(secret))[0] == 401


def test_an_old_secret_signs_for_as_long_as_it_was_told(client, triggers):
    old = triggers.add("webhook", "report", name="signed", signed=True).token
    new = triggers.rotate("report", "signed", grace=3600.0).token
    assert old != new
    assert {signed(client, tokens.signature_header(b"{}", each, time.time()), b"{}")[0] for each in (old, new)} == {202}


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_sender_tells_of_its_event_and_of_no_other(client, database, triggers):
    for event in ("sales", "returns"):
        triggers.add("event", "report", event=event)
    one, every = (triggers.add("sender", "", event=each).token for each in ("sales", "*"))
    asked = [("sales", one), ("returns", one), ("returns", every), ("nobody", every)]
    found = [client("POST", f"/event/{name}", {}, Authorization=bearer(token)) for name, token in asked]
    assert [status for status, _ in found] == [202, 401, 202, 200]
    assert "Nobody listens" in found[3][1]["message"]
    assert job_count(database) == 2


def test_a_webhook_is_no_sender_and_a_sender_is_no_webhook(client, triggers, token):
    sender = triggers.add("sender", "", event="*").token
    assert client("POST", "/event/sales", {}, Authorization=bearer(token))[0] == 401
    assert trigger(client, sender, {})[0] == 401


# --- health ----------------------------------------------------------------------------------------------------------


def test_it_is_ready_once_a_worker_and_all_else_live(client, database, alive):
    assert client("GET", "/health/live") == (200, {"live": True})
    status, found = client("GET", "/health/ready")
    assert (status, found["ready"], found["checks"]["workers"]) == (503, False, "no worker is alive")
    _register_worker(database)
    ok = {"database": "ok", "schema": "ok", "workers": "ok", "scheduler": "ok"}
    assert client("GET", "/health/ready") == (200, {"ready": True, "checks": ok})
    alive["scheduler"] = False
    assert client("GET", "/health/ready")[1]["checks"]["scheduler"] == "not alive"


def test_a_database_that_is_gone_or_newer_is_told_without_its_address(client, database):
    _register_worker(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert client("GET", "/health/ready")[1]["checks"]["schema"] == "the tables are of a newer nbflow"
    database.file.unlink()
    status, found, headers = client.whole("GET", "/health/ready")
    assert (status, found["checks"]["database"]) == (503, "cannot be used")
    assert str(database.file) not in json.dumps(found)
    assert (headers["cache-control"], "server" in headers) == ("no-store", False)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/trigger/a/b", 404), ("GET", "/trigger/report", 405),
    ("POST", "/health/live", 405),
])  # fmt: skip
def test_what_is_not_there_is_told_in_the_same_form(client, method, path, status):
    found_status, found = client(method, path)
    assert (found_status, set(found), set(found["error"])) == (status, {"error"}, {"code", "message"})


def _register_worker(database):
    import os

    import psutil

    now = time.time()
    filled = dict.fromkeys(WorkerRecord._fields, 0) | {
        "id": "w", "host": host(), "boot": boot(), "pid": os.getpid(), "state": "running", "queues": "[]",
        "process_started": psutil.Process().create_time(), "excluded": "[]", "children": "[]", "version": "",
        "started_at": now, "seen_at": now, "lease_until": now + 60,
    }  # fmt: skip
    with database.write() as connection:
        queues.register(connection, WorkerRecord(**filled))


# --- listening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["8765", ":8765", "host:", "host:port", "host:99999", "host:-1", ""])
def test_an_address_that_is_none_is_told(address):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parsed(address)


def test_addresses_of_both_kinds_are_understood():
    assert [parsed(each) for each in ("127.0.0.1:1", "[::1]:2", "localhost:0")] == [
        ("127.0.0.1", 1), ("::1", 2), ("localhost", 0),
    ]  # fmt: skip


def test_an_address_that_is_taken_is_told(triggers):
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(ConfigError, match="cannot be listened on"):
            Endpoint(f"127.0.0.1:{other.getsockname()[1]}", triggers, {})


def test_a_missing_package_is_told_with_the_extra_to_install(triggers, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'nbflow\[web\]'"):
        Endpoint("127.0.0.1:0", triggers, {})


def test_an_address_that_others_reach_is_warned_of(triggers, caplog):
    Endpoint("0.0.0.0:0", triggers, {}).close()
    assert "without TLS" in caplog.text


def test_requests_that_are_under_way_are_answered_when_it_stops(triggers, token):
    from tests.unit.server.conftest import Client

    began, go_on = threading.Event(), threading.Event()

    class Slow(SystemClock):
        def time(self):
            began.set()
            assert go_on.wait(30)
            return super().time()

    triggers.broker.clock = Slow()
    endpoint = Endpoint("127.0.0.1:0", triggers, {})
    endpoint.start()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(trigger(Client(endpoint.url), token, {})[0]))
    thread.start()
    assert began.wait(30)
    endpoint.stop()
    go_on.set()
    thread.join(30)
    endpoint.close()
    assert answers == [202]
