"""What stands for a step while a pipeline is built: `>>` and `<<`, lists on either side, outcomes in brackets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbflow.authoring.declarative.references import write


class Node:
    """One step of a pipeline that is being built. `a >> b`: b depends on a; `node["bad"]`: on this outcome of it."""

    def __init__(self, name: str, data: dict[str, Any], outcome: str | None = None) -> None:
        self.name = name
        self._data = data
        self._outcome = outcome

    @property
    def reference(self) -> str:
        """What its result is written as in inputs and settings."""
        return write(self.name)

    def out(self, *path: str) -> str:
        """A part of its result, for inputs and settings."""
        return write(self.name, *map(str, path))

    def __getitem__(self, outcome: str) -> Node:
        """The step with one of its outcomes: `check["bad"] >> notify`."""
        return Node(self.name, self._data, outcome)

    def __iter__(self) -> Any:
        raise TypeError(f"step {self.name!r} is no list; what it returns is known when it has run.")

    def after(self, other: Node) -> None:
        """Depend on another step, or on one of its outcomes."""
        given = self._data.get("depends_on") or {}
        if isinstance(given, str):
            given = [given]
        found: dict[str, list[str]] = {}
        for name in given:
            said = given[name] if isinstance(given, dict) else None
            found[name] = [said] if isinstance(said, str) else list(said or ())
        mine = found.setdefault(other.name, [])
        if other._outcome is not None and other._outcome not in mine:
            mine.append(other._outcome)
        self._data["depends_on"] = found

    def after_what(self, said: Any) -> None:
        """Depend on a step, on the step of a name, or on the steps of {step or name: outcomes}."""
        if isinstance(said, Mapping):
            for key, outcomes in said.items():
                name = key.name if isinstance(key, Node) else str(key)
                for outcome in [outcomes] if isinstance(outcomes, str) or outcomes is None else outcomes or [None]:
                    self.after(Node(name, {}, outcome))
        else:
            self.after(said if isinstance(said, Node) else Node(str(said), {}))

    def __rshift__(self, other: Any) -> Any:
        """All of `other` come after this."""
        return Nodes([self]) >> other

    def __lshift__(self, other: Any) -> Any:
        """This comes after all of `other`."""
        return Nodes([self]) << other

    def __rrshift__(self, other: Any) -> Node:
        """This comes after the steps of a list."""
        Nodes(other) >> self
        return self

    def __rlshift__(self, other: Any) -> Node:
        """The steps of a list come after this."""
        Nodes(other) << self
        return self

    def __repr__(self) -> str:
        return f"<step {self.name!r}{f' [{self._outcome}]' if self._outcome is not None else ''}>"


class Nodes(tuple[Node, ...]):
    """Several steps as one side of an arrow; with several on the other, each depends on each."""

    def __new__(cls, nodes: Iterable[Node]) -> Nodes:
        """Raises TypeError if there is anything but steps among them."""
        found = tuple(nodes)
        for each in found:
            if not isinstance(each, Node):
                raise TypeError(f">> stands between steps of a pipeline and lists of them, and {each!r} is none.")
        return super().__new__(cls, found)

    def __rshift__(self, other: Any) -> Any:
        """All of `other` come after all of these; returns `other`, so that arrows can go on."""
        targets = Nodes([other] if isinstance(other, Node) else other)
        for target in targets:
            for source in self:
                target.after(source)
        return other if isinstance(other, Node) else targets

    def __lshift__(self, other: Any) -> Any:
        """All of these come after all of `other`; returns `other`."""
        sources = Nodes([other] if isinstance(other, Node) else other)
        sources >> self
        return other if isinstance(other, Node) else sources

    def __rrshift__(self, other: Any) -> Nodes:
        """These come after the steps of a list."""
        Nodes(other) >> self
        return self
