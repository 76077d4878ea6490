"""What a report says in words and figures, in all of its forms."""

from __future__ import annotations

from nbflow.deploying.reports.facts import Figures, Spread
from nbflow.views.words import seconds_text

NONE = "\N{EN DASH}"  # where there is no figure


def headline(figures: Figures) -> str:
    """The report in one line."""
    tallies = [flow.runs for flow in figures.flows] or list(figures.functions)
    if not tallies:
        return "nothing ran"
    what = "runs" if figures.flows else "jobs"
    failed, ended = sum(each.failed for each in tallies), sum(each.ended for each in tallies)
    of = f"{len(figures.flows):,} flows" if figures.flows else f"{len(figures.functions):,} functions"
    return f"{ended:,} {what} of {of}, {f'{failed:,} failed' if failed else 'none failed'}"


def subject(figures: Figures) -> str:
    """The subject of its mail."""
    return f"nbflow {figures.period.title.lower()}, {figures.period.label}: {headline(figures)}"


def spans(spread: Spread) -> tuple[str, str]:
    """p50 and p95; a dash if there are none."""
    p50, p95 = (seconds_text(value) if value is not None else NONE for value in (spread.p50, spread.p95))
    return p50, p95


def share(part: int, whole: int) -> str:
    """A part in percent; never 100 % while something is missing."""
    if not whole:
        return NONE
    percent = 100 * part / whole
    return f"{percent:.0f} %" if part == whole or percent < 99.5 else f"{min(percent, 99.9):.1f} %"


def cut(rows: int, shown: int) -> str:
    """What is said of a table that does not show all."""
    return f"{shown:,} of {rows:,} are shown; QueueClient has all."


def footer(made: str, zone: str) -> str:
    """What stands below."""
    return (
        f"Made by nbflow on {made}. Times are those of {zone}. What ended in the period is counted; durations are of "
        "what began and ended, however it ended. To end these mails: nbflow schedule remove NAME; nbflow schedules "
        "lists the names."
    )
