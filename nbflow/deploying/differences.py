"""What changed between two versions: by cell, by file, and by what flows between the steps."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.analysis.cells import from_content
from nbflow.analysis.plan import make_plan
from nbflow.analysis.statements import analyse
from nbflow.deploying import versions
from nbflow.deploying.environments.capturing import Captured
from nbflow.model.errors import NbflowError

if TYPE_CHECKING:
    from nbflow.model.deployments import DeploymentVersionRecord
    from nbflow.values.store import ValueStore

ADDED, REMOVED, CHANGED, MOVED = "added", "removed", "changed", "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed."""

    what: str  # "cell 3", "helpers.py", "parameter rate", "package pandas", "edge load → train: rows"
    how: str  # added, removed, changed or moved
    lines: tuple[str, ...] = ()  # of a unified diff, or what it was and what it is

    def text(self) -> str:
        """For people, in lines."""
        return "\n".join([f"{self.what}: {self.how}", *(f"  {line}" for line in self.lines)])


@dataclass(frozen=True, slots=True)
class Differences:
    """All that changed between two versions."""

    old: int
    new: int
    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def text(self) -> str:
        """For people, in lines."""
        if not self.changes:
            return f"Versions {self.old} and {self.new} are the same."
        return "\n".join(change.text() for change in self.changes)

    def json(self) -> list[dict[str, Any]]:
        """For programs."""
        return [{"what": change.what, "how": change.how, "lines": list(change.lines)} for change in self.changes]

    def __repr__(self) -> str:
        return self.text()


def between(old: DeploymentVersionRecord, new: DeploymentVersionRecord, values: ValueStore) -> Differences:
    """Compare two versions of a deployment."""
    before, after = (versions.files_of(record, values) for record in (old, new))
    found = [*_files(before, after)]
    for name, one, other in (
        ("parameter", json.loads(old.parameters), json.loads(new.parameters)),
        ("option", json.loads(old.options), json.loads(new.options)),
        ("package", _packages(old), _packages(new)),
    ):
        found += _values(name, one, other)
    found += _values("", {"python": _python(old)}, {"python": _python(new)})
    found += _values("", {"folder": old.root}, {"folder": new.root})
    return Differences(old.number, new.number, tuple(found))


def _packages(record: DeploymentVersionRecord) -> dict[str, str]:
    """Those that the code itself imports, with versions."""
    return {
        package.name: package.version for package in Captured.from_json(record.environment).packages if package.direct
    }


def _python(record: DeploymentVersionRecord) -> str:
    return Captured.from_json(record.environment).python


def _values(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        told = f"{what} {name}".strip()
        if name not in new:
            yield Change(told, REMOVED, (f"- {old[name]!r}",))
        elif name not in old:
            yield Change(told, ADDED, (f"+ {new[name]!r}",))
        elif old[name] != new[name]:
            yield Change(told, CHANGED, (f"- {old[name]!r}", f"+ {new[name]!r}"))


def _files(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Iterator[Change]:
    notebooks = [[name for name in files if name.endswith(".ipynb")] for files in (old, new)]
    if all(len(names) == 1 for names in notebooks):  # also if the file was renamed
        yield from _notebooks(json.loads(old[notebooks[0][0]]), json.loads(new[notebooks[1][0]]))
    for name in sorted(old.keys() | new.keys()):
        if name.endswith(".ipynb") and all(notebooks):
            continue
        if old.get(name) == new.get(name):
            continue
        how = ADDED if name not in old else REMOVED if name not in new else CHANGED
        yield Change(name, how, _diff(old.get(name, b"").decode(), new.get(name, b"").decode()))


def _diff(old: str, new: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


# --- notebooks -------------------------------------------------------------------------------------------------------


def _notebooks(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    before, after = old["cells"], new["cells"]
    pairs = _matched(before, after)
    places = dict(pairs)
    for position, cell in enumerate(before):
        if position not in places:
            yield Change(_name(cell, position), REMOVED, tuple(f"- {line}" for line in cell["source"].splitlines()))
    moved = _moved(pairs)
    origin = {other: one for one, other in pairs}
    for position, cell in enumerate(after):
        if position not in origin:
            yield Change(_name(cell, position), ADDED, tuple(f"+ {line}" for line in cell["source"].splitlines()))
            continue
        earlier = before[origin[position]]
        if earlier["source"] != cell["source"]:
            yield Change(_name(cell, position), CHANGED, _diff(earlier["source"], cell["source"]))
        elif position in moved:
            yield Change(_name(cell, position), MOVED, (f"it was {_name(earlier, origin[position])}",))
    yield from _edges(old, new)


def _name(cell: Mapping[str, Any], position: int) -> str:
    return f"{'cell' if cell.get('cell_type') == 'code' else 'text'} {position + 1}"


def _matched(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Which cells are the same ones: by their ids, else by their sources, else by where they stand."""
    by_id = {cell["id"]: position for position, cell in enumerate(old) if "id" in cell}
    pairs = {by_id[cell["id"]]: position for position, cell in enumerate(new) if cell.get("id") in by_id}
    matcher = difflib.SequenceMatcher(None, [_key(cell) for cell in old], [_key(cell) for cell in new], autojunk=False)
    for kind, first, last, other, end in matcher.get_opcodes():
        if kind == "equal" or (kind == "replace" and last - first == end - other):
            for one, two in zip(range(first, last), range(other, end), strict=True):
                if one not in pairs and two not in pairs.values() and old[one]["cell_type"] == new[two]["cell_type"]:
                    pairs[one] = two
    return sorted(pairs.items())


def _key(cell: Mapping[str, Any]) -> tuple[str, str]:
    return str(cell.get("cell_type")), str(cell.get("source"))


def _moved(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """Of matched cells in the order of the old page, those that stand in another order on the new one."""
    order = [other for _, other in pairs]
    matcher = difflib.SequenceMatcher(None, order, sorted(order), autojunk=False)
    stay = {order[block.a + index] for block in matcher.get_matching_blocks() for index in range(block.size)}
    return set(order) - stay


def _edges(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    before, after = _edges_of(old), _edges_of(new)
    for edge in sorted(before - after):
        yield Change(f"edge {edge}", REMOVED)
    for edge in sorted(after - before):
        yield Change(f"edge {edge}", ADDED)


def _edges_of(content: dict[str, Any]) -> set[str]:
    """What each step takes from which other, in words."""
    try:
        cells = from_content(content, "notebook").cells
        plan = make_plan(cells, analyse(cells))
    except NbflowError:  # it told so when it was promoted
        return set()
    names = [planned.step.name for planned in plan.steps]
    return {
        f"{names[edge.source]} → {planned.step.name}: {edge.name}" for planned in plan.steps for edge in planned.takes
    }
