"""Which global names a function, lambda or class body uses: as the compiler itself resolves them."""

from __future__ import annotations

import ast
import dis
import symtable
import sys
from types import CodeType

from nbflow.analysis.facts import Code, Known

_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef


def code_names(node: _Scope) -> Code:
    """The global names that running the body of `node` may read and set."""
    reads: set[str] = set()
    defines: set[str] = set()
    for inner in _inner(_compiled(node)):
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
    names: set[str] = set()
    for inner in _inner(_compiled(node)):
        names.update(inner.co_varnames, inner.co_cellvars)
    return frozenset(names)


class ClassScope(dict[str, Known]):
    """The names of a class body; one that is not bound yet is looked up outside, as Python does it."""

    def __init__(self, node: ast.ClassDef) -> None:
        super().__init__()
        self.own = _names_of_class(node)


def _names_of_class(node: ast.ClassDef) -> frozenset[str]:
    alone = ast.ClassDef(node.name, bases=[], keywords=[], body=node.body, decorator_list=[])
    if sys.version_info >= (3, 12):
        alone.type_params = []
    free = sorted({name for part in ast.walk(node) if isinstance(part, ast.Nonlocal) for name in part.names})
    lines = ["def _(" + ", ".join(free) + "):", *("  " + line for line in ast.unparse(alone).splitlines())]
    table = symtable.symtable("\n".join(lines), "<cell>", "exec").get_children()[0].get_children()[0]
    return frozenset(symbol.get_name() for symbol in table.get_symbols() if symbol.is_local())


def _compiled(node: _Scope) -> CodeType:
    """Code that has the code of `node` as its only constant of that kind."""
    body: ast.stmt = ast.Expr(node) if isinstance(node, ast.Lambda) else node
    free = sorted({name for part in ast.walk(node) if isinstance(part, ast.Nonlocal) for name in part.names})
    if free:  # variables of a function around it, which is not here
        arguments = ast.arguments([], [ast.arg(name) for name in free], kwonlyargs=[], kw_defaults=[], defaults=[])
        body = ast.FunctionDef("_", arguments, [body], decorator_list=[])
    module = ast.fix_missing_locations(ast.Module(body=[body], type_ignores=[]))
    compiled = compile(module, "<cell>", "exec", dont_inherit=True)
    return _inner(compiled)[0] if free else compiled


def _inner(code: CodeType) -> list[CodeType]:
    found: list[CodeType] = []
    stack = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    while stack:
        inner = stack.pop()
        found.append(inner)
        stack.extend(constant for constant in inner.co_consts if isinstance(constant, CodeType))
    return found


def runs_through(node: ast.For | ast.AsyncFor) -> bool:
    """Whether the body of a loop is run at least once, and to its end."""
    listed = isinstance(node.iter, (ast.Tuple, ast.List)) and any(
        not isinstance(item, ast.Starred) for item in node.iter.elts
    )
    return listed and not any(
        isinstance(part, (ast.Break, ast.Continue, ast.Return)) for child in node.body for part in ast.walk(child)
    )


def annotations_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """The annotations of a function's parameters and of what it returns."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found = [argument.annotation for argument in arguments if argument is not None] + [node.returns]
    return [annotation for annotation in found if annotation is not None]
