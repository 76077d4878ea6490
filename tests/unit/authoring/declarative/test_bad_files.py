"""The corpus of bad files: every mistake is found in one pass, with its place."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow import from_yaml
from nbflow.authoring.declarative.reading import mistakes
from nbflow.authoring.declarative.structure import published
from nbflow.authoring.declarative.yaml_files import definition_of
from nbflow.model.errors import DefinitionError
from tests.cases import flows

FILES = sorted(Path(flows.__file__).parent.glob("*.yaml"))
EXPECTED = re.compile(r"^# (\d+):(\d+): (.*)$", re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_mistake_of_a_file_is_told_with_line_and_column(file: Path) -> None:
    expected = [(int(line), int(column), text) for line, column, text in EXPECTED.findall(file.read_text())]
    with pytest.raises(DefinitionError) as raised:
        from_yaml(file)
    found = [(each.place.line, each.place.column, each.message) for each in mistakes(raised.value)]
    told = "\n".join(f"{line}:{column}: {message}" for line, column, message in found)
    for line, column, text in expected:
        assert any(place == (line, column) and text in message for *place_, message in found
                   if (place := tuple(place_))), f"{line}:{column}: {text}\nnot in\n{told}"  # fmt: skip
    if expected:
        assert len(found) == len(expected), told


def test_aliases_that_blow_up_are_stopped() -> None:
    file = next(file for file in FILES if file.stem == "aliases")
    with pytest.raises(DefinitionError, match="aliases blow the file up to more than 100,000 values"):
        from_yaml(file)


def test_nothing_of_a_bad_file_is_executed(tmp_path: Path) -> None:
    file = next(file for file in FILES if file.stem == "tags")
    code = f"import nbflow, contextlib\nwith contextlib.suppress(nbflow.NbflowError): nbflow.from_yaml({str(file)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pwned" not in done.stdout


def test_mistakes_are_found_without_importing_what_the_steps_call() -> None:
    text = "name: a\nsteps:\n  a:\n    function: no.such:thing\n    depends_on: b\n"
    with pytest.raises(DefinitionError) as raised:
        definition_of(text, "a.yaml", imports=False)
    assert [each.message.partition(",")[0] for each in mistakes(raised.value)] == ["step 'a' depends on 'b'"]


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DefinitionError, match=r"byte 6 is no UTF-8"):
        from_yaml(tmp_path / "bad.yaml")


def test_the_published_schema_is_a_schema() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(published())
    assert json.dumps(published())
