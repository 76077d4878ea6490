"""`%%step` in a live kernel, and the line magic `%flow`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from nbflow.analysis.options import parse_step_line
from nbflow.jupyter.commands import Commands
from nbflow.jupyter.history import History
from nbflow.jupyter.lines import HELP
from nbflow.jupyter.recorder import Recorder
from nbflow.model.errors import DefinitionError

_STEP = re.compile(r"\A\s*%%step\b[ \t]*([^\n]*)\n?")


class Magics:
    """The magics of one kernel."""

    def __init__(self, ipython: Any, recorder: Recorder | None = None) -> None:
        self._ipython = ipython
        self.recorder = recorder or Recorder()
        self._step: tuple[str, str, float] | None = None  # name, source and start of the step's cell that runs
        self._info: Any = None  # IPython's own record of it
        self.history = History(ipython)
        self.flow = Commands(ipython, self.history)

    def strip(self, lines: list[str]) -> list[str]:
        """Take the %%step line off a cell, which then runs as any other does."""
        match = _STEP.match("".join(lines))
        if match is None:
            return lines
        try:
            parse_step_line(match[1], "this cell")
        except DefinitionError as error:
            raise SyntaxError(str(error)) from error
        return "".join(lines)[match.end() :].splitlines(keepends=True)

    def before(self, info: Any) -> None:
        """Note that a step's cell begins."""
        match = _STEP.match(info.raw_cell or "")
        if match is not None:  # other cells may be the body of one that runs, as of %%capture
            try:
                name = parse_step_line(match[1], "this cell").name or "step"
            except DefinitionError:
                return
            self._step, self._info = (name, info.raw_cell[match.end() :], time.time()), info

    def after(self, result: Any) -> None:
        """Put a step's cell on record."""
        if self._step is not None and result.info is self._info:
            name, source, started = self._step
            self._step = self._info = None
            self.recorder.record(name, source, started, result.error_before_exec or result.error_in_exec)


def register(ipython: Any) -> Magics:
    """Make the magics known to a kernel; a second time changes nothing."""
    found = getattr(ipython, "_nbflow_magics", None)
    if found is not None:
        return found  # type: ignore[no-any-return]
    magics = Magics(ipython)
    ipython._nbflow_magics = magics
    ipython.input_transformers_cleanup.append(magics.strip)
    for name in ("pre_run_cell", "post_run_cell"):
        hook = "before" if name == "pre_run_cell" else "after"
        ipython.events.register(name, getattr(magics, hook))
        ipython.events.register(name, getattr(magics.history, hook))
    ipython.register_magic_function(_flow(magics.flow), "line_cell", "flow")
    return magics


def _flow(commands: Commands) -> Callable[..., Any]:
    def flow(line: str, cell: str | None = None) -> Any:
        return commands(line, cell)

    flow.__doc__ = HELP  # what `%flow?` shows
    return flow
