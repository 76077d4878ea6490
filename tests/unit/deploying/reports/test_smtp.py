from __future__ import annotations

import socket
import threading

import pytest

from nbflow.deploying.reports.addresses import Server, server_of
from nbflow.deploying.reports.smtp import Channel, MailError, MailInDoubtError, MailRefusedError
from nbflow.model.errors import ConfigError
from tests.mail import MailServer, mail_server
from tests.servers import free_port

MAIL = b"Subject: hello\r\n\r\n.a dot, and bare\nlines\r\n..\r\nend"


def deliver(mail: MailServer, commit=lambda: True, content: bytes = MAIL, times: int = 1) -> None:
    with Channel(server_of(mail.url), None) as channel:
        for _ in range(times):
            channel.deliver("nbflow@example.org", "ann@example.org", content, commit)


def test_a_mail_arrives_as_it_was_with_its_dots(mail):
    deliver(mail, times=2)
    assert mail.recipients == [["ann@example.org"]] * 2
    assert mail.raw[0] == b"Subject: hello\r\n\r\n.a dot, and bare\r\nlines\r\n..\r\nend\r\n"


def test_nothing_arrives_before_the_commit_nor_when_it_says_no(mail):
    def commit() -> bool:
        assert mail.raw == []
        return False

    with pytest.raises(MailError, match="Another process is sending"):
        deliver(mail, commit)
    deliver(mail, content=b"Subject: the next one\r\n\r\n")
    assert [each["Subject"] for each in mail.mails] == ["the next one"]


def test_nothing_arrives_if_the_sender_fails_at_the_commit(mail):
    def commit() -> bool:
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError):
        deliver(mail, commit)
    deliver(mail)
    assert len(mail.mails) == 1


@pytest.mark.parametrize(
    ("at", "answer", "error"),
    [
        ("at_recipient", "550 no such user", MailRefusedError),
        ("at_recipient", "451 try later", MailError),
        ("at_end", "554 it is spam", MailRefusedError),
        ("at_end", "452 no space left", MailError),
    ],
)
def test_what_the_server_says_decides_whether_it_is_tried_again(mail, at, answer, error):
    setattr(mail, at, lambda session: answer)
    with pytest.raises(MailError, match=answer) as raised:
        deliver(mail)
    assert type(raised.value) is error
    assert mail.mails == []


def test_one_recipient_that_is_refused_harms_no_other(mail):
    answers = ["550 no such user", None]
    mail.at_recipient = lambda session: answers.pop(0)
    with Channel(server_of(mail.url), None) as channel:
        with pytest.raises(MailRefusedError):
            channel.deliver("nbflow@example.org", "no@example.org", MAIL, lambda: True)
        channel.deliver("nbflow@example.org", "ann@example.org", MAIL, lambda: True)
    assert mail.recipients == [["ann@example.org"]]


def test_a_server_that_is_down_is_told_with_the_setting():
    with pytest.raises(MailError, match=r"cannot be reached: .*refused.* See the setting smtp"):
        deliver(MailServer(free_port()))


def test_a_server_that_hangs_up_instead_of_an_answer_leaves_doubt():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        speaker = threading.Thread(target=_hang_up, args=(listening,))
        speaker.start()
        with pytest.raises(MailInDoubtError, match="may have arrived"):
            deliver(MailServer(listening.getsockname()[1]))
        speaker.join()


def _hang_up(listening: socket.socket) -> None:
    """Be a mail server up to the dot."""
    connection, _ = listening.accept()
    with connection, connection.makefile("rwb", buffering=0) as stream:
        stream.write(b"220 here\r\n")
        while line := stream.readline():
            if line == b".\r\n":
                return
            if line[:4].lower() in (b"ehlo", b"mail", b"rcpt"):
                stream.write(b"250 OK\r\n")
            elif line[:4].lower() == b"data":
                stream.write(b"354 go on\r\n")


def test_a_password_is_given_and_a_wrong_one_told():
    with mail_server(auth_require_tls=False) as mail:
        server = Server("127.0.0.1", mail.port, "ann", "offered")
        _log_in(server)
        with pytest.raises(MailError, match="does not take the password"), Channel(server, "wrong") as channel:
            channel.deliver("ann@example.org", "bob@example.org", MAIL, lambda: True)
        assert set(mail.passwords) == {("ann", "right"), ("ann", "wrong")}
        assert len(mail.mails) == 1


def test_encryption_that_is_required_and_not_offered_is_told(mail):
    with (
        pytest.raises(MailError, match=r"another \?starttls="),
        Channel(server_of(f"{mail.url}?starttls=required"), None) as channel,
    ):
        channel.deliver("nbflow@example.org", "ann@example.org", MAIL, lambda: True)


def test_a_password_does_not_go_over_a_line_that_others_can_read():
    host = "127.0.0.2"  # which is not known to lead to this machine
    with mail_server(host, auth_require_tls=False) as mail:
        with pytest.raises(ConfigError, match="would be read on the way"):
            _log_in(Server(host, mail.port, "ann", "offered"))
        assert mail.passwords == []
        _log_in(Server(host, mail.port, "ann", "never"))
        assert mail.passwords == [("ann", "right")]


def _log_in(server: Server) -> None:
    with Channel(server, "right") as channel:
        channel.deliver("ann@example.org", "bob@example.org", MAIL, lambda: True)


def test_a_mail_of_many_lines_is_one_mail(mail):
    content = b"Subject: long\r\n\r\n" + b"".join(b".%d\r\n" % number for number in range(2_000))
    deliver(mail, content=content)
    assert mail.raw == [content]
