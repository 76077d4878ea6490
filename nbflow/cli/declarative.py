"""`nbflow validate` and `nbflow approve`: flows in YAML, and the gates in them."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbflow.cli.codes import USAGE
from nbflow.cli.output import Db, Json, RunId, console, print_json
from nbflow.model.errors import ConfigError, DefinitionError, FlowNotFoundError, UnknownStepError
from nbflow.views.words import plain

if TYPE_CHECKING:
    from nbflow.client.run import Run


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("validate")(validate)
    app.command("approve")(approve)


def validate(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Flows in YAML.")] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of such files, for editors, and end.")
    ] = False,
    imports: Annotated[
        bool,
        typer.Option("--imports/--no-imports", help="Whether functions are looked up, and what they take checked."),
    ] = True,
    fakes: Annotated[
        list[str] | None,
        typer.Option(
            "--fake", metavar="STEP=VALUE", help="Go the way of a run in which this step gives that; no step runs."
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="With --fake: set a parameter.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find every mistake of a flow in YAML, each with file, line and column, without running anything.

    nbflow validate training.yaml

    nbflow validate training.yaml --fake check=bad -p source=data.csv

    nbflow validate --schema > flow.schema.json

    Exits with 0 if there is none, 2 if there are mistakes.
    """
    if schema:
        from nbflow.authoring.declarative.structure import schema as known

        print_json(known())
        return
    if not files:
        raise ConfigError("name a file to validate: nbflow validate flow.yaml")
    found = {str(file): _mistakes(file, imports=imports) for file in files}
    mistakes = [each for every in found.values() for each in every]
    if as_json:
        print_json([{"file": name, "valid": not every, "mistakes": every} for name, every in found.items()])
    else:
        for each in mistakes:
            console().print(plain(_line(each)), markup=False, soft_wrap=True)
        for name in (name for name, every in found.items() if not every):
            console().print(f"{name}: no mistakes.", markup=False)
    if mistakes:
        sys.exit(USAGE)
    if fakes or parameters:
        _dry_run(files, fakes or [], parameters or [], as_json=as_json)


def _mistakes(file: Path, *, imports: bool) -> list[dict[str, Any]]:
    from nbflow.authoring.declarative.reading import mistakes
    from nbflow.authoring.declarative.yaml_files import check

    try:
        check(file, imports=imports)
    except FlowNotFoundError:
        raise
    except DefinitionError as error:
        found = [each.as_dict(str(file)) for each in mistakes(error)]
        return found or [{"file": str(file), "line": None, "column": None, "path": "", "message": str(error)}]
    return []


def _line(mistake: dict[str, Any]) -> str:
    place = f":{mistake['line']}:{mistake['column']}" if mistake["line"] is not None else ""
    return f"{mistake['file']}{place}: {mistake['message']}"


def _dry_run(files: list[Path], fakes: list[str], parameters: list[str], *, as_json: bool) -> None:
    from nbflow.authoring.declarative.yaml_files import from_yaml
    from nbflow.cli import parameters as texts

    if len(files) > 1:
        raise ConfigError("--fake goes the way of one flow; name one file.")
    flow = from_yaml(files[0])
    given = {}
    for text in fakes:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--fake takes STEP=VALUE, not {text!r}.")
        given[name] = _value(value)
    found = flow.dry_run(given, **texts.parameters(flow, parameters))
    if as_json:
        print_json({"states": dict(found.states), "value": repr(found.value), "error": repr(found.error or "")})
        return
    console().print(repr(found), markup=False)
    if found.error is not None:
        console().print(f"it fails: {type(found.error).__name__}: {found.error}", markup=False)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def approve(
    run_id: RunId,
    gate: Annotated[
        str | None, typer.Argument(metavar="GATE", help="The step that waits; may be left out if it is the only one.")
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    note: Annotated[str, typer.Option("--note", help="Why; kept with the answer.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who answers.  \\[default: the user's name]")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Answer a gate: a step of a run that waits for a person to approve or reject.

    nbflow approve last release --note "looks good"

    nbflow approve last release --reject --note "wait for the audit"

    The first answer counts. It may be given before the run has come to the gate.
    """
    from nbflow.authoring.declarative.operators import approve as answer
    from nbflow.client.run import find

    run = find(run_id, db=db)
    name = _gate(run, gate)
    taken = answer(run, name, approved=not reject, by=by or _user(), note=note)
    said = "rejected" if reject else "approved"
    if as_json:
        print_json({"run": run.id, "gate": name, "answer": said, "taken": taken})
    else:
        told = (
            f"{said} {name} of run {run.id}." if taken else f"{name} of run {run.id} was answered before; that stays."
        )
        console().print(told, markup=False)
    if not taken:
        sys.exit(USAGE)


def _gate(run: Run, given: str | None) -> str:
    """The gate that is meant. Raises UnknownStepError if there is none of that name."""
    from nbflow.authoring.declarative.operators.approval import gates

    known = gates(run)
    waiting = [name for name, waits in known.items() if waits]
    if given is None:
        if len(waiting) == 1:
            return waiting[0]
        told = f"these wait: {', '.join(waiting)}. Name one." if waiting else "no gate of it waits."
        raise UnknownStepError(f"Run {run.id} of {run.flow}: {told}")
    if known and given not in known:
        raise UnknownStepError(f"Run {run.id} of {run.flow} has no gate {given!r}. It has: {', '.join(known)}.")
    if not known:
        raise UnknownStepError(f"Run {run.id} of {run.flow} has no gates.")
    return given


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown"
