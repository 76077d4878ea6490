from __future__ import annotations

import pytest

from nbflow import configure, settings
from nbflow.deploying.reports import addresses
from nbflow.deploying.reports.addresses import Server, server_of
from nbflow.model.errors import ConfigError, SecretMissingError


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", Server("mail.example.org", 25, None, "offered")),
        ("smtp://ann@mail.example.org", Server("mail.example.org", 587, "ann", "offered")),
        (
            "smtp://ann%40example.org@mail.example.org:2525",
            Server("mail.example.org", 2525, "ann@example.org", "offered"),
        ),
        ("smtps://ann@mail.example.org", Server("mail.example.org", 465, "ann", "tls")),
        ("smtp://mail?starttls=required", Server("mail", 25, None, "required")),
        ("smtp://mail/?starttls=NEVER", Server("mail", 25, None, "never")),
        ("smtp://[::1]:25", Server("::1", 25, None, "offered")),
    ],
)
def test_a_url_names_a_mail_server(url, server):
    assert server_of(url) == server


@pytest.mark.parametrize(
    "url",
    ["mail.example.org", "http://mail", "smtp://", "smtp://mail:99999", "smtp://mail:port", "smtp://mail/path",
     "smtp://mail?starttls=perhaps", "smtp://mail?tls=1", "smtps://mail?starttls=required", "smtp://[::1"],
)  # fmt: skip
def test_what_is_no_url_of_a_mail_server_is_refused_with_the_way_to_write_it(url):
    with pytest.raises(ConfigError, match=r"smtp://user@host:587|required, offered or never"):
        server_of(url)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="NBFLOW_SMTP_PASSWORD") as raised:
        server_of("smtp://ann:hunter2@mail")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("ann@example.org", ["ann@example.org"]),
        (["ann@example.org", " ANN@example.org"], ["ANN@example.org"]),
        ('"Ann, B." <ann@example.org>', ['"Ann, B." <ann@example.org>']),
        ("Zoë <zoe@example.org>", ["=?utf-8?q?Zo=C3=AB?= <zoe@example.org>"]),
        (["b@x", "a@x"], ["b@x", "a@x"]),
    ],
)
def test_addresses_are_taken_each_once(given, found):
    assert addresses.addresses(given) == found


@pytest.mark.parametrize(
    "given",
    ["ann", "ann@", "@example.org", "ann@example..org", "ann@exa mple.org", "a@b@c", "ann@example.org, bob@example.org",
     "ann@example.org\nBcc: x@y", "", "ann@-example.org", "zoë@example.org"],
)  # fmt: skip
def test_what_is_no_address_is_refused(given):
    with pytest.raises(ConfigError, match="no mail address"):
        addresses.addresses(given)


def test_mail_to_nobody_is_refused():
    with pytest.raises(ConfigError, match="nobody to send it to"):
        addresses.addresses([])


@pytest.mark.parametrize(
    "given", ["ftp://host", "https://", "host/path", "https://host:0/", "https://ho st/", "http://["]
)
def test_what_is_no_url_of_the_web_is_refused(given):
    with pytest.raises(ConfigError, match="no URL that can be told"):
        addresses.web_url(given)


def test_mails_are_from_whom_the_settings_say_or_from_the_user_of_the_server():
    server = server_of("smtp://ann%40example.org@mail")
    assert addresses.sender_of(settings.current(), server) == "ann@example.org"
    configure(mail_from="nbflow <nbflow@example.org>")
    assert addresses.sender_of(settings.current(), server) == "nbflow <nbflow@example.org>"


def test_nobody_to_send_from_is_told_with_the_setting():
    with pytest.raises(ConfigError, match="NBFLOW_MAIL_FROM"):
        addresses.sender_of(settings.current(), server_of("smtp://ann@mail"))


def test_a_secret_is_found_where_it_is_and_a_password_is_itself(monkeypatch):
    monkeypatch.setenv("NBFLOW_SECRET_MAIL_PASSWORD", "hunter2")
    assert [addresses.revealed(each) for each in ("secret:MAIL_PASSWORD", "plain", None)] == ["hunter2", "plain", None]
    with pytest.raises(SecretMissingError, match="'OTHER' is in none of the places"):
        addresses.revealed("secret:OTHER")


def test_the_password_does_not_show_among_the_settings():
    configure(smtp_password="hunter2")
    assert "hunter2" not in repr(settings.current())
