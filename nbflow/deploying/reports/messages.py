"""Mails as bytes: the same input gives the same bytes, so that a mail that is sent again is the mail it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from nbflow.deploying.reports.addresses import bare
from nbflow.queue import zones
from nbflow.views.words import one_line

_LONGEST_SUBJECT = 200  # characters
# Seven bits, since not every server on the way is sure to take eight.
_POLICY = policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above a mail."""

    sender: str
    recipient: str
    subject: str
    identity: str  # see `message_id`
    at: float  # seconds since 1970
    zone: str | None = None  # IANA name; None: UTC
    replies_to: str | None = None  # identity of an earlier mail


@dataclass(frozen=True, slots=True)
class Content:
    """What stands in a mail."""

    text: str
    html: str
    images: Mapping[str, bytes] = field(default_factory=dict)  # PNGs that the HTML shows, by the name after "cid:"
    files: Mapping[str, str] = field(default_factory=dict)  # SVGs that come along, by their file name


def message_id(identity: str, sender: str) -> str:
    """The Message-ID of a mailing's identity: the same however often it is sent."""
    return f"<{identity}@{bare(sender).rpartition('@')[2]}>"


def compose(head: Head, content: Content) -> EmailMessage:
    """The mail: text and HTML as alternatives, the pictures inside the HTML's part."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = head.sender
    mail["To"] = head.recipient
    mail["Subject"] = one_line(head.subject, _LONGEST_SUBJECT)
    mail["Date"] = format_datetime(zones.in_zone(int(head.at), head.zone))
    mail["Message-ID"] = message_id(head.identity, head.sender)
    if head.replies_to is not None:
        mail["In-Reply-To"] = mail["References"] = message_id(head.replies_to, head.sender)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday is an answer to it
    mail.set_content(content.text)
    mail.add_alternative(content.html, subtype="html")
    shown = mail.get_payload(1)
    assert isinstance(shown, EmailMessage)  # the HTML that was just added
    for name, png in content.images.items():
        shown.add_related(png, "image", "png", cid=f"<{name}>", filename=f"{name}.png", disposition="inline")
    for name, svg in content.files.items():
        mail.add_attachment(svg.encode(), "image", "svg+xml", filename=name)
    for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
        seed = f"{head.identity} {number}".encode()
        part.set_boundary(f"=_{hashlib.blake2b(seed, digest_size=12).hexdigest()}")
    return mail
