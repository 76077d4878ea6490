"""Graphs of steps and tasks: drawn as SVG, written as text, and alive in notebooks.

A sub-flow is a box that is laid out by itself; edges never cross its border. Where things go is found in `layers`, how
they are drawn in `graph_svg`, and what a page shows of a run that goes on in `graph_live`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nbflow.views import alive
from nbflow.views.graph_svg import Drawing, clean, lay_out
from nbflow.views.palette import MARK


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a task, or a sub-flow with what is in it. It comes after the nodes that it needs."""

    id: str
    label: str
    state: str = "planned"  # a state of model.states, or "planned" before any run
    detail: str = ""  # second line: duration, error, number of tries
    hint: str = ""  # shown when pointed at
    upstream: tuple[str, ...] = ()  # ids of nodes of the same level; others are left out of the picture
    inside: tuple[Node, ...] = ()  # what a sub-flow is made of
    progress: float | None = None  # 0 to 1, of a running one that tells


class Section(NamedTuple):
    """A longer text about a node."""

    heading: str
    text: str
    kind: str = "text"  # "text", "doc", "code" or "error"


class Details(NamedTuple):
    """What is shown of a node that is clicked on."""

    title: str
    state: str = "planned"
    facts: tuple[tuple[str, str], ...] = ()  # label, text
    sections: tuple[Section, ...] = ()


class Now(NamedTuple):
    """How a graph stands."""

    nodes: Sequence[Node]
    over: bool  # nothing will change any more


class Picture:
    """A graph that shows itself: in a notebook alive, elsewhere as SVG, as text where nothing else can be shown."""

    def __init__(
        self,
        nodes: Sequence[Node],
        title: str = "",
        *,
        details: Callable[[str], Details] | None = None,
        refresh: Callable[[], Now] | None = None,
    ) -> None:
        """`details`: tells about the node of an id. `refresh`: how the graph stands, for one that still changes."""
        self.nodes = tuple(nodes)
        self.title = title
        self.refresh = refresh
        self.folded: frozenset[str] = frozenset()
        self._details = details

    def svg(self, *, key: str | None = None) -> str:
        """The graph as SVG, without scripts, for light and dark ground. Edges that others imply are faint.

        `key`: the id that it has in a page, if any.
        """
        return self.drawing().svg(self.title, key=key)

    def drawing(self) -> Drawing:
        """The graph with everything in its place."""
        return lay_out(self.nodes, self.folded)

    def save(self, path: str | Path) -> Path:
        """Write the SVG to a file."""
        Path(path).write_text(self.svg(), encoding="utf-8")
        return Path(path)

    def text(self) -> str:
        """The graph for a terminal: every node with what it needs, indented by sub-flow."""
        lines = [clean(self.title)] if self.title else []
        _write(self.nodes, "", lines)
        return "\n".join(lines)

    def fold(self, *labels: str) -> Picture:
        """The same graph with these sub-flows folded, or with all if none is named; of one that goes on, too."""
        wanted = {node.id for node in _all(self.nodes) if node.inside and (not labels or node.label in labels)}
        same = Picture(self.nodes, self.title, details=self._details, refresh=self.refresh)
        same.folded = frozenset(wanted)
        return same

    def details(self, identity: str) -> Details:
        """What there is to know about the node of this id; as much as pointing at it tells, if nobody knows more."""
        if self._details is not None:
            return self._details(identity)
        node = next((node for node in _all(self.nodes) if node.id == identity), None)
        if node is None:
            return Details(identity)
        return Details(node.label, node.state, (), (Section("", node.hint, "doc"),) if node.hint else ())

    def still(self, key: str | None = None) -> dict[str, str]:
        """The mime bundle that needs no kernel."""
        return {"image/svg+xml": self.svg(key=key), "text/plain": self.text()}

    def _ipython_display_(self) -> None:
        if not alive.present() or not self.nodes:
            raise NotImplementedError  # IPython goes on with the still picture
        from nbflow.views.graph_live import LiveGraph

        LiveGraph(self).show()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.still()

    def __repr__(self) -> str:
        return self.text()


def _all(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.inside)


def _write(nodes: Iterable[Node], indent: str, lines: list[str]) -> None:
    labels = {node.id: clean(node.label) for node in nodes}
    for node in nodes:
        mark = MARK.get(node.state, "·")
        needs = ", ".join(labels[up] for up in dict.fromkeys(node.upstream) if up in labels)
        detail = f"  {clean(node.detail)}" if node.detail else ""
        lines.append(f"{indent}{mark} {labels[node.id]}{detail}" + (f"  ← {needs}" if needs else ""))
        _write(node.inside, indent + "    ", lines)
