"""The files of the project, as the rules read them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nbflow"
TESTS = ROOT / "tests"


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is in git or would be with `git add`; those of the packages alone where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = [path for folder in ("nbflow", "tests", "notebooks") for path in (ROOT / folder).rglob("*")]
        return tuple(sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts))
    return tuple(sorted(ROOT / name for name in listed if name and (ROOT / name).is_file()))


def sources(folder: Path) -> list[Path]:
    """The Python files below a folder."""
    return [path for path in project_files() if path.suffix == ".py" and path.is_relative_to(folder)]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def short(path: Path) -> str:
    """A file's path from the root, the same on every system."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Each module that a file imports, its line, and whether that happens when the file itself is imported."""
    lazy = {
        id(inner)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, id(node) not in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from nbflow import settings` imports a room of the house, and is told from `from nbflow import step`.
            names = [f"nbflow.{alias.name}" for alias in node.names] if module == "nbflow" else [module]
            yield from ((name, node.lineno, id(node) not in lazy) for name in names)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
