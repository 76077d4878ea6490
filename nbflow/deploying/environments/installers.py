"""Making virtual environments with the tools that are there: uv, else venv and pip."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbflow.model.errors import EnvironmentFailedError

# What would lead a Python, or an installer, to another environment than its own.
_FOREIGN = re.compile(r"PYTHON(PATH|HOME|STARTUP|USERBASE|EXECUTABLE|SAFEPATH)$|VIRTUAL_ENV|CONDA_|__PYVENV|UV_PROJECT")
_MOST_LINES = 6
_TELLING = re.compile(r"^\s*(error|ERROR|cause:|Caused by|\u00d7|\u2570|hint|Because|And because|we can conclude|No )")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")  # with the user's name, in the URL of an index


def clean_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of this process (or `environment`) without those that point at some environment of Python's."""
    variables = {key: value for key, value in (environment or os.environ).items() if not _FOREIGN.match(key)}
    here = (environment or os.environ).get("VIRTUAL_ENV")
    if here:
        parts = variables.get("PATH", "").split(os.pathsep)
        variables["PATH"] = os.pathsep.join(part for part in parts if part != str(Path(here, "bin")))
    return variables


def new_environment(folder: Path, python: str) -> None:
    """An empty environment in `folder` for a Python such as "3.11". Raises EnvironmentFailedError."""
    uv = _uv()
    if uv:
        _run([uv, "venv", "--quiet", "--python", python, str(folder)], f"Python {python}")
        return
    _run([interpreter(python), "-m", "venv", "--without-pip", str(folder)], f"an environment with Python {python}")


def install(folder: Path, requirements: Sequence[str]) -> None:
    """Install requirements into an environment. Raises EnvironmentFailedError with what the installer says."""
    if not requirements:
        return
    listed = folder / "requirements.txt"
    listed.write_text("".join(f"{requirement}\n" for requirement in requirements), encoding="utf-8")
    _run([*_installer(str(folder / "bin" / "python")), "-r", str(listed)], "its packages")


def interpreter(python: str) -> str:
    """The interpreter of a version such as "3.11" on this machine. Raises EnvironmentFailedError."""
    if python == here():
        return str(getattr(sys, "_base_executable", None) or sys.executable)
    found = shutil.which(f"python{python}", path=clean_variables().get("PATH"))
    if found is None:
        raise EnvironmentFailedError(
            f"Python {python} is not on this machine, where python{python} is not on PATH. Install it, or install uv, "
            f"which brings it; or promote with the Python of the worker, {here()}.",
            python=python,
        )
    return found


def here() -> str:
    """The version of this Python, such as "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _uv() -> str | None:
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _installer(python: str) -> list[str]:
    uv = _uv()
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", python]
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentFailedError("neither uv nor pip is installed here. Install one: uv is the faster.")
    return [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check",
            "--no-input", "--no-warn-script-location"]  # fmt: skip


def _run(command: list[str], what: str) -> None:
    variables = clean_variables()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvironmentFailedError(f"{what} cannot be installed: {few_lines(done.stderr or done.stdout)}")


def without_passwords(text: str) -> str:
    """A text with `***` for who logs in by a URL, and with what."""
    return _PASSWORD.sub("***@", text)


def few_lines(text: str) -> str:
    """What of an installer's words tells why it failed, in few lines and without passwords."""
    lines = [line.strip() for line in without_passwords(text).splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.match(line)]
    chosen = telling[:_MOST_LINES] or lines[-_MOST_LINES:]
    return "\n".join(chosen) or "the installer does not say why."
