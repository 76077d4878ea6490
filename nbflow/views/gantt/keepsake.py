"""What a notebook keeps of a chart: pictures that stand still, in forms that every reader can show."""

from __future__ import annotations

import base64
from typing import Any

from nbflow.views.gantt import png, svg, terminal
from nbflow.views.gantt.live import Live
from nbflow.views.gantt.still import Still

_SVG = 15_000  # characters; it is in there three times, twice of them as base64
_WHOLE = 95_000  # characters of all forms
# (tracks, pixels in one), the finest first
_FORMS = ((40, 1), (40, 2), (24, 2), (24, 4), (12, 4), (6, 4), (3, 8), (1, 16))
_PNG_RATIOS = (2.0, 1.0)


def bundle(live: Live) -> dict[str, Any]:
    """Pictures by MIME type, together below 100 kB."""
    still, light = _fitting(live)
    dark = svg.darkened(still, light)
    found = {"text/html": _html(live, light, dark), "image/svg+xml": light, "text/plain": terminal.draw(still)}
    if png.available() and live.rows.count:
        for ratio in _PNG_RATIOS:
            encoded = base64.b64encode(png.draw(still, ratio=ratio)).decode("ascii")
            if sum(map(len, found.values())) + len(encoded) < _WHOLE:
                found["image/png"] = encoded
                break
    return found


def place(live: Live) -> dict[str, Any]:
    """A place for the live picture while those that stand still are being drawn."""
    title = live.look.title or "Gantt chart"
    return {"text/html": f'<div data-nbflow="{live.name}">{svg.escaped(title)}</div>', "text/plain": title}


def _fitting(live: Live) -> tuple[Still, str]:
    """The picture on light ground, with as many tracks and as fine as there is room for."""
    still = live.still(most=_FORMS[0][0])
    for most, pixel in _FORMS:
        if still.most != most:
            still = still.of(most)
        drawn = svg.draw(still, theme="light", pixel=pixel)
        if len(drawn) <= _SVG:
            break
    return still, drawn


def _html(live: Live, light: str, dark: str) -> str:
    """A place for the live picture, with an image in it that is seen until that comes.

    Readers who do not trust a notebook have styles and inlined SVG taken out of it, but images left in: they get the
    light one.
    """
    on_light, on_dark = (base64.b64encode(each.encode()).decode("ascii") for each in (light, dark))
    url, name = "data:image/svg+xml;base64,", live.name
    themes = ", ".join(f"{theme} .{name}" for theme in ("[data-jp-theme-light=false]", ".vscode-dark"))
    return (
        f'<div data-nbflow="{name}"><style>{themes}{{content:url("{url}{on_dark}")}}</style>'
        f'<img class="{name}" alt="{svg.escaped(live.look.title or "Gantt chart")}" src="{url}{on_light}"></div>'
    )
