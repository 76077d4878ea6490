"""An IPython shell of our own: it runs cells in a namespace that we give it, and tells what they show."""

from __future__ import annotations

import builtins
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbflow.authoring.cells import process_state
from nbflow.authoring.cells.records import CellSource
from nbflow.authoring.cells.travel import Namespace
from nbflow.model.errors import InputRequestedError

Emit = Callable[[str, str], Any]
INLINE = "module://matplotlib_inline.backend_inline"
# What IPython itself puts into a namespace.
INTERNAL = frozenset(
    "__name__ __doc__ __package__ __loader__ __spec__ __builtin__ __builtins__ __annotations__ __warningregistry__ "
    "_ih _oh _dh In Out get_ipython exit quit open _ __ ___ _i _ii _iii _exit_code".split(),
)


class _Publisher(DisplayPublisher):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        # On the instance, out of reach of the hooks that record what other steps display.
        self.__dict__["publish"] = self._publish

    def _publish(
        self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any
    ) -> None:
        message = {"data": _plain(data), "metadata": metadata or {}, "transient": transient or {}, "update": update}
        _flush()
        cast("Any", self.shell).emit("display", json.dumps(message))

    def clear_output(self, wait: bool = False) -> None:
        _flush()
        cast("Any", self.shell).emit("clear", json.dumps({"wait": wait}))


class _Hook(DisplayHook):
    def quiet(self) -> bool:
        """Whether the cell ends in a semicolon; IPython itself asks its history, and this shell keeps none."""
        shell: Any = self.shell
        return bool(self.semicolon_at_end_of_expression(shell.user_ns["In"][-1]))  # type: ignore[no-untyped-call]

    @property
    def prompt_count(self) -> int:
        """The number of the cell; IPython itself counts on only when it keeps a history."""
        shell: Any = self.shell
        return int(shell.execution_count)

    def write_output_prompt(self) -> None:
        """Notebooks show the number beside the output."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        _flush()
        cast("Any", self.shell).emit("result", json.dumps({"data": _plain(format_dict), "metadata": md_dict or {}}))

    def finish_displayhook(self) -> None:
        """Nothing was written to a terminal."""


class CellShell(InteractiveShell):
    """Runs cells; one for each process."""

    emit: Emit
    kernel = None  # libraries, pandas among them, take a shell that has one for a notebook's
    figures_ready = False  # whether matplotlib knows this shell

    def init_sys_modules(self) -> None:
        """`__main__` is set for as long as cells run, and not here."""

    def init_virtualenv(self) -> None:
        """The process has been started in its environment already."""

    def enable_gui(self, gui: Any = None) -> None:
        """There is no event loop of a window system here."""

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        _flush()
        content = {"ename": str(etype.__name__), "evalue": str(evalue), "traceback": list(stb)}
        self.emit("error", json.dumps(content))


class _Instance:
    """What `get_ipython` finds while a cell runs: the cell and the threads that it begins find the cell's shell.

    Threads that were there before find the kernel's own. Its user goes on while a flow runs, and displays things.
    """

    def __init__(self, mine: CellShell, kernels: InteractiveShell | None) -> None:
        self._mine = mine
        self._kernels = kernels
        self._earlier = frozenset(threading.enumerate()) - {threading.current_thread()}

    def __get__(self, instance: object, owner: type) -> InteractiveShell:
        others = self._kernels is not None and threading.current_thread() in self._earlier
        return cast("InteractiveShell", self._kernels if others else self._mine)


# By this name libraries know that they are in a notebook, and show things accordingly.
CellShell.__name__ = "ZMQInteractiveShell"


@cache
def shell() -> CellShell:
    """The shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "linux"
    excepthook, displayhook = sys.excepthook, sys.displayhook
    made: Any = cast("Any", CellShell)(config=config, display_pub_class=_Publisher, displayhook_class=_Hook)
    sys.excepthook, sys.displayhook = excepthook, displayhook
    made.register_magic_function(_no_flow, "line_cell", "flow")
    return cast("CellShell", made)


def _no_flow(line: str, cell: str | None = None) -> None:
    """`%flow` steers a kernel; inside a flow there is nothing to steer."""


@contextmanager
def running(namespace: Namespace, emit: Emit, earlier: Sequence[CellSource] = ()) -> Iterator[CellShell]:
    """The shell, set up to run cells in `namespace`; what they show goes to `emit`.

    `earlier`: cells that were run before, so far as the history of inputs is to hold them.
    """
    mine = shell()
    mine.emit = emit
    mine.user_module = namespace.module
    mine.user_ns = namespace.globals
    mine.dir_stack = process_state.stacked
    _fill(namespace.globals, mine, earlier)
    mine.user_ns_hidden = {name: namespace.globals[name] for name in ("In", "Out", "get_ipython", "exit", "quit")}
    others = {kind: kind.__dict__.get("_instance") for kind in InteractiveShell._walk_mro()}
    setattr(InteractiveShell, "_instance", _Instance(mine, others[InteractiveShell]))  # noqa: B010 - declared as None
    sys.modules["__main__"] = namespace.module
    _prepare_figures(mine)
    figures = _no_figures()
    asking, builtins.input = builtins.input, _no_input
    try:
        yield mine
    finally:
        builtins.input = asking
        figures()
        for kind, instance in others.items():
            kind._instance = instance
        mine.user_ns = {}
        mine.emit = lambda stream, text: None


def run_cell(mine: CellShell, number: int, source: str) -> BaseException | None:
    """Run one cell; returns the error that ended it."""
    mine.execution_count = number
    _remember(mine, number, source)
    result = mine.run_cell(source, store_history=False)  # type: ignore[no-untyped-call]
    show_figures(mine)
    _flush()
    return cast("BaseException | None", result.error_before_exec or result.error_in_exec)


def show_figures(mine: CellShell) -> None:
    """Show and close what pyplot has open, as a notebook does at the end of each cell."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    from matplotlib_inline import backend_inline

    _prepare_figures(mine)
    try:
        backend_inline.flush_figures()  # type: ignore[no-untyped-call]
    except Exception:
        mine.showtraceback()


def _no_figures() -> Callable[[], None]:
    """Put away the figures that are open in this process; returns what brings them back."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return lambda: None
    from matplotlib import _pylab_helpers

    open_ones = dict(_pylab_helpers.Gcf.figs)
    _pylab_helpers.Gcf.figs.clear()
    if hasattr(pyplot.draw_if_interactive, "called"):  # IPython's note that something was drawn
        pyplot.draw_if_interactive.called = False
    return lambda: _pylab_helpers.Gcf.figs.update(open_ones)


def _prepare_figures(mine: CellShell) -> None:
    os.environ.setdefault("MPLBACKEND", INLINE)
    if "matplotlib.pyplot" not in sys.modules:
        return
    import matplotlib as mpl
    from matplotlib_inline import backend_inline

    if mpl.get_backend().lower() not in {INLINE, "inline"}:
        sys.modules["matplotlib.pyplot"].switch_backend(INLINE)
    if not mine.figures_ready:
        backend_inline.configure_inline_support(mine, INLINE)  # type: ignore[no-untyped-call]
        mine.figures_ready = True
        mpl.interactive(True)  # as a kernel does; pyplot may have arrived here before this shell was there


def _remember(mine: CellShell, number: int, source: str) -> None:
    """Keep a cell as IPython does, which itself does so only with a history on disk."""
    names, history = mine.user_ns, cast("Any", mine.history_manager)
    parsed = cast("Any", mine).transform_cell(source)
    for kept, text in ((history.input_hist_parsed, parsed), (history.input_hist_raw, source)):
        kept.extend([""] * (number + 1 - len(kept)))
        kept[number] = text.rstrip("\n")
    raw = history.input_hist_raw
    for name, back in (("_i", 1), ("_ii", 2), ("_iii", 3)):
        names[name] = raw[-1 - back] if len(raw) > back else ""
    names[f"_i{number}"] = raw[number]


def _fill(names: dict[str, Any], mine: CellShell, earlier: Sequence[CellSource]) -> None:
    names.update(__name__="__main__", __builtins__=builtins, get_ipython=mine.get_ipython)
    names.update(exit=sys.exit, quit=sys.exit)
    out = names.setdefault("Out", {})
    history = cast("Any", mine.history_manager)
    history.input_hist_parsed, history.input_hist_raw = [""], [""]
    names.update(_oh=out, In=history.input_hist_parsed, _ih=history.input_hist_parsed, _dh=process_state.visited)
    for cell in earlier:
        _remember(mine, cell.number, cell.source)
    for name in ("_", "__", "___", "_i", "_ii", "_iii"):
        names.setdefault(name, "")
    for number, value in out.items():
        names.setdefault(f"_{number}", value)
    mine.displayhook._, mine.displayhook.__, mine.displayhook.___ = names["_"], names["__"], names["___"]


def _no_input(prompt: Any = "") -> str:
    raise InputRequestedError(
        f"The cell waits for input({str(prompt)!r}), and nobody is there to answer. Put the value into a cell with "
        "the tag parameters (name = 'value'), and give another with -p name=VALUE."
    )


def _plain(data: Any) -> Any:
    import base64

    return {kind: base64.b64encode(part).decode() if isinstance(part, bytes) else part for kind, part in data.items()}


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
