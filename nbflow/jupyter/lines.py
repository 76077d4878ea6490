"""The lines that follow `%flow`: what may stand in them, and the help that says so."""

from __future__ import annotations

import argparse
import shlex
from typing import NamedTuple, NoReturn

from nbflow.model.errors import NbflowError


class Usage(NamedTuple):
    """One command, as its help tells it."""

    line: str  # what may follow its name
    does: str
    more: str = ""  # its options


USAGE = {
    "run": Usage(
        "[NOTEBOOK] [--executor NAME] [--workers N] [--from STEP | --only STEP] [--keep] [NAME=VALUE ...]",
        "run this notebook as a flow, and bring its values back into the kernel",
        "--executor NAME   where its steps run: serial, threads, processes, or one that a package brings\n"
        "--workers N       how many steps at a time\n"
        "--from STEP       run this step and those below it; earlier values are taken from the kernel\n"
        "--only STEP       run this step alone\n"
        "--keep            leave the kernel's variables as they are; the values are in run.values\n"
        "NAME=VALUE        set a parameter of the notebook\n"
        "NOTEBOOK          another notebook's file; its values stay in run.values\n"
        "A step is named by its name or by the number of one of its cells. The result is the run: run = %flow run",
    ),
    "plan": Usage(
        "[NOTEBOOK] [STEP]", "show what each step takes from which other, and why: a table and a picture, or one step"
    ),
    "check": Usage("", "compare the kernel's variables with those of the flow, and tell hidden state"),
    "debug": Usage(
        "RUN STEP",
        "bring the inputs of a failed step here",
        "RUN is a variable that holds a run, an id, or last. The step's code is put into the next cell, after\n"
        "%%flow scratch, which runs a cell on these inputs and leaves the kernel's variables alone.",
    ),
    "retry": Usage(
        "RUN [STEP]",
        "run a step again, after an edit, and what follows it",
        "RUN is a variable that holds a run, an id, or last. What succeeded, and was not edited, is kept.",
    ),
    "monitor": Usage(
        "[DATABASE]",
        "watch runs, queues and workers live, with buttons to cancel, retry, pause and run again",
        "DATABASE is a path or URL; without one it is the project's. A cell that runs does not stop the picture.",
    ),
    "promote": Usage(
        "[FLOW] [--name NAME] [--cron EXPRESSION | --every TIME | --monthly DAY[@TIME]] [--tz ZONE] "
        "[--override REASON] [NAME=VALUE ...]",
        "make this notebook, or a flow of it, a deployment: checked, numbered, and run by a schedule",
        "FLOW               a function here with @flow, or a declared flow; default: the notebook\n"
        "--name NAME        of the deployment; default: that of the flow\n"
        "--cron EXPRESSION  minute hour day-of-month month day-of-week, such as '0 6 * * MON'\n"
        "--every TIME       such as 15m or 2h\n"
        "--monthly DAY      1, last, or 15@06:00\n"
        "--tz ZONE          such as Europe/Paris; default: that of this machine\n"
        "--override REASON  why it may be scheduled although its check fails\n"
        "NAME=VALUE         set a parameter of its runs\n"
        "Without a schedule it shows a form. The notebook is taken as it is saved.",
    ),
    "history": Usage("", "what ran in this kernel, and what it did, as a table"),
}
HELP = "\n".join(
    [
        "%flow works with this notebook as a flow: its cells are steps.",
        "",
        *(f"%flow {name:<8} {usage.does}" for name, usage in USAGE.items()),
        "%%flow scratch  run a cell on the inputs that %flow debug brought",
        "",
        "%flow COMMAND --help tells the options of a command.",
    ]
)


class Line(NamedTuple):
    """A line, taken apart; what a command does not take is empty."""

    books: tuple[str, ...] = ()
    parameters: dict[str, str] = {}  # noqa: RUF012 - never changed
    executor: str | None = None
    workers: int | None = None
    first: str | None = None  # --from
    only: str | None = None
    keep: bool = False
    run: str = ""
    step: str | None = None
    db: str | None = None
    flow: str | None = None  # of promote: the variable that holds it; None: the notebook
    schedule: dict[str, str] = {}  # noqa: RUF012 - never changed; of promote: name, cron, every, monthly, zone, override


def split(line: str) -> list[str]:
    """The words of a line. Raises NbflowError for a quotation mark that stands alone."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise NbflowError(f"%flow {line}: {str(error).lower()}. Close the quotation mark.") from error


def help_of(command: str) -> str:
    """What a command takes."""
    usage = USAGE[command]
    head = f"%flow {command} {usage.line}".rstrip()
    return "\n".join([head, f"    {usage.does}", *(f"    {line}" for line in usage.more.splitlines())])


def parse(command: str, words: list[str]) -> Line:
    """Take the words after a command apart. Raises NbflowError for what it does not take."""
    if command == "run":
        return _run(words)
    if command == "promote":
        return _promote(words)
    option = next((word for word in words if word.startswith("--")), None)
    if option is not None:
        raise _wrong(command, f"has no option {option}")
    if command in ("debug", "retry"):
        if not 1 <= len(words) <= 2 or (command == "debug" and len(words) == 1):
            raise _wrong(command, "takes a run and a step")
        return Line(run=words[0], step=words[1] if len(words) == 2 else None)
    if command == "monitor":
        if len(words) > 1:
            raise _wrong(command, "takes a database at most")
        return Line(db=words[0] if words else None)
    books = tuple(word for word in words if word.endswith(".ipynb")) if command == "plan" else ()
    steps = [word for word in words if word not in books]
    if len(books) > 1 or len(steps) > (command == "plan"):
        raise _wrong(command, "takes a notebook and a step at most" if command == "plan" else "takes nothing more")
    return Line(books=books, step=steps[0] if steps else None)


def _run(words: list[str]) -> Line:
    parser = _Parser("run")
    parser.add_argument("--executor")
    parser.add_argument("--workers", type=_positive)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--from", dest="first")
    part.add_argument("--only")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_intermixed_args(words)
    books = tuple(word for word in given.rest if "=" not in word)
    if len(books) > 1:
        raise _wrong("run", f"takes one notebook, not {', '.join(books)}")
    if books and (given.first or given.only):
        raise _wrong("run", "takes earlier values from this kernel after --from and --only: for this notebook only")
    parameters = dict(word.split("=", 1) for word in given.rest if "=" in word)
    return Line(books, parameters, given.executor, given.workers, given.first, given.only, given.keep)


def _promote(words: list[str]) -> Line:
    parser = _Parser("promote")
    when = parser.add_mutually_exclusive_group()
    for option in ("--cron", "--every", "--monthly"):
        when.add_argument(option)
    parser.add_argument("--tz", dest="zone")
    for option in ("--name", "--override"):
        parser.add_argument(option)
    parser.add_argument("rest", nargs="*")
    given = vars(parser.parse_intermixed_args(words))
    rest = given.pop("rest")
    flows = [word for word in rest if "=" not in word]
    if len(flows) > 1:
        raise _wrong("promote", f"takes one flow, not {' and '.join(flows)}")
    chosen = {name: value for name, value in given.items() if value is not None}
    parameters = dict(word.split("=", 1) for word in rest if word not in flows)
    return Line(parameters=parameters, schedule=chosen, flow=flows[0] if flows else None)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers, such as 4")
    return int(text)


def _wrong(command: str, text: str) -> NbflowError:
    usage = f"%flow {command} {USAGE[command].line}".rstrip()
    return NbflowError(f"%flow {command} {text}: {usage}. %flow {command} --help tells more.")


class _Parser(argparse.ArgumentParser):
    def __init__(self, command: str) -> None:
        super().__init__(prog=f"%flow {command}", add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise NbflowError(f"{self.prog}: {message}. {self.prog} --help tells what it takes.")
