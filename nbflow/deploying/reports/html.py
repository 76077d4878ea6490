"""A report as HTML for mail programs."""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.deploying.reports import style
from nbflow.deploying.reports.chart import Picture
from nbflow.deploying.reports.facts import CellFigures, CodeFigures, Figures, FlowFigures, Spread, Tally
from nbflow.deploying.reports.markup import Markup, join, tag
from nbflow.deploying.reports.words import cut, footer, headline, share, spans
from nbflow.queue import zones
from nbflow.views.words import one_line

MOST, MOST_STEPS = 15, 20  # rows of a table
_NAME = 60  # characters of a name


def report(figures: Figures, picture: Picture, image: str) -> str:
    """The report. `image`: where the picture of the chart is found, such as "cid:gantt"; "" for the chart as text."""
    period = figures.period
    body = join(
        tag("div", "nbflow", cls="faint", css=f"font-size:12px;letter-spacing:.06em;color:{style.FAINT}"),
        tag("h1", period.title, cls="ink", css=f"margin:2px 0 0;font-size:24px;line-height:1.25;color:{style.INK}"),
        tag("div", period.label, cls="faint", css=f"font-size:14px;color:{style.FAINT};margin-bottom:18px"),
        _tiles(figures),
        *(_nothing() if figures.empty else _sections(figures, picture, image)),
    )
    return str(style.page(f"{period.title}, {period.label}", headline(figures), body, _foot(figures)))


def _tiles(figures: Figures) -> Markup:
    tallies = [flow.runs for flow in figures.flows] or figures.functions
    failed, ended = sum(each.failed for each in tallies), sum(each.ended for each in tallies)
    good = sum(each.succeeded for each in tallies)
    return style.tiles(
        [
            ("runs ended" if figures.flows or not figures.functions else "jobs ended", f"{ended:,}", ""),
            ("succeeded", share(good, ended), "good" if ended and good == ended else ""),
            ("failed", f"{failed:,}", "bad" if failed else ""),
            ("open at the end", f"{sum(each.open for each in tallies):,}", ""),
        ]
    )


def _nothing() -> tuple[Markup, ...]:
    return (tag("p", "Nothing ran.", cls="ink", css=f"font-size:14px;color:{style.INK};margin:24px 0 0"),)


def _sections(figures: Figures, picture: Picture, image: str) -> tuple[Markup | None, ...]:
    return (
        _failures(figures),
        _flows(figures.flows),
        _chart(picture, image),
        _steps(figures.flows),
        _functions(figures.functions),
        _slowest(figures),
        _queues(figures.queues),
        _code(figures.code),
    )


def _failures(figures: Figures) -> Markup | None:
    if not figures.failures:
        return None
    rows = []
    for each in figures.failures[:MOST]:
        flow = f"{one_line(each.flow, _NAME)} · " if each.flow is not None else ""
        what = tag("b", flow, one_line(each.step or "the flow itself", _NAME))
        error = tag("div", style.code(each.error), css="margin:3px 0")
        first = style.faint(f"first at {figures.period.shown(each.at)}, ", style.code(each.run))
        rows.append((join(what, error, first), style.bad(f"{each.count:,}")))
    return join(style.heading("Failures"), style.table(("first error", "times"), rows), _more(figures.failures))


def _flows(flows: Sequence[FlowFigures]) -> Markup | None:
    if not flows:
        return None
    rows = []
    for flow in flows[:MOST]:
        runs = flow.runs
        name = join(
            tag("b", one_line(runs.name, _NAME)),
            style.shares(runs.states, runs.open),
            style.faint(style.state_words(runs.states, runs.open)),
        )
        rows.append((name, f"{runs.ended:,}", *spans(runs.durations), *spans(runs.waits)[1:]))
    about = "durations: half took no longer than p50, 95 of 100 no longer than p95"
    table = style.table(("flow", "runs", "p50", "p95", "wait p95"), rows, wide=(4,))
    return join(style.heading("Flows"), table, style.faint(about), _more(flows))


def _chart(picture: Picture, image: str) -> Markup | None:
    if not picture.text:
        return None
    if image:
        shown = tag(
            "img", src=image, alt=picture.summary, width=style.INNER,
            css=f"display:block;width:100%;max-width:{style.INNER}px;height:auto;border:1px solid {style.LINE};"
            "border-radius:6px;background:#ffffff",
        )  # fmt: skip
    else:
        shown = tag("pre", picture.text, cls="ink tile", css="font-size:9px;line-height:1.3;overflow:auto;padding:10px;"
                    f"background:{style.TILE};color:{style.INK};border-radius:6px;margin:0")  # fmt: skip
    return join(style.heading("When it ran"), shown)


def _steps(flows: Sequence[FlowFigures]) -> Markup | None:
    every = [(flow, step) for flow in flows for step in flow.steps]
    if not every:
        return None
    parts: list[Markup] = []
    left = MOST_STEPS
    for flow in flows:
        shown = flow.steps[:left]
        left -= len(shown)
        if shown:
            heads = (one_line(flow.name, _NAME), "done", "p50", "p95", "wait p95", "in all")
            rows = [_step(step) for step in shown]
            parts.append(tag("div", style.table(heads, rows, wide=(4, 5)), css="margin-bottom:14px"))
    return join(style.heading("Steps"), *parts, _more(every, MOST_STEPS))


def _step(step: Tally) -> tuple[object, ...]:
    told = []
    if step.ended != step.succeeded or step.open:
        told.append(style.state_words(step.states, step.open))
    told += [f"{step.retries:,} tries more"] if step.retries else []
    told += [f"{step.cached:,} cached"] if step.cached else []
    name = join(one_line(step.name, _NAME), style.faint(" · ".join(told)) if told else None)
    done = style.bad(f"{step.ended:,}") if step.failed else f"{step.ended:,}"
    total = spans(Spread(1, step.durations.total, None))[0] if step.durations.count else ""
    return name, done, *spans(step.durations), *spans(step.waits)[1:], total


def _functions(functions: Sequence[Tally]) -> Markup | None:
    if not functions:
        return None
    rows = [_step(each) for each in functions[:MOST]]
    table = style.table(("function", "done", "p50", "p95", "wait p95", "in all"), rows, wide=(4, 5))
    return join(style.heading("Jobs", "that belong to no flow"), table, _more(functions))


def _slowest(figures: Figures) -> Markup | None:
    if not figures.slowest:
        return None
    rows = []
    for each in figures.slowest:
        flow = f"{one_line(each.flow, _NAME)} · " if each.flow is not None else ""
        where = style.faint(f"{figures.period.shown(each.at)}, ", style.code(each.run))
        rows.append((join(flow, one_line(each.step, _NAME), where), *spans(Spread(1, each.longest, each.p95))))
    return join(style.heading("Slowest steps"), style.table(("step", "longest", "p95"), rows))


def _queues(queues: Sequence[Tally]) -> Markup | None:
    if not queues:
        return None
    rows = []
    for each in queues[:MOST]:
        longest = spans(Spread(1, each.waits.longest, None))[0]
        rows.append((one_line(each.name, _NAME), f"{each.ended:,}", *spans(each.waits), longest))
    return join(style.heading("Queues", "how long jobs waited for a worker"),
                style.table(("queue", "jobs", "p50", "p95", "longest"), rows), _more(queues))  # fmt: skip


def _code(found: Sequence[CodeFigures]) -> Markup | None:
    if not found:
        return None
    rows: list[tuple[object, ...]] = []
    for each in found[:MOST]:
        changed = "new" if each.added is None else f"+{each.added:,} \N{MINUS SIGN}{each.removed:,}"
        size = [f"{each.cells:,} cells"] if each.cells is not None else []
        size += [f"{each.lines:,} lines", *([f"{each.versions:,} versions ran"] if each.versions > 1 else [])]
        name = join(tag("b", one_line(each.flow, _NAME)), style.faint(", ".join(size)))
        total = spans(Spread(1, each.seconds, None))[0] if each.executions else ""
        rows.append((name, changed, f"{each.executions:,}", total))
        rows += [_cell(cell) for cell in each.slowest]
    table = style.table(("notebook or flow", "changed", "executions", "time"), rows)
    return join(style.heading("Code", "as it ran last; changed: lines since it ran before"), table, _more(found))


def _cell(cell: CellFigures) -> tuple[object, ...]:
    half = spans(cell.durations)[0]
    times = "once" if cell.durations.count == 1 else f"{cell.durations.count:,} times, half of them in {half} or less"
    name = tag("div", style.code(f"[{cell.number}] {cell.line}"), style.faint(times), css="padding-left:10px")
    return name, f"{cell.durations.count:,}", spans(Spread(1, cell.durations.total, None))[0]


def _more(rows: Sequence[object], shown: int = MOST) -> Markup | None:
    return style.faint(cut(len(rows), shown)) if len(rows) > shown else None


def _foot(figures: Figures) -> Markup:
    made = zones.in_zone(figures.made_at, figures.period.zone)
    notes = [tag("div", note, css="margin-bottom:6px") for note in figures.notes]
    return join(*notes, footer(f"{made:%Y-%m-%d %H:%M %Z}", figures.period.zone))
