"""What `%flow` and its subcommands do."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from nbflow.authoring.cells.scratch import Scratch
from nbflow.authoring.notebook import FinalValues, NotebookFlow, from_notebook
from nbflow.client.run import Run
from nbflow.jupyter.check import Check, check
from nbflow.jupyter.current import as_flow, current_notebook
from nbflow.jupyter.history import History
from nbflow.model.errors import NbflowError, NotebookError
from nbflow.model.states import State
from nbflow.views.live import LiveOutputs
from nbflow.views.progress import RunProgress

HELP = """%flow run      run this notebook as a flow, and bring its values back into the kernel
    %flow run [NOTEBOOK] [--executor NAME] [--workers N] [--from STEP | --only STEP] [--keep] [NAME=VALUE ...]
%flow plan     show what each step takes from which other, and why
    %flow plan [NOTEBOOK] [STEP]
%flow check    compare the kernel's variables with those of the flow, and tell hidden state
%flow debug    bring the inputs of a failed step here: %flow debug RUN STEP
%flow retry    run a step again, after an edit, and what follows it: %flow retry RUN STEP
%flow history  what ran in this kernel, and what it did"""


class Commands:
    """The subcommands, for one kernel."""

    def __init__(self, ipython: Any, history: History) -> None:
        self._ipython = ipython
        self._history = history
        self._scratch: Scratch | None = None
        self._known: dict[str, Callable[[list[str]], Any]] = {
            "run": self.run, "plan": self.plan, "check": self.check, "debug": self.debug, "retry": self.retry,
            "history": self.history,
        }  # fmt: skip

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
        words = shlex.split(line)
        if cell is not None:
            return self._run_scratch(words, cell)
        if not words or words[0] not in self._known:
            raise NbflowError(f"%flow has no command {words[0]!r}.\n{HELP}" if words else HELP)
        return self._known[words[0]](words[1:])

    def run(self, words: list[str]) -> Run:
        """`%flow run`."""
        parser = _Parser("%flow run")
        parser.add_argument("--executor")
        parser.add_argument("--workers", type=int)
        parser.add_argument("--from", dest="first")
        parser.add_argument("--only")
        parser.add_argument("--keep", action="store_true")
        parser.add_argument("rest", nargs="*")
        given = parser.parse_args(words)
        flow, own = self._flow(given.rest, first=given.first, only=given.only)
        parameters = flow.parameters_from_texts(dict(word.split("=", 1) for word in given.rest if "=" in word))
        options = {key: value for key in ("executor", "workers") if (value := getattr(given, key)) is not None}
        run = flow.run(**options, **parameters, listeners=[RunProgress(), LiveOutputs()], echo=False)
        if run.state is State.SUCCEEDED and own and not given.keep:
            self._bring_back(run)
        elif run.state is not State.SUCCEEDED:
            self._say_failed(run)
        return run

    def plan(self, words: list[str]) -> Any:
        """`%flow plan`."""
        books = [word for word in words if word.endswith(".ipynb")]
        flow, _ = self._flow(books)
        plan = flow.plan()
        steps = [word for word in words if word not in books]
        for name, cell, line, _reason in plan.unknown_names():
            self._say(f"cell {cell}, line {line} uses {name}, which no cell before it sets")
        return plan.explain(steps[0]) if steps else plan

    def check(self, words: list[str]) -> Check:
        """`%flow check`."""
        notebook, notes = current_notebook(self._ipython, self._history)
        for note in notes:
            self._say(note)
        run = NotebookFlow(notebook).run(listeners=[RunProgress()], echo=False)
        if run.state is not State.SUCCEEDED:
            self._say_failed(run)
            raise NotebookError("The notebook cannot be run from top to bottom; its error is shown above.")
        return check(notebook, self._history, run.values)

    def debug(self, words: list[str]) -> Scratch:
        """`%flow debug RUN STEP`."""
        run, step = self._run_and_step(words, "debug")
        self._scratch = run[step].debug()
        if self._scratch.source:
            self._ipython.set_next_input(f"%%flow scratch\n{self._scratch.source}")
        return self._scratch

    def retry(self, words: list[str]) -> Run:
        """`%flow retry RUN STEP`: what succeeded is kept, that step and all that follow run as they are now."""
        run, step = self._run_and_step(words, "retry")
        run[step]  # raises if there is none
        ran = run.notebook_function
        if ran is None:
            return run.resume(listeners=[RunProgress(), LiveOutputs()], echo=False)
        notebook, _ = current_notebook(self._ipython, self._history)
        own = Path(notebook.path).stem == Path(ran.path).stem
        if not own:
            notebook = from_notebook(ran.path).notebook
        edited = NotebookFlow(notebook, ran.part)
        again = run.resume(spec=edited.spec, listeners=[RunProgress(), LiveOutputs()], echo=False)
        if again.state is not State.SUCCEEDED:
            self._say_failed(again)
        elif own:
            self._bring_back(again)
        return again

    def history(self, words: list[str]) -> Any:
        """`%flow history`."""
        import pandas as pd

        rows = [
            {
                "cell": f"[{ran.number}]",
                "seconds": round(ran.seconds, 3),
                "MB": round(ran.memory / 1e6, 1),
                "set": ", ".join(ran.changes.defined),
                "changed": ", ".join(ran.changes.changed),
                "shares": "; ".join(" = ".join(group) for group in ran.changes.shares),
                "read": len(ran.files.read),
                "wrote": len(ran.files.written),
                "effects": ", ".join(ran.effects),
                "source": ran.source.strip().splitlines()[0][:40] if ran.source.strip() else "",
            }
            for ran in self._history.executed
            if "%flow" not in ran.source
        ]
        return pd.DataFrame(rows)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _flow(
        self, words: list[str], *, first: str | None = None, only: str | None = None
    ) -> tuple[NotebookFlow, bool]:
        books = [word for word in words if "=" not in word]
        if len(books) > 1:
            raise NbflowError(f"%flow takes one notebook, not {', '.join(books)}.\n{HELP}")
        if books:
            if first or only:
                raise NbflowError("--from and --only take earlier values from this kernel: for this notebook only.")
            return from_notebook(Path(books[0])), False
        notebook, notes = current_notebook(self._ipython, self._history)
        for note in notes:
            self._say(note)
        flow = as_flow(notebook, self._ipython, self._history, first=first, only=only)
        names = [name for group in flow.part.groups() for name in group]
        if names and not (first or only):
            self._say(f"{', '.join(names)}: set by no cell before use; the kernel's value is sent along")
        return flow, True

    def _bring_back(self, run: Run) -> None:
        found = run.result()
        if isinstance(found, FinalValues):
            missing = found.load_into(self._ipython.user_ns, lambda key: run[key].result())
            for name in missing:
                self._say(f"{name} stays as it is here: its value cannot leave the process that made it")

    def _run_and_step(self, words: list[str], command: str) -> tuple[Run, str]:
        if len(words) != 2:
            raise NbflowError(f"%flow {command} takes a run and a step: %flow {command} RUN STEP.")
        held = self._ipython.user_ns.get(words[0])
        return (held if isinstance(held, Run) else Run(words[0])), words[1]

    def _run_scratch(self, words: list[str], cell: str) -> Any:
        if words != ["scratch"]:
            raise NbflowError("%%flow scratch runs a cell on the inputs of a failed step, after %flow debug RUN STEP.")
        if self._scratch is None:
            raise NbflowError("There are no inputs of a failed step here. Bring them: %flow debug RUN STEP.")
        return self._scratch.run(cell, self._ipython)

    def _say_failed(self, run: Run) -> None:
        failed = [task for task in run.tasks() if task.state is State.FAILED]
        for task in failed[:3]:
            self._say(f"{task.key}: {task.error}. Look into it: %flow debug {run.id} {task.key}")
        if not failed and run.error is not None:
            self._say(str(run.error))

    def _say(self, text: str) -> None:
        print(text)  # noqa: T201 - the answer of a command, in the cell that gave it


class _Parser(argparse.ArgumentParser):
    def __init__(self, name: str) -> None:
        super().__init__(prog=name, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise NbflowError(f"{self.prog}: {message}.\n{HELP}")
