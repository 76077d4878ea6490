"""The mail that tells of an incident."""

from __future__ import annotations

import json
from collections.abc import Iterator

from nbflow.deploying.reports import style
from nbflow.deploying.reports.alerts import Alert
from nbflow.deploying.reports.markup import Markup, join, tag
from nbflow.deploying.reports.messages import Content
from nbflow.model.deployments import IncidentRecord
from nbflow.queue import zones
from nbflow.views.words import one_line, plain, seconds_text

_LONGEST_ERROR = 4000  # characters
_BADGES = {
    "began": ("Failed", "#d55e00"), "late": ("Late", "#8a5a00"), "ended": ("Recovered", "#009e73"),
    "passed": ("Failed and recovered", "#009e73"), "held": ("Held back", "#8a5a00"), "test": ("Test", "#0072b2"),
}  # fmt: skip


def content(alert: Alert, incident: IncidentRecord, moment: str, line: str) -> Content:
    """What stands in it; `line` is its subject."""
    facts = list(_facts(alert, incident, moment))
    error = plain(json.loads(incident.details).get("error") or "")[:_LONGEST_ERROR]
    commands = list(_commands(alert, incident, moment))
    late = moment == "began" and incident.kind == "late"
    title = line.removeprefix("nbflow: ")
    shown = _html(_BADGES["late" if late else moment], title, facts, [error, "\n".join(commands)], _foot(alert))
    return Content(_text(line, facts, error, commands, _foot(alert)), shown)


def _facts(alert: Alert, incident: IncidentRecord, moment: str) -> Iterator[tuple[str, str]]:
    told = json.loads(incident.details)

    def at(seconds: float) -> str:
        return f"{zones.in_zone(seconds, alert.zone):%Y-%m-%d %H:%M:%S %Z}"

    if moment == "test":
        yield "alert", f"{alert.name}, for {alert.about}"
        return
    if moment == "held":
        yield "alert", alert.name
        yield "limit", f"{told['most']:,} incidents in an hour; further ones are on record and not told one by one"
        yield "hour", f"that began at {at(incident.began_at)}"
        return
    if incident.kind == "failed":
        yield "flow" if alert.deployment is None else "deployment", incident.subject
    else:
        yield "schedule", incident.subject
        yield "due", at(told["due"])
        yield "late", f"not {told['what']} {seconds_text(told['limit'])} after that"
    yield "since", at(incident.began_at)
    if incident.run is not None:
        yield "run", incident.run
    if told.get("error_type"):
        yield "error", str(told["error_type"])
    if incident.ended_at is not None:
        yield "recovered", f"{at(incident.ended_at)}, after {seconds_text(incident.ended_at - incident.began_at)}"
        yield "failures" if incident.kind == "failed" else "late times", f"{told.get('failures', 1):,}"
    if incident.ended_by is not None:
        yield "recovered by", f"run {incident.ended_by}"


def _commands(alert: Alert, incident: IncidentRecord, moment: str) -> Iterator[str]:
    if moment == "held":
        yield "nbflow alert incidents"
    elif moment == "began" and incident.run is not None:
        yield f"nbflow show {incident.run}"
        yield f"nbflow logs {incident.run}"
        if incident.kind == "failed":
            yield f"nbflow resume {incident.run}"
    elif moment == "began":
        yield f"nbflow schedule history {incident.subject}"


def _foot(alert: Alert) -> str:
    return (
        f"Told once by alert {alert.name!r} for {alert.about}; again when the next run succeeds. To end this: "
        f"nbflow alert remove {alert.name}"
    )


def _text(line: str, facts: list[tuple[str, str]], error: str, commands: list[str], foot: str) -> str:
    width = max(len(name) for name, _ in facts)
    lines = [line, "", *(f"{name:<{width}}  {one_line(value, 300)}" for name, value in facts)]
    lines += ["", *(f"    {each}" for each in error.splitlines())] if error else []
    lines += ["", *(f"  {command}" for command in commands)] if commands else []
    return "\n".join([*lines, "", "-- ", foot]) + "\n"


def _html(badge: tuple[str, str], title: str, facts: list[tuple[str, str]], blocks: list[str], foot: str) -> str:
    word, colour = badge
    look = f"background:{colour};color:#ffffff;border-radius:5px;padding:3px 10px;font-size:12px;font-weight:650"
    rows = [
        tag(
            "tr",
            tag("td", name, cls="faint", css=f"font-size:13px;color:{style.FAINT};padding:4px 18px 4px 0;"
                "vertical-align:top;white-space:nowrap"),
            tag("td", one_line(value, 300), cls="ink", css=f"font-size:13px;color:{style.INK};padding:4px 0"),
        )
        for name, value in facts
    ]  # fmt: skip
    body = join(
        tag("span", word, css=f"display:inline-block;{look}"),
        tag("h1", title, cls="ink", css=f"margin:12px 0 14px;font-size:19px;line-height:1.35;color:{style.INK};"
            "word-break:break-word"),
        tag("table", *rows, role="presentation", cellpadding=0, cellspacing=0),
        *[_block(text) for text in blocks if text],
    )  # fmt: skip
    return str(style.page(title, title, body, join(foot)))


def _block(text: str) -> Markup:
    return tag(
        "pre", text, cls="tile ink",
        css=f"margin:16px 0 0;padding:12px 14px;background:{style.TILE};color:{style.INK};border-radius:8px;"
        "font-size:12px;line-height:1.5;white-space:pre-wrap;word-break:break-word;"
        "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace",
    )  # fmt: skip
