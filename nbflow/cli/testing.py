"""`nbflow test`: a notebook against what its steps gave when they were frozen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nbflow.cli.codes import FAILED
from nbflow.cli.output import Db, Json, console, print_json
from nbflow.model.errors import ConfigError
from nbflow.views.words import bytes_text, one_line, plain, seconds_text

if TYPE_CHECKING:
    from nbflow.authoring.replay.fixtures import Manifest
    from nbflow.authoring.replay.replaying import StepReport
    from nbflow.model.events import Listener

_STYLE = {"same": ("✓", "green"), "different": ("≠", "bold red"), "failed": ("✗", "bold red"), "new": ("+", "yellow"),
          "gone": ("-", "bold red")}  # fmt: skip
_RTOL, _ATOL = 1e-6, 1e-9


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("test")(replay_or_freeze)


def replay_or_freeze(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="The notebook: analysis.ipynb.")],
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Run it and keep what each step takes and gives in NAME.frozen.")
    ] = False,
    steps: Annotated[
        list[str] | None, typer.Option("--step", metavar="NAME", help="Only this step; may be given again.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="With --freeze: set a parameter."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help='With --freeze: take this finished run, or "last".')
    ] = None,
    rtol: Annotated[float, typer.Option("--rtol", min=0, help="Relative tolerance of floats.")] = _RTOL,
    atol: Annotated[float, typer.Option("--atol", min=0, help="Absolute tolerance of floats.")] = _ATOL,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Also compare what the cells print and show, as texts.")
    ] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="How many steps run at a time.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Test a notebook: does each step still give what it gave when it was frozen?

    First freeze it, and commit the folder analysis.frozen:

    nbflow test analysis.ipynb --freeze

    nbflow test analysis.ipynb --freeze --run last

    Then test it after each change. Each step runs alone in a child process, from its frozen inputs:

    nbflow test analysis.ipynb

    nbflow test analysis.ipynb --step train --rtol 1e-3

    The same with pytest: pytest analysis.frozen. The folder holds pickles: test only what you trust.

    Exits with 0 if every step is the same, 1 if one differs, fails or is gone.
    """
    if freeze:
        _freeze(notebook, steps or [], parameters or [], run_id, db, as_json=as_json)
        return
    if parameters or run_id:
        raise ConfigError("-p and --run are for --freeze; a test takes its inputs from what was frozen.")
    from nbflow.authoring.replay.replaying import replay

    with _progress(as_json) as listeners:
        reports = replay(
            notebook, steps=steps or [], rtol=rtol, atol=atol, outputs=outputs, workers=workers, listeners=listeners
        )
    if as_json:
        print_json([_report_json(report) for report in reports])
    else:
        _tell_reports(reports)
    if not all(report.passed for report in reports):
        sys.exit(FAILED)


def _freeze(
    notebook: Path, steps: list[str], given: list[str], run_id: str | None, db: str | None, *, as_json: bool
) -> None:
    from nbflow.authoring.notebook import from_notebook
    from nbflow.authoring.replay.freezing import freeze
    from nbflow.cli.parameters import parameters

    if run_id is not None and given:
        raise ConfigError("--run takes a run with the parameters that it had; leave out -p, or --run.")
    values = parameters(from_notebook(notebook), given)
    with _progress(as_json) as listeners:
        manifest = freeze(notebook, run=run_id, steps=steps, parameters=values, db=db, listeners=listeners)
    folder = notebook.with_name(f"{notebook.stem}.frozen")
    if as_json:
        names = [step.name for step in manifest.steps]
        not_kept = {step.name: step.stuck for step in manifest.steps if step.stuck}
        print_json({"folder": str(folder), "frozen": names, "left_out": manifest.left_out, "not_kept": not_kept})
    else:
        _tell_frozen(manifest, folder)


def _progress(as_json: bool) -> AbstractContextManager[Sequence[Listener]]:
    """Progress for people; what cells print is not shown."""
    from nbflow.settings import configure
    from nbflow.views.progress import RunProgress

    configure(echo=False)
    return nullcontext(()) if as_json else RunProgress(console())


def _tell_frozen(manifest: Manifest, folder: Path) -> None:
    screen = console()
    table = _table("step", "takes", "gives", "size")
    for step in manifest.steps:
        size = (folder / step.file).stat().st_size
        texts = (step.name, ", ".join(step.inputs), ", ".join(step.outputs), bytes_text(size))
        table.add_row(*(Text(one_line(text, 60)) for text in texts))
    screen.print(table)
    for name, why in manifest.left_out.items():
        screen.print(f"not frozen: {name}: {one_line(why)}", markup=False)
    for step in manifest.steps:
        for name, why in step.stuck.items():
            screen.print(f"not compared: {name} of {step.name}: {one_line(why)}", markup=False)
    screen.print(f"written: {folder}. It holds pickles: commit it, and test only what you trust.", markup=False)
    screen.print(f"test it: nbflow test {folder.with_name(manifest.notebook)}", markup=False)


def _tell_reports(reports: Sequence[StepReport]) -> None:
    screen = console()
    table = _table("step", "state", "took")
    for report in reports:
        mark, style = _STYLE[report.state]
        table.add_row(
            Text(one_line(report.name)), Text(f"{mark} {report.state}", style=style), seconds_text(report.seconds)
        )
    screen.print(table)
    for report in reports:
        if report.text():
            screen.print(Text(f"\n{one_line(report.name)}", style="bold"))
            screen.print(_indented(plain(report.text())), markup=False)
    bad = sum(not report.passed for report in reports)
    screen.print(f"\n{bad} of {len(reports)} steps do not give what was frozen." if bad else "\nNothing differs.")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _report_json(report: StepReport) -> dict[str, Any]:
    return {
        "step": report.name,
        "state": report.state,
        "seconds": report.seconds,
        "differences": [str(difference) for difference in report.differences],
        "count": report.count,
        "message": report.message,
        "notes": list(report.notes),
    }
