"""Measures the code: lengths, arguments, comments. `python -m tests.house.measure` prints them."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.house.files import PACKAGE, TESTS, short, sources, tree

FUNCTION_LINES = 60
FUNCTION_LINES_P95 = 35
CLASS_LINES = 250
FILE_LINES = 400
POSITIONAL_ARGUMENTS = 5
TEST_LINES_MEDIAN = 10

_NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef


class Violation(NamedTuple):
    """One place that breaks one rule."""

    rule: str
    where: str
    found: int


class Lines(NamedTuple):
    """Which lines of a file hold code and which hold a comment."""

    code: frozenset[int]
    comment: frozenset[int]


@cache
def lines(path: Path) -> Lines:
    """Lines of a file by what they hold. Docstrings are neither code nor comment."""
    code: set[int] = set()
    comment: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            comment.add(token.start[0])
        elif token.type not in _NOT_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return Lines(frozenset(code - _docstring_lines(path)), frozenset(comment))


def _docstring_lines(path: Path) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, _Definition | ast.Module) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            found.update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return found


def definitions(path: Path) -> Iterator[tuple[str, _Definition]]:
    """Every function and class of a file, under its qualified name."""

    def below(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Definition]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _Definition):
                yield prefix + child.name, child
                yield from below(child, f"{prefix}{child.name}.")
            else:
                yield from below(child, prefix)

    return below(tree(path), "")


def code_lines(path: Path, node: _Definition) -> int:
    """Lines of a definition that hold code: its docstring, comments and blank lines do not count."""
    return sum(1 for number in lines(path).code if node.lineno <= number <= (node.end_lineno or node.lineno))


def positional(node: _Function) -> int:
    """Arguments that a caller may give by position, without `self` or `cls`."""
    names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    return len(names[1:] if names[:1] in (["self"], ["cls"]) else names)


def violations(folder: Path) -> Iterator[Violation]:
    """Every place of a folder that is longer or takes more arguments than the house allows."""
    for path in sources(folder):
        if (found := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES:
            yield Violation("file", short(path), found)
        for name, node in definitions(path):
            where = f"{short(path)}:{name}"
            if isinstance(node, ast.ClassDef):
                if (found := (node.end_lineno or 0) - node.lineno + 1) > CLASS_LINES:
                    yield Violation("class", where, found)
                continue
            if (found := code_lines(path, node)) > FUNCTION_LINES:
                yield Violation("function", where, found)
            if (found := positional(node)) > POSITIONAL_ARGUMENTS:
                yield Violation("arguments", where, found)


def function_lengths(folder: Path, prefix: str = "") -> list[int]:
    """Code lines of every function whose name starts with `prefix`, the shortest first."""
    return sorted(
        code_lines(path, node)
        for path in sources(folder)
        for _, node in definitions(path)
        if isinstance(node, _Function) and node.name.startswith(prefix)
    )


def p95(lengths: list[int]) -> int:
    """The length that 95 of 100 functions do not exceed."""
    return lengths[max(0, -(-len(lengths) * 95 // 100) - 1)]


def exceptions(*rules: str) -> set[tuple[str, str]]:
    """The (rule, where) pairs that exceptions.toml allows for these rules; each has a reason."""
    listed = tomllib.loads((TESTS / "house" / "exceptions.toml").read_text(encoding="utf-8")).get("exception", [])
    assert all(entry["reason"].strip() for entry in listed), "an exception needs a reason"
    return {(entry["rule"], entry["where"]) for entry in listed if entry["rule"] in rules}


def report() -> str:
    """The numbers of the house in a few lines, for people."""
    rows = []
    for folder in (PACKAGE, TESTS):
        counted = [lines(path) for path in sources(folder)]
        code, comment = sum(len(each.code) for each in counted), sum(len(each.comment) for each in counted)
        lengths = function_lengths(folder) or [0]
        rows.append(
            f"{folder.name:>7}: {len(counted):4} files {code:6} code lines, "
            f"{100 * comment / max(code, 1):4.1f} % comments; "
            f"functions: median {statistics.median(lengths):.0f}, p95 {p95(lengths)}, longest {lengths[-1]}"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(report())
