"""The folder `NAME.frozen` beside a notebook: `manifest.json` and one file per step.

The manifest, format 1:

    format, version   "nbflow-frozen", 1
    notebook          file name of the notebook, in the folder above
    folder            working folder of the steps, relative to the notebook
    injected          the cell that set parameters when it was frozen, or null
    python, nbflow    versions that froze it; `packages`: those that the notebook imports
    steps             for each: name, file, sha256 of the file, parts (steps of the plan that it is made of), cells
                      (numbers), source (digest of the cells), takes (names that the plan lets it take), inputs and
                      outputs (name → type and bytes), stuck (outputs that cannot be kept → why), seconds
    left_out          name → why a step was not frozen

A step's file is a value in nbflow's stored form (`values.frame`, form 2): a dict of plain data, in which the values of
the notebook are pickles, opened in the process that replays the step and nowhere else.

Files are not signed: the key of a signature would have to be on each colleague's machine. Their digests in the manifest
tell damage, not malice. A fixture is code, to be trusted as much as the notebook beside it, which a test runs anyway.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbflow.authoring.cells.records import CellValues, Piece
from nbflow.model.errors import NotebookError, SignatureError
from nbflow.values import codec, frame

FORMAT, VERSION = "nbflow-frozen", 1
MANIFEST = "manifest.json"
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class FrozenStep:
    """What the manifest says of one step."""

    name: str
    file: str
    sha256: str
    parts: list[str]  # names of the planned steps that it is made of; several if they had to be run as one
    cells: list[int]
    source: str  # digest of the cells' source
    takes: list[str]  # as planned; what it really took is in `inputs`
    inputs: dict[str, dict[str, Any]]  # name → type, bytes
    outputs: dict[str, dict[str, Any]]
    stuck: dict[str, str] = field(default_factory=dict)  # outputs that cannot be kept → why
    seconds: float | None = None


@dataclass(slots=True)
class Manifest:
    """What is frozen of a notebook."""

    notebook: str
    folder: str
    injected: str | None
    python: str
    nbflow: str
    packages: dict[str, str]
    steps: list[FrozenStep] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # name of a step → why


@dataclass(slots=True)
class Recorded:
    """The content of a step's file."""

    inputs: CellValues
    outputs: CellValues
    settings: dict[str, Any] | None  # those that travel; see `settings`
    history: bool
    shown: list[Any]  # for each cell its outputs in a form that can be compared


def frozen_folder(notebook: str | Path) -> Path:
    """Where a notebook's frozen steps lie."""
    path = Path(notebook)
    return path.with_name(f"{path.stem}.frozen")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises NotebookError if there is none, or one that this nbflow cannot read.
    """
    name = folder.name.removesuffix(".frozen")
    again = f"Freeze the notebook: nbflow test {folder.parent / name}.ipynb --freeze"
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotebookError(f"Nothing is frozen of {name}.ipynb: there is no {folder / MANIFEST}. {again}") from error
    except (OSError, ValueError) as error:
        raise NotebookError(f"{folder / MANIFEST} cannot be read: {error}. {again}") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise NotebookError(f"{folder / MANIFEST} is no manifest of frozen steps. {again}")
    version = content.pop("version", None)
    if version != VERSION:
        raise NotebookError(
            f"{folder / MANIFEST} is of format {version}, and this nbflow reads format {VERSION}. Use the nbflow that "
            f"froze it ({content.get('nbflow')}), or freeze again."
        )
    try:
        return Manifest(**{**content, "steps": [FrozenStep(**step) for step in content["steps"]]})
    except (KeyError, TypeError) as error:
        raise NotebookError(f"{folder / MANIFEST} is damaged: {error}. {again}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, at once; files of steps that it does not name are removed."""
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    half = folder / f".{MANIFEST}.new"
    half.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(half, folder / MANIFEST)
    # Without this, git on some systems would change the ends of lines in pickles.
    (folder / ".gitattributes").write_text("*.step binary\n", encoding="utf-8")
    kept = {step.file for step in manifest.steps}
    for path in folder.glob("*.step"):
        if path.name not in kept:
            path.unlink()


def write_step(folder: Path, name: str, recorded: Recorded) -> tuple[str, str]:
    """Write the file of a step; returns its name and its digest. Raises UnpicklableError."""
    content = {
        "inputs": _plain(recorded.inputs),
        "outputs": _plain(recorded.outputs),
        "settings": recorded.settings,
        "history": recorded.history,
        "shown": recorded.shown,
    }
    payload = codec.encode(content, what=f"step {name}")
    head = frame.head(len(payload.stream), payload.buffers, [frame.buffer_digest(part) for part in payload.buffers])
    data = b"".join(frame.parts(head, payload.stream, payload.buffers))
    digest = hashlib.sha256(data).hexdigest()
    # The digest keeps steps apart whose names differ in what cannot be in a file name.
    file = f"{_UNSAFE.sub('-', name)[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}.step"
    (folder / file).write_bytes(data)
    return file, digest


def read_step(folder: Path, step: FrozenStep) -> Recorded:
    """The content of a step's file; the notebook's values in it stay bytes.

    Raises SignatureError if it is not the file that the manifest was written with.
    """
    again = "Get it from where it came (git lfs pull?), or freeze again."
    try:
        data = (folder / step.file).read_bytes()
    except OSError as error:
        raise SignatureError(f"{folder / step.file} cannot be read: {error.strerror}. {again}") from error
    if hashlib.sha256(data).hexdigest() != step.sha256:
        raise SignatureError(f"{folder / step.file} was changed since the step was frozen. {again}")
    found = frame.split(memoryview(data))
    content = codec.decode(found.stream, found.buffers)
    return Recorded(
        _values(content["inputs"]), _values(content["outputs"]), content["settings"], content["history"],
        content["shown"],
    )  # fmt: skip


def _plain(values: CellValues) -> dict[str, Any]:
    import pickle

    pieces = [
        (piece.names, bytes(piece.stream), [pickle.PickleBuffer(part) for part in piece.buffers])
        for piece in values.pieces
    ]
    return {"pieces": pieces, "stuck": dict(values.stuck), "absent": list(values.absent), "random": values.random}


def _values(plain: Mapping[str, Any]) -> CellValues:
    pieces: Sequence[Any] = plain["pieces"]
    return CellValues(
        tuple(Piece(tuple(names), stream, list(buffers)) for names, stream, buffers in pieces),
        stuck=dict(plain["stuck"]),
        absent=tuple(plain["absent"]),
        random=plain["random"],
    )
