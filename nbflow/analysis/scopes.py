"""Which global names a function, lambda or class body uses: as the compiler itself resolves them."""

from __future__ import annotations

import ast
import dis
from types import CodeType

from nbflow.analysis.facts import Code


def code_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> Code:
    """The global names that running the body of `node` may read and set."""
    if isinstance(node, ast.Lambda):
        tree: ast.Module | ast.Expression = ast.Expression(body=node)
        compiled = compile(tree, "<cell>", "eval", dont_inherit=True)
    else:
        compiled = compile(ast.Module(body=[node], type_ignores=[]), "<cell>", "exec", dont_inherit=True)
    reads: set[str] = set()
    defines: set[str] = set()
    for inner in _inner(compiled):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"}:
                reads.add(str(instruction.argval))
            elif instruction.opname in {"STORE_GLOBAL", "DELETE_GLOBAL"}:
                defines.add(str(instruction.argval))
    if isinstance(node, ast.ClassDef):
        reads -= {"__name__", "__module__", "__qualname__"}
    return Code(frozenset(reads), frozenset(defines))


def local_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> frozenset[str]:
    """The names that belong to the function itself."""
    if isinstance(node, ast.Lambda):
        compiled = compile(ast.Expression(body=node), "<cell>", "eval", dont_inherit=True)
    else:
        compiled = compile(ast.Module(body=[node], type_ignores=[]), "<cell>", "exec", dont_inherit=True)
    names: set[str] = set()
    for inner in _inner(compiled):
        names.update(inner.co_varnames, inner.co_cellvars)
    return frozenset(names)


def _inner(code: CodeType) -> list[CodeType]:
    found: list[CodeType] = []
    stack = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    while stack:
        inner = stack.pop()
        found.append(inner)
        stack.extend(constant for constant in inner.co_consts if isinstance(constant, CodeType))
    return found
