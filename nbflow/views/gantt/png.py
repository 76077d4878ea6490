"""The chart as PNG, where Pillow is installed: for PDFs and mails, which show no SVG. As the SVG, on light ground."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nbflow.views.gantt.columns import GanttError
from nbflow.views.gantt.look import legend, on_colour
from nbflow.views.gantt.still import AXIS, BAR, CHARACTER, LANE, LINE, PAD, Still, stretches
from nbflow.views.gantt.svg import bar_text
from nbflow.views.words import one_line

_INK, _FAINT, _GRID, _WAITED, _WAITING = "#1c1c1c", "#6a6a6a", "#e3e3e3", "#979ba1", "#56b4e9"


def available() -> bool:
    """Whether there is what draws a PNG."""
    return find_spec("PIL") is not None


def draw(still: Still, *, ratio: float = 2.0) -> bytes:
    """The picture with `ratio` pixels of the image to one of the picture. Raises GanttError without Pillow."""
    if not available():
        raise GanttError("A PNG needs Pillow: pip install 'nbflow[pictures]'. SVG and HTML need nothing.")
    pen = _Pen(still.width, still.bottom + 30 + 15 * len(still.notes), ratio)
    if still.look.title:
        pen.text(12, 18, one_line(still.look.title, 110), 13, bold=True)
    pen.text(12, still.top - 8, still.summary, 11, _FAINT)
    if still.rows.count:
        _axis(pen, still)
        _bars(pen, still)
        _legend(pen, still)
    for number, note in enumerate(still.notes):
        pen.text(12, still.bottom + 40 + 15 * number, note, 11, _FAINT)
    return pen.png()


def _axis(pen: _Pen, still: Still) -> None:
    pen.text(12, still.top + 15, one_line(still.beginning, int(still.gutter / 5.6)), 11, _FAINT)
    for at, text in still.ticks:
        x = still.gutter + still.scale.x(at)
        pen.box(x, still.top + AXIS, 0.5, still.bottom - still.top - AXIS, _GRID)
        half = len(text) * CHARACTER / 2
        if x - half > still.gutter - 4 and x + half < still.width:
            pen.text(x, still.top + 15, text, 11, middle=True)
    for lane, y in still.places():
        pen.box(0, y, still.width, 0.5, _GRID)
        pen.text(12, y + PAD + 13, one_line(lane.name, int((still.gutter - 14) / CHARACTER)) or "(empty)", 11)
    pen.box(0, still.bottom, still.width, 0.5, _GRID)


def _bars(pen: _Pen, still: Still) -> None:
    done, waiting = still.waits
    for number, top in enumerate(still.tracks):
        pen.runs(done[number], still.gutter, top + LANE - LINE - 1, LINE, _WAITED)
        pen.runs(waiting[number], still.gutter, top + LANE - LINE - 1, LINE, _WAITING)
        if not still.single:
            for rank in sorted(set(still.states[number].tolist()) - {-1}):
                colour = still.look.colour(still.look.order[rank])
                pen.runs(still.states[number] == rank, still.gutter, top + 1, BAR, colour)
    for bar in still.bars() if still.single else ():
        colour = still.look.colour(bar.state)
        if bar.framed:
            pen.box(bar.x - 1, bar.y, bar.width + 2, BAR + 2, _INK)
        pen.box(bar.x, bar.y + 1, bar.width, BAR, colour)
        pen.text(bar.x + 4, bar.y + 10.5, bar_text(bar.state, bar.label, bar.width), 10, on_colour(colour))
    for mark in still.marks():
        pen.diamond(mark.x, mark.y + 7, still.look.colour(mark.state))


def _legend(pen: _Pen, still: Still) -> None:
    x, y = 12.0, still.bottom + 22
    for state, count in still.look.counts(still.rows):
        if state:
            pen.box(x, y - 9, 10, 10, still.look.colour(state))
            x += 32 + pen.text(x + 15, y, f"{legend(state)} {count:,}", 11)
    if (still.rows["wait"] > 0).any():
        pen.box(x, y - 5, 10, 3, _WAITED)
        pen.text(x + 15, y, "waiting", 11)


class _Pen:
    """Boxes and texts on an image, in the pixels of the frame."""

    def __init__(self, width: float, height: float, ratio: float) -> None:
        from PIL import Image, ImageDraw

        self._ratio = ratio
        self._image = Image.new("RGB", (round(width * ratio), round(height * ratio)), "#ffffff")
        self._draw = ImageDraw.Draw(self._image)
        self._fonts: dict[tuple[float, bool], Any] = {}

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """A rectangle, at least one pixel in each direction."""
        left, top = round(x * self._ratio), round(y * self._ratio)
        right, bottom = round((x + width) * self._ratio) - 1, round((y + height) * self._ratio) - 1
        self._draw.rectangle((left, top, max(left, right), max(top, bottom)), fill=fill)

    def runs(self, pixels: Any, left: float, y: float, height: float, fill: str) -> None:
        """A rectangle for each stretch of pixels that is set."""
        for begin, end in stretches(pixels):
            self.box(left + begin, y, end - begin, height, fill)

    def diamond(self, x: float, y: float, fill: str) -> None:
        """The mark of a contradiction."""
        corners = ((x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y))
        self._draw.polygon([(a * self._ratio, b * self._ratio) for a, b in corners], fill=fill, outline=_INK)

    def text(
        self, x: float, y: float, text: str, size: float, fill: str = _INK, *, bold: bool = False, middle: bool = False
    ) -> float:
        """A text on a base line; its width."""
        font = self._font(size, bold)
        spot = (x * self._ratio, y * self._ratio)
        try:
            self._draw.text(spot, text, fill=fill, font=font, anchor="ms" if middle else "ls")
        except UnicodeEncodeError:  # the font of an old Pillow
            text = text.encode("ascii", "replace").decode()
            self._draw.text(spot, text, fill=fill, font=font)
        return float(self._draw.textlength(text, font=font)) / self._ratio

    def png(self) -> bytes:
        """The image, with as few colours as it has."""
        from PIL import Image

        out = io.BytesIO()
        self._image.quantize(64, method=Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
        return out.getvalue()

    def _font(self, size: float, bold: bool) -> Any:
        from PIL import ImageFont

        if (size, bold) not in self._fonts:
            path = _font_file(bold)
            pixels = round(size * self._ratio)
            self._fonts[size, bold] = (
                ImageFont.truetype(str(path), pixels * 0.92) if path else ImageFont.load_default(pixels)
            )
        return self._fonts[size, bold]


def _font_file(bold: bool) -> Path | None:
    """A font that has the marks of states and most scripts: matplotlib brings one along."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    path = folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return path if path.exists() else None
