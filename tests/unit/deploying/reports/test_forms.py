from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nbflow.deploying.reports import html
from nbflow.deploying.reports.chart import NO_PICTURE
from nbflow.deploying.reports.facts import CellFigures, CodeFigures, Failure, Figures, FlowFigures, Slow, Spread, Tally
from nbflow.deploying.reports.markup import Markup, join, tag
from nbflow.deploying.reports.period import containing
from nbflow.deploying.reports.sending import Report
from nbflow.model.errors import ConfigError
from nbflow.storage import opened
from tests.unit.deploying.reports.history import DAY, MONDAY, NOW, WEEK, ZONE

GOLDEN = Path(__file__).with_name("golden")


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_the_text_is_that_which_was_looked_at(week: Report):
    path = GOLDEN / "week.txt"
    if os.environ.get("NBFLOW_TEST_GOLDEN"):
        path.write_text(week.text(), encoding="utf-8")
    assert week.text() == path.read_text(encoding="utf-8")


def test_the_same_report_is_the_same_mail_to_the_byte(week: Report):
    again = Report(week.database, week.period, week.now)
    mails = [each.mail("nbflow@example.org", "ann@example.org", "id1").as_bytes() for each in (week, again)]
    assert mails[0] == mails[1]
    assert max(map(len, mails[0].split(b"\r\n"))) <= 998, "RFC 5322"
    mails[0].decode("ascii")


def test_a_mail_has_its_parts_in_place(week: Report):
    mail = week.mail("nbflow <nbflow@example.org>", "ann@example.org", "id1")
    assert dict(mail.items()) | {"Content-Type": ""} == {
        "From": "nbflow <nbflow@example.org>",
        "To": "ann@example.org",
        "Subject": "nbflow weekly report, Week 45, 2 to 8 November 2026: 61 runs of 3 flows, 3 failed",
        "Date": "Mon, 09 Nov 2026 06:00:00 +0100",
        "Message-ID": "<id1@example.org>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    *_, page, png = mail.walk()
    images = [given["src"] for kind, given in Elements(page.get_content()).found if kind == "img"]
    assert images == ["cid:gantt"]
    assert png["Content-ID"] == "<gantt>"
    assert png.get_content().startswith(b"\x89PNG")


def test_without_pillow_the_chart_is_text_with_an_svg_beside_it(week: Report, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    mail = week.mail("nbflow@example.org", "ann@example.org", "id1")
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "image/svg+xml",
    ]  # fmt: skip
    page = Elements(next(part for part in mail.walk() if part.get_content_type() == "text/html").get_content())
    assert not [kind for kind, _ in page.found if kind == "img"]
    assert "import-orders ███" in page.words


def test_the_page_stands_alone_and_what_users_wrote_is_text_in_it(week: Report):
    page = Elements(week.page())
    assert page.open == []
    assert "cannot identify image file <script>alert('x')</script>" in page.words
    assert {kind for kind, _ in page.found} & {"script", "link", "iframe", "form"} == set()
    loaded = [given["src"] or "" for kind, given in page.found if "src" in given]
    assert [address.partition(",")[0] for address in loaded] == ["data:image/png;base64"]
    (image,) = [given for kind, given in page.found if kind == "img"]
    assert image["alt"] == "A Gantt chart of 62 runs."


def test_figures_of_the_page_are_those_of_the_report(week: Report):
    words = Elements(week.page()).words
    for told in ("61", "95 %", "53 ✓ succeeded · 3 ✗ failed", "17 min 40 s", "7 tries more", "+3 \N{MINUS SIGN}0"):
        assert told in words


def test_a_mail_is_never_so_long_that_it_is_cut_off():
    states = {"succeeded": 1234, "failed": 56, "timed_out": 7, "cancelled": 8, "skipped": 9}
    spread = Spread(1314, 3600.0, 7200.0, 9999.0, 999_999.0)
    tallies = [Tally(f"a-name-of-a-common-length-{number}", states, 3, spread, spread, 5, 6) for number in range(60)]
    cells = tuple(CellFigures(number, "df = pd.read_csv('a/path/to/some/file.csv')", spread) for number in range(3))
    page = html.report(
        Figures(
            period=WEEK,
            made_at=NOW,
            flows=tuple(FlowFigures(tally, tuple(tallies[:4])) for tally in tallies),
            functions=tuple(tallies),
            failures=tuple(Failure(each.name, each.name, 3, MONDAY, "run12345678", "x" * 300) for each in tallies),
            queues=tuple(tallies),
            slowest=tuple(Slow(each.name, each.name, 9.0, 8.0, "run12345678", MONDAY) for each in tallies[:5]),
            code=tuple(CodeFigures(each.name, "notebook", 50, 900, 12, 3, 2, 999, 9.0, cells) for each in tallies),
        ),
        NO_PICTURE,
        "",
    )
    assert len(page.encode()) < 102_000, "what Gmail shows"


def test_a_day_on_which_nothing_ran_says_so(database):
    report = Report(opened.database(), containing("day", MONDAY - 30 * DAY, ZONE), NOW)
    assert "Nothing ran." in report.text()
    assert "Nothing ran." in Elements(report.page()).words
    mail = report.mail("nbflow@example.org", "ann@example.org", "id1")
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize("suffix", [".html", ".txt", ".eml"])
def test_a_report_is_written_as_its_suffix_says(week: Report, tmp_path, suffix):
    path = tmp_path / f"report{suffix}"
    week.save(path)
    assert "import-orders" in path.read_text()


def test_another_suffix_is_refused(week: Report, tmp_path):
    with pytest.raises(ConfigError, match=r"none of .html, .txt, .eml"):
        week.save(tmp_path / "report.pdf")


def test_every_text_is_escaped_that_is_no_markup():
    found = tag("td", "<b>&", Markup("<i>"), css='"x"', cls="a", colspan=2)
    assert found == '<td class="a" style="&quot;x&quot;" colspan="2">&lt;b&gt;&amp;<i></td>'
    assert join("<", None, tag("br")) == "&lt;<br>"
