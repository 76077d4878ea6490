"""A report as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbflow.deploying.reports.chart import Picture
from nbflow.deploying.reports.facts import CodeFigures, Figures, FlowFigures, Spread, Tally
from nbflow.deploying.reports.style import state_words
from nbflow.deploying.reports.words import cut, footer, headline, spans
from nbflow.queue import zones
from nbflow.views.words import one_line

MOST = 25  # rows of a table
_NAME = 36  # characters of a name


def report(figures: Figures, picture: Picture) -> str:
    """The report, in lines of less than 80 characters but for errors and the chart."""
    period = figures.period
    lines = [period.title, period.label, "", headline(figures).capitalize() + "."]
    for section in (
        _failures(figures), _flows(figures.flows), _chart(picture), _steps(figures.flows),
        _functions(figures.functions), _slowest(figures), _queues(figures.queues), _code(figures.code),
    ):  # fmt: skip
        lines += section
    made = zones.in_zone(figures.made_at, period.zone)
    lines += ["", "-- ", *figures.notes, footer(f"{made:%Y-%m-%d %H:%M %Z}", period.zone)]
    return "\n".join(line.rstrip() if line != "-- " else line for line in lines) + "\n"


def _failures(figures: Figures) -> Iterator[str]:
    if figures.failures:
        yield from _heading("Failures")
    for each in figures.failures[:MOST]:
        of = f"{one_line(each.flow, _NAME)} · " if each.flow is not None else ""
        yield f"{each.count:>5,} \N{MULTIPLICATION SIGN} {of}{one_line(each.step or 'the flow itself', _NAME)}"
        yield f"        {each.error}"
        yield f"        first at {figures.period.shown(each.at)}, {each.run}"
    yield from _more(figures.failures)


def _flows(flows: Sequence[FlowFigures]) -> Iterator[str]:
    if not flows:
        return
    yield from _heading("Flows")
    rows = [(one_line(flow.name, _NAME), f"{flow.runs.ended:,}", *spans(flow.runs.durations),
             spans(flow.runs.waits)[1]) for flow in flows[:MOST]]  # fmt: skip
    told = [state_words(flow.runs.states, flow.runs.open) for flow in flows[:MOST]]
    yield from _table(("flow", "runs", "p50", "p95", "wait p95"), rows, told)
    yield from _more(flows)


def _chart(picture: Picture) -> Iterator[str]:
    if picture.text:
        yield from _heading("When it ran")
        yield from picture.text.splitlines()


def _steps(flows: Sequence[FlowFigures]) -> Iterator[str]:
    every = [(flow, step) for flow in flows for step in flow.steps]
    if not every:
        return
    yield from _heading("Steps")
    left = MOST
    for flow in flows:
        shown = flow.steps[:left]
        left -= len(shown)
        if shown:
            yield from _tallies(one_line(flow.name, _NAME), shown)
    yield from _more(every)


def _functions(functions: Sequence[Tally]) -> Iterator[str]:
    if functions:
        yield from _heading("Jobs that belong to no flow")
        yield from _tallies("function", functions[:MOST])
        yield from _more(functions)


def _tallies(name: str, tallies: Sequence[Tally]) -> Iterator[str]:
    rows, told = [], []
    for each in tallies:
        total = spans(Spread(1, each.durations.total, None))[0] if each.durations.count else ""
        rows.append(
            (one_line(each.name, _NAME), f"{each.ended:,}", *spans(each.durations), spans(each.waits)[1], total)
        )
        parts = [state_words(each.states, each.open)] if each.ended != each.succeeded or each.open else []
        parts += [f"{each.retries:,} tries more"] if each.retries else []
        parts += [f"{each.cached:,} cached"] if each.cached else []
        told.append(" · ".join(parts))
    yield from _table((name, "done", "p50", "p95", "wait p95", "in all"), rows, told)


def _slowest(figures: Figures) -> Iterator[str]:
    if not figures.slowest:
        return
    yield from _heading("Slowest steps")
    rows, told = [], []
    for each in figures.slowest:
        of = f"{each.flow} · " if each.flow is not None else ""
        rows.append((one_line(f"{of}{each.step}", _NAME + 12), *spans(Spread(1, each.longest, each.p95))))
        told.append(f"{figures.period.shown(each.at)}, {each.run}")
    yield from _table(("step", "longest", "p95"), rows, told)


def _queues(queues: Sequence[Tally]) -> Iterator[str]:
    if not queues:
        return
    yield from _heading("Queues: how long jobs waited for a worker")
    rows = [(one_line(each.name, _NAME), f"{each.ended:,}", *spans(each.waits),
             spans(Spread(1, each.waits.longest, None))[0]) for each in queues[:MOST]]  # fmt: skip
    yield from _table(("queue", "jobs", "p50", "p95", "longest"), rows)
    yield from _more(queues)


def _code(found: Sequence[CodeFigures]) -> Iterator[str]:
    if not found:
        return
    yield from _heading("Code as it ran last; changed: lines since it ran before")
    rows: list[Sequence[str]] = []
    for each in found[:MOST]:
        changed = "new" if each.added is None else f"+{each.added:,} -{each.removed:,}"
        cells = f"{each.cells:,}" if each.cells is not None else "-"
        total = spans(Spread(1, each.seconds, None))[0] if each.executions else ""
        rows.append((one_line(each.flow, _NAME), cells, f"{each.lines:,}", changed, f"{each.executions:,}", total))
        for cell in each.slowest:
            took = spans(Spread(1, cell.durations.total, None))[0]
            line = one_line(f"  [{cell.number}] {cell.line}", _NAME)
            rows.append((f"  {line}", "", "", f"p50 {spans(cell.durations)[0]}", f"{cell.durations.count:,}", took))
    yield from _table(("notebook or flow", "cells", "lines", "changed", "executed", "time"), rows)
    yield from _more(found)


def _heading(text: str) -> Iterator[str]:
    yield from ("", "", text, "=" * len(text))


def _more(rows: Sequence[object]) -> Iterator[str]:
    if len(rows) > MOST:
        yield cut(len(rows), MOST)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], told: Sequence[str] = ()) -> Iterator[str]:
    """Columns of texts; `told`: what stands below each row."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    yield ""
    for number, row in enumerate((headings, *rows)):
        first = row[0].ljust(widths[0])
        yield "  ".join([first, *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))])
        if number and told and told[number - 1]:
            yield f"    {told[number - 1]}"
