"""What `%flow` and its subcommands do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.authoring.cells.scratch import Scratch
from nbflow.authoring.flow import Flow
from nbflow.authoring.notebook import FinalValues, NotebookFlow, from_notebook
from nbflow.client.run import Run, find
from nbflow.jupyter.check import Check, check
from nbflow.jupyter.current import as_flow, current_notebook, edited, notebook_path
from nbflow.jupyter.history import History, steers
from nbflow.jupyter.lines import HELP, USAGE, Line, help_of, parse, split
from nbflow.jupyter.scratches import run_cell, scratch_of
from nbflow.model.errors import NbflowError, NotebookError, PathChangedError
from nbflow.model.states import State
from nbflow.views.live import LiveOutputs
from nbflow.views.progress import RunProgress

if TYPE_CHECKING:
    from nbflow.client.monitor import Monitor

_ASKS = frozenset({"--help", "-h", "help"})


class Commands:
    """The subcommands, for one kernel."""

    def __init__(self, ipython: Any, history: History) -> None:
        self._ipython = ipython
        self._history = history
        self._scratch: Scratch | None = None

    def __call__(self, line: str, cell: str | None = None) -> Any:
        """Carry out one line; with a cell (`%%flow scratch`), run it where the inputs of a failed step are."""
        try:
            return self._carry_out(line, cell)
        except NbflowError as error:
            # A mistake in a command, or in what it was asked about: our own frames would only hide the message.
            text = f"{type(error).__name__}: {error}"
            error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]
            raise

    def _carry_out(self, line: str, cell: str | None) -> Any:
        words = split(line)
        if cell is not None:
            return self._run_scratch(words, cell)
        if not words or words[0] in _ASKS:
            return self._say(HELP)
        if words[0] not in USAGE:
            raise NbflowError(
                f"%flow has no command {words[0]!r}. It has {', '.join(USAGE)}; %flow --help says what they do."
            )
        if not _ASKS.isdisjoint(words[1:]):
            return self._say(help_of(words[0]))
        return getattr(self, words[0])(parse(words[0], words[1:]))

    def run(self, line: Line) -> Run:
        """`%flow run`."""
        flow, own = self._flow(line)
        parameters = flow.parameters_from_texts(line.parameters)
        options = {key: value for key in ("executor", "workers") if (value := getattr(line, key)) is not None}
        progress = RunProgress()
        with _interruptible(progress):
            run = flow.run(**options, **parameters, listeners=[progress, LiveOutputs()], echo=False)
        return self._finish(run, bring_back=own and not line.keep)

    def plan(self, line: Line) -> Any:
        """`%flow plan`."""
        flow, _ = self._flow(line)
        plan = flow.plan()
        for name, cell, number, _reason in plan.unknown_names():
            self._say(f"cell {cell}, line {number} uses {name}, which no cell before it sets")
        return plan.explain(line.step) if line.step is not None else plan

    def check(self, line: Line) -> Check:
        """`%flow check`."""
        notebook, notes = current_notebook(self._ipython, self._history)
        for note in notes:
            self._say(note)
        progress = RunProgress()
        with _interruptible(progress):
            run = NotebookFlow(notebook).run(listeners=[progress], echo=False)
        if run.state is not State.SUCCEEDED:
            self._say_failed(run)
            raise NotebookError("The notebook cannot be run from top to bottom; its error is shown above.")
        return check(notebook, self._history, run.values)

    def debug(self, line: Line) -> Scratch:
        """`%flow debug RUN STEP`."""
        run = self._run_named(line.run)
        task = run[line.step or ""]
        if task.state is State.SKIPPED:
            cause = next((other.key for other in run.tasks() if other.record.seq == task.record.cause), "RUN STEP")
            raise NbflowError(
                f"{task.key} was not run, since {cause} failed before it. Look into that: %flow debug {run.id} {cause}"
            )
        self._scratch = scratch_of(task, self._history.variables())
        if self._scratch.source:
            self._ipython.set_next_input(f"%%flow scratch\n{self._scratch.source}")
        return self._scratch

    def retry(self, line: Line) -> Run:
        """`%flow retry RUN STEP`: what succeeded is kept, that step and all that follow run as they are now."""
        run = self._run_named(line.run)
        if line.step is not None:
            run[line.step]  # raises if there is none
        if run.state is State.SUCCEEDED:
            raise NbflowError(
                f"Run {run.id} has succeeded, and is kept as it is. Run an edited step and what follows it in a new "
                f"run: %flow run --from {line.step or 'STEP'}"
            )
        ran = run.notebook_function
        own = False
        spec = None
        if ran is not None:
            notebook, _ = current_notebook(self._ipython, self._history)
            own = Path(notebook.path).resolve() == Path(ran.path).resolve()
            if not own:
                notebook = from_notebook(ran.path).notebook
            spec = edited(ran, notebook, self._history if own else None).spec
        progress = RunProgress()
        with _interruptible(progress):
            again = run.resume(spec=spec, listeners=[progress, LiveOutputs()], echo=False)
        return self._finish(again, bring_back=own)

    def history(self, line: Line) -> Any:
        """`%flow history`."""
        return self._history.table()

    def monitor(self, line: Line) -> Monitor:
        """`%flow monitor`."""
        from nbflow.client.monitor import Monitor

        return Monitor(line.db)

    def promote(self, line: Line) -> Any:
        """`%flow promote`."""
        from nbflow.deploying.promoting import promote
        from nbflow.jupyter.promote_form import PromoteForm, timing_text, typed_parameters

        given: dict[str, Any] = dict(line.schedule)
        load = self._saved if line.flow is None else partial(self._flow_named, line.flow)
        flow = load()
        parameters = typed_parameters(flow, line.parameters)
        kind = next((kind for kind in ("cron", "every", "monthly") if kind in given), None)
        if kind is None:
            return PromoteForm(load, {**given, "parameters": parameters})
        given[kind] = timing_text(kind, given[kind])
        self._say(f"checking {flow.spec.name} in a clean process")
        made = promote(flow, parameters=parameters, **given)
        if made.report is not None:
            self._say(f"{made.name} is version {made.version}: {made.report.text()}")
        for at in made.next(3):
            self._say(f"  {at:%a %Y-%m-%d %H:%M:%S %Z}")
        return made

    # -- parts ----------------------------------------------------------------------------------------------------

    def _flow(self, line: Line) -> tuple[NotebookFlow, bool]:
        if line.books:
            return from_notebook(Path(line.books[0])), False
        notebook, notes = current_notebook(self._ipython, self._history)
        for note in notes:
            self._say(note)
        flow = as_flow(notebook, self._ipython, self._history, first=line.first, only=line.only)
        names = [name for group in flow.part.groups() for name in group]
        if names and not (line.first or line.only):
            self._say(f"{', '.join(names)}: set by no cell before use; the kernel's value is sent along")
        return flow, True

    def _saved(self) -> NotebookFlow:
        """This notebook as it is saved. Raises NotebookError if what ran here is not saved."""
        notebook, notes = current_notebook(self._ipython, self._history)
        path = notebook_path(self._ipython)
        if path is None:
            raise NotebookError("No file of this notebook was found. Save it, or promote it by: nbflow promote FILE")
        saved = from_notebook(path)
        sources = [[cell["source"] for cell in each.content["cells"]] for each in (notebook, saved.notebook)]
        written = path.stat().st_mtime
        since = [ran for ran in self._history.executed if ran.began > written and not steers(ran.source)]
        if notes or since or sources[0] != sources[1]:
            raise NotebookError(f"What ran here is not what {path.name} holds: save the notebook, and promote again.")
        return saved

    def _flow_named(self, name: str) -> Flow[..., Any]:
        """The flow that a variable of the notebook holds. Raises NotebookError."""
        held = self._ipython.user_ns.get(name)
        if isinstance(held, Flow):
            return held
        what = f"is a {type(held).__name__}" if name in self._ipython.user_ns else "is not defined here"
        known = sorted(key for key, value in self._ipython.user_ns.items() if isinstance(value, Flow) and key[0] != "_")
        has = f"Flows here: {', '.join(known)}." if known else "There is no flow here: write one with @flow."
        raise NotebookError(f"{name} {what}, and no flow. {has} Without a name it is the notebook that is promoted.")

    def _finish(self, run: Run, *, bring_back: bool) -> Run:
        if run.state is not State.SUCCEEDED:
            self._say_failed(run)
        elif bring_back:
            self._bring_back(run)
        return run

    def _bring_back(self, run: Run) -> None:
        found = run.result()
        if isinstance(found, FinalValues):
            missing = found.load_into(self._ipython.user_ns, lambda key: run[key].result())
            for name in missing:
                self._say(f"{name} stays as it is here: its value cannot leave the process that made it")

    def _run_named(self, text: str) -> Run:
        held = self._ipython.user_ns.get(text)
        return held if isinstance(held, Run) else find(text)

    def _run_scratch(self, words: list[str], cell: str) -> None:
        if words != ["scratch"]:
            raise NbflowError("%%flow scratch runs a cell on the inputs of a failed step, after %flow debug RUN STEP.")
        if self._scratch is None:
            raise NbflowError("There are no inputs of a failed step here. Bring them: %flow debug RUN STEP.")
        run_cell(self._ipython, self._scratch, cell)

    def _say_failed(self, run: Run) -> None:
        failed = [task for task in run.tasks() if task.state in (State.FAILED, State.TIMED_OUT)]
        for task in failed[:3]:
            self._say(
                f"{task.key}: {task.record.error_type}: {task.record.error_message}\n"
                f"    Look into it: %flow debug {run.id} {task.key}. After an edit: %flow retry {run.id} {task.key}"
            )
        if isinstance(run.error, PathChangedError) and run.notebook_function is not None:
            self._say(f"The edit changed in what order steps may begin, so run {run.id} ends here. Run anew: %flow run")
        elif not failed and run.error is not None:
            self._say(str(run.error))

    def _say(self, text: str) -> None:
        print(text)  # noqa: T201 - the answer of a command, in the cell that gave it


@contextmanager
def _interruptible(progress: RunProgress) -> Iterator[None]:
    """Say of a run that the user interrupts how it goes on, instead of where it was."""
    try:
        yield
    except KeyboardInterrupt as error:
        text = "KeyboardInterrupt: the run was cancelled."
        if progress.run is not None:
            text = f"KeyboardInterrupt: run {progress.run} was cancelled. Go on with it: %flow retry {progress.run}"
        error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]
        raise
