"""What IPython's magics and `!` lines do with names, after IPython has turned them into calls."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

# Magics whose line or body is ordinary Python that runs in the notebook's namespace.
_RUNS_PYTHON = frozenset({"time", "timeit", "prun", "capture", "memit", "mprun", "lprun"})
# Magics that leave names and process alone, or only change how things are shown.
_HARMLESS = frozenset(
    "flow matplotlib config load_ext reload_ext autoreload precision pinfo pinfo2 lsmagic magic quickref "
    "pwd xmode colors pprint pdb pylab warnings html markdown latex svg javascript js HTML SVG".split(),
)
_SETTINGS = frozenset("cd env set_env pushd popd pylab autoreload load_ext config".split())
_SHELL = frozenset(
    "sh bash script ruby perl system sx ! cmd writefile file pip conda ls mkdir cat rm cp mv rmdir pycat".split(),
)
_NAME = re.compile(r"\$([A-Za-z_]\w*)")
_BRACES = re.compile(r"\{([^{}]+)\}")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_AT_NAME = re.compile(r"@?\b([A-Za-z_]\w*)")


class Magic(NamedTuple):
    """One call of the shell."""

    kind: str  # "python", "shell", "harmless" or "unknown"
    name: str
    code: str  # Python that runs
    names: tuple[str, ...]  # names that it reads by interpolation
    defines: tuple[str, ...]  # names that it binds
    settings: bool  # it may change the process


def is_shell_call(node: ast.Call) -> bool:
    """Whether `node` is `get_ipython().something(...)`."""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "get_ipython"


def read_magic(node: ast.Call) -> Magic:
    """What a shell call does."""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    texts = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    if len(texts) != len(node.args):
        return Magic("unknown", method, "", (), (), settings=True)
    if method in {"system", "getoutput"}:
        return Magic("shell", "!", "", names_in_shell(" ".join(texts)), (), settings=False)
    name = texts[0] if texts else ""
    line = texts[1] if len(texts) > 1 else ""
    body = texts[2] if len(texts) > 2 else ""
    if name in _RUNS_PYTHON:
        code = body if method == "run_cell_magic" else _without_options(line)
        defined = tuple(word for word in line.split() if not word.startswith("-"))[:1] if name == "capture" else ()
        return Magic("python", name, code, (), defined, settings=False)
    names = names_in_shell(f"{line}\n{body}")
    if name in _SHELL:
        return Magic("shell", name, "", names, _outputs(line), settings=False)
    if name in _HARMLESS or name in _SETTINGS:
        own = name == "load_ext" and line.strip() == "nbflow"  # nbflow's magics change nothing that cells see
        return Magic("harmless", name, "", names_in_shell(line), (), settings=name in _SETTINGS and not own)
    return Magic("unknown", name, "", names, (), settings=True)


def names_in_shell(text: str) -> tuple[str, ...]:
    """Names that `{...}` and `$name` put into a line for the shell."""
    found = _NAME.findall(text)
    for inner in _BRACES.findall(text):
        found += _IDENTIFIER.findall(inner)
    return tuple(dict.fromkeys(found))


def names_in_query(text: str) -> tuple[str, ...]:
    """Names that a text for `eval` or `DataFrame.query` may mean."""
    return tuple(dict.fromkeys(_AT_NAME.findall(text)))


def _without_options(line: str) -> str:
    words = line.split()
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        if flag in {"-n", "-r", "-t", "-c"} and words and words[0].isdigit():
            words.pop(0)
    start = line.find(words[0]) if words else len(line)
    return line[start:]


def _outputs(line: str) -> tuple[str, ...]:
    return tuple(re.findall(r"--(?:out|err|proc)[ =](\w+)", line))
