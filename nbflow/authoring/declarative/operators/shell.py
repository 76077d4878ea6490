"""Steps that run a command.

A text is run by the shell; references in it become variables of its environment, so that no value can ever be taken
for code. A list is run as it is, without a shell.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from nbflow.authoring.declarative.operators.base import Lookup, Operator, OperatorError, Outcome
from nbflow.authoring.declarative.references import Reference, fill, replace

_LOOK = 0.1  # seconds after which it is seen whether the step is to end
_GRACE = 3.0  # seconds from SIGTERM to SIGKILL
_TAIL = 2_000  # characters of the last output that an error tells
# Leads the group of a command and its children, and ends it when the process that started it is gone or wants it to:
# then the pipe ends without a word.
_GUARD = "trap '' TERM INT HUP; read -r _ || kill -s KILL -- -$$"


class Shell(Operator, kind="shell", main="command"):
    """A command; its value is what it writes to its standard output.

    Settings: command (text for the shell, or list), env, cwd, output ("text", "lines", "json" or "none"), and
    exit_codes, which maps codes to outcomes; all other codes but 0 are failures.
    """

    def fill(self, lookup: Lookup) -> dict[str, Any]:
        """References in a text for the shell become variables, others are filled in."""
        settings: dict[str, Any] = fill(
            {name: each for name, each in self.settings.items() if name != "command"}, lookup
        )
        command = self.settings["command"]
        if not isinstance(command, str):
            return {**settings, "command": [_text(each) for each in fill(command, lookup)]}
        names: dict[Reference, str] = {}

        def variable(reference: Reference) -> str:
            name = f"NBFLOW_{len(names) + 1}_{'_'.join((reference.name, *reference.path)).replace('-', '_')}"
            return f"${{{names.setdefault(reference, name)}}}"

        settings["command"] = replace(command, variable)
        return {**settings, "variables": {name: _text(lookup(reference)) for reference, name in names.items()}}

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Run the command. Raises OperatorError with `exit_code` and `output` if it fails."""
        environment = {**os.environ, **settings.get("variables", {})}
        environment |= {
            name: _text(value) for part in (inputs, settings.get("env", {})) for name, value in part.items()
        }
        command: str | Sequence[str] = settings["command"]
        with _Group() as group:
            process = group.start(command, environment, settings.get("cwd"))
            output, errors = _read(process)
            code = process.wait()
        labels = {int(known): label for known, label in (settings.get("exit_codes") or {}).items()}
        if code not in labels and code != 0:
            raise _failure(command, code, output, errors)
        value = _value(output, settings.get("output", "text"))
        return Outcome(labels[code], value) if code in labels else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, bool)) or value is None:
        return json.dumps(value)
    return str(value)


class _Group:
    """A group of processes of which nothing is left when its block is left by an error, or when this process dies.

    The guard is there before the command, so that there is no moment in which the command could be orphaned.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Group:
        self._guard = subprocess.Popen(["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, process_group=0)
        return self

    def start(self, command: str | Sequence[str], environment: Mapping[str, str], cwd: str | None) -> Any:
        """The command's process. Raises OperatorError if it cannot be started."""
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", command] if isinstance(command, str) else command,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment, cwd=cwd, process_group=self._guard.pid,
            )  # fmt: skip
        except OSError as error:
            raise OperatorError(f"{command!r} cannot be started: {error.strerror}: {error.filename}.") from error
        return self._process

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        guard, process = self._guard, self._process
        assert guard.stdin is not None
        if kind is None:
            guard.stdin.write(b"done\n")
        elif process is not None:
            os.killpg(guard.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        guard.stdin.close()
        guard.wait()
        if process is not None:
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _read(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """All that a command writes, which is shown as it comes. Looks up often, so that it can be interrupted."""
    parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            ready = selector.select(_LOOK)
            for key, _ in ready:
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                parts[key.data].append(data)
                _show(data, sys.stdout if key.data == "stdout" else sys.stderr)
            if not ready and process.poll() is not None:
                break  # what still holds the pipes was left behind by the command
    return b"".join(parts["stdout"]).decode(errors="replace"), b"".join(parts["stderr"]).decode(errors="replace")


def _show(data: bytes, stream: IO[str]) -> None:
    stream.write(data.decode(errors="replace"))


def _value(output: str, form: str) -> Any:
    if form == "none":
        return None
    if form == "lines":
        return output.splitlines()
    if form == "json":
        try:
            return json.loads(output)
        except ValueError as error:
            raise OperatorError(
                f"The command was to write JSON to its standard output, but that cannot be read: {error}.",
                output=output,
            ) from error
    return output.removesuffix("\n")


def _failure(command: str | Sequence[str], code: int, output: str, errors: str) -> OperatorError:
    told = (errors.strip() or output.strip())[-_TAIL:]
    if code < 0:
        how = f"was ended by signal {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    text = command if isinstance(command, str) else " ".join(command)
    short = text.strip().splitlines()[0] if text.strip() else text
    return OperatorError(f"{short!r} {how}" + (f": {told}" if told else "."), exit_code=code, output=output)
