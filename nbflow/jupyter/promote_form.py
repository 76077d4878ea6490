"""A form in the notebook that promotes it, or a flow of it.

It shows the schedule in words, the next times, the parameters, and what changed.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbflow.analysis.parameters import check_parameters
from nbflow.authoring.notebook import NotebookFlow
from nbflow.deploying.preview import Preview, preview
from nbflow.deploying.promoting import promote
from nbflow.model.errors import CheckFailedError, NbflowError
from nbflow.queue import zones

if TYPE_CHECKING:
    from nbflow.authoring.flow import Flow
    from nbflow.deploying.deployments import Deployment

KINDS = {"at times (cron)": "cron", "every": "every", "each month": "monthly", "only when triggered": ""}
_HINTS = {"cron": "0 6 * * MON", "every": "15m", "monthly": "1@06:00", "": ""}
_NEXT = 5  # times that are shown
_MOST = 8  # and changes


def typed_parameters(flow: Flow[..., Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameters that were typed, in the types that a flow declares. Raises ParameterError."""
    where = flow.notebook.path if isinstance(flow, NotebookFlow) else f"flow {flow.spec.name!r}"
    return check_parameters(flow.spec.parameters, texts, where, texts=True) if texts else {}


class PromoteForm:
    """The form of a notebook or flow. `deployment` is what was made, once the button was pressed and all went well."""

    def __init__(self, load: Callable[[], Flow[..., Any]], given: Mapping[str, Any]) -> None:
        """`load`: the notebook as it is saved now, or the flow.

        `given`: what is filled in: name, cron, every, monthly, zone.
        """
        import ipywidgets as widgets

        self._load = load
        self._flow = load()
        self.deployment: Deployment | None = None
        kind = next((name for name in ("cron", "every", "monthly") if given.get(name)), "cron")
        layout = widgets.Layout(width="auto")
        style = {"description_width": "7em"}
        make = {"layout": layout, "style": style}
        self.name = widgets.Text(given.get("name") or self._flow.spec.name, description="name", **make)
        self.kind = widgets.Dropdown(options=KINDS, value=kind, description="runs", **make)
        self.when = widgets.Text(given.get(kind) or _HINTS[kind], description="when", continuous_update=True, **make)
        self.zone = widgets.Combobox(
            value=given.get("zone") or zones.local_name(), options=zones.names(), description="time zone", **make
        )
        self.parameters = {
            each.name: widgets.Text(
                str(given.get("parameters", {}).get(each.name, "")), placeholder=repr(each.default),
                description=each.name, tooltip=each.comment, **make,
            )
            for each in self._flow.spec.parameters
        }  # fmt: skip
        self.override = widgets.Text(
            placeholder="why it may be scheduled although its check fails; empty: it may not", description="override",
            **make,
        )  # fmt: skip
        self.button = widgets.Button(
            description="Check and promote", button_style="primary", icon="check",
            layout=widgets.Layout(width="auto", margin="0.4em 0 0.6em 7.6em", align_self="flex-start"),
        )  # fmt: skip
        self.told = widgets.HTML()
        self.outcome = widgets.HTML()
        self.widget = widgets.VBox(
            [self.name, self.kind, self.when, self.zone, *self.parameters.values(), self.override, self.told,
             self.button, self.outcome],
            layout=widgets.Layout(max_width="46em"),
        )  # fmt: skip
        self.kind.observe(self._other_kind, "value")
        for field in (self.name, self.when, self.zone, *self.parameters.values()):
            field.observe(lambda _: self._tell(), "value")
        self.button.on_click(lambda _: self.start())
        self._tell()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        """What the form says, for where there are no widgets."""
        return f"promote {self.name.value}: {self._preview().text()}"

    def start(self) -> threading.Thread:
        """What the button does: check and promote, beside the kernel's cells; returns the thread that does it."""
        self.button.disabled = True
        self.outcome.value = "<i>running it in a clean process …</i>"
        thread = threading.Thread(target=self._promote, name="nbflow-promote", daemon=True)
        thread.start()
        return thread

    def asked(self) -> dict[str, Any]:
        """The arguments for `promote` that the form says. Raises ParameterError."""
        texts = {name: field.value for name, field in self.parameters.items() if field.value.strip()}
        asked: dict[str, Any] = {"name": self.name.value.strip() or None}
        asked["parameters"] = typed_parameters(self._flow, texts)
        if self.kind.value:
            asked |= {self.kind.value: timing_text(self.kind.value, self.when.value), "zone": self.zone.value}
        return asked

    def _promote(self) -> None:
        try:
            self._flow = self._load()
            self.deployment = promote(self._flow, **self.asked(), override=self.override.value.strip() or None)
        except CheckFailedError as error:
            self.outcome.value = _box("It was not promoted", str(error), "#b3261e")
        except Exception as error:
            self.outcome.value = _box("It was not promoted", f"{error}", "#b3261e")
        else:
            made = self.deployment
            report = f": {made.report.text()}" if made.report is not None else ", as it was"
            self.outcome.value = _box(f"{made.name} is version {made.version}{report}", "", "#1b6e3c")
        finally:
            self.button.disabled = False
            self._tell()

    def _other_kind(self, change: Mapping[str, Any]) -> None:
        self.when.value = _HINTS[change["new"]]
        self.when.disabled = self.zone.disabled = not change["new"]
        self._tell()

    def _preview(self) -> Preview:
        try:
            return preview(self._flow, **self.asked())
        except NbflowError as error:
            return Preview(error=str(error))

    def _tell(self) -> None:
        found = self._preview()
        self.button.disabled = bool(found.error)
        if found.error:
            self.told.value = _box("", found.error, "#b3261e")
            return
        times = "".join(f"<li>{_time(at)}</li>" for at in found.times[:_NEXT])
        lines = [*found.changes[:_MOST], *([f"and {more} more"] if (more := len(found.changes) - _MOST) > 0 else [])]
        changes = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        self.told.value = (
            f"<div style='margin-left: 7.6em; line-height: 1.5'><b>{html.escape(found.when)}</b>"
            + (f"<ol style='margin: 0; padding-left: 1.5em'>{times}</ol>" if times else "")
            + f"<div>{html.escape(found.what)}</div>"
            + (f"<ul style='margin: 0; padding-left: 1.5em'>{changes}</ul>" if changes else "")
            + "</div>"
        )


def timing_text(kind: str, text: str) -> Any:
    """What people type for a kind of schedule, as `promote` takes it: "15@06:00" is a day of each month with a time."""
    if kind != "monthly":
        return text
    day, _, at = text.strip().partition("@")
    return {"day": int(day) if day.isdigit() else day, **({"at": at} if at else {})}


def _time(at: datetime) -> str:
    return html.escape(f"{at:%A %d %B %Y, %H:%M} {at:%Z}")


def _box(head: str, text: str, colour: str) -> str:
    body = html.escape(text).replace("\n", "<br>")
    title = f"<b>{html.escape(head)}</b><br>" if head else ""
    return f"<div style='margin-left: 7.6em; border-left: 3px solid {colour}; padding-left: 0.8em'>{title}{body}</div>"
