"""The text of code without what does not matter: comments, formatting, docstrings, decorators.

Decorators are left out because what they made of the function is what runs, and that is looked at instead.
"""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import operator
import weakref
from types import CodeType
from typing import Any, NamedTuple

_FUTURE_FLAGS = functools.reduce(
    operator.or_, [getattr(__future__, name).compiler_flag for name in __future__.all_feature_names]
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef

# By id, because equal code objects may come from different sources (`1 + 1` and `2`); removed when the code dies.
_TEXTS: dict[int, tuple[weakref.ref[CodeType], str]] = {}
_NAMES: weakref.WeakKeyDictionary[CodeType, Names] = weakref.WeakKeyDictionary()


def code_text(code: CodeType) -> str:
    """What a function says: its source normalised, or its bytecode where there is no source that fits."""
    identity = id(code)
    known = _TEXTS.get(identity)
    if known is not None and known[0]() is code:
        return known[1]
    try:
        text = _from_source(code) or _from_bytecode(code)
    except Exception:  # no source, or one that does not parse on its own
        text = _from_bytecode(code)
    _TEXTS[identity] = (weakref.ref(code, lambda _: _TEXTS.pop(identity, None)), text)
    return text


class Names(NamedTuple):
    """The names that a function uses, those of the functions inside it too."""

    globals: frozenset[str]  # builtins among them
    attributes: frozenset[str]  # of anything
    imports: frozenset[str]  # modules that it imports when it runs


def names_of(code: CodeType) -> Names:
    """Return the names that a function uses."""
    known = _NAMES.get(code)
    if known is None:
        import dis

        found: dict[str, set[str]] = {"LOAD_GLOBAL": set(), "LOAD_NAME": set(), "IMPORT_NAME": set()}
        for instruction in dis.get_instructions(code):
            found.get(instruction.opname, set()).add(instruction.argval)
        inner = [names_of(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
        known = _NAMES[code] = Names(
            frozenset(found["LOAD_GLOBAL"] | found["LOAD_NAME"]).union(*[names.globals for names in inner]),
            frozenset(code.co_names).union(*[names.attributes for names in inner]),
            frozenset(found["IMPORT_NAME"]).union(*[names.imports for names in inner]),
        )
    return known


def normalised(tree: ast.AST) -> str:
    """A syntax tree as text, without docstrings and decorators; changes the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            _strip_docstring(node)
    return ast.dump(tree)


def _from_source(code: CodeType) -> str | None:
    source = inspect.getsource(code)
    if source[:1].isspace():
        source = "if True:\n" + source  # textwrap.dedent would change texts of several lines
    node: Any = ast.parse(source).body[0]
    if isinstance(node, ast.If):
        node = node.body[0]
    if not isinstance(node, _Function) or node.name != code.co_name:
        return None  # a lambda, whose line may hold others
    node.decorator_list = []
    if not _fits(node, code):
        return None  # the file was edited after it was imported
    return normalised(node)


def _fits(node: _Function, code: CodeType) -> bool:
    """Whether the source, compiled again, gives the code that runs."""
    body: list[ast.stmt] = [node]
    owner = code.co_qualname.rpartition(".")[0].rpartition(".")[2]
    if owner and owner != "<locals>":  # names with two underscores are changed by the class around them
        body = [ast.ClassDef(owner, [], [], body, [])]
    if code.co_freevars:
        cells: list[ast.stmt] = [ast.parse(f"{name} = None").body[0] for name in code.co_freevars]
        arguments = ast.arguments([], [], None, [], [], None, [])
        body = [ast.FunctionDef("_", arguments, cells + body, [])]
    module = ast.fix_missing_locations(ast.Module(body, []))
    flags = code.co_flags & _FUTURE_FLAGS
    compiled = compile(module, code.co_filename, "exec", flags=flags, dont_inherit=True)
    found = _find(compiled, code.co_name)
    return found is not None and _from_bytecode(found) == _from_bytecode(code)


def _find(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found = constant if constant.co_name == name else _find(constant, name)
            if found is not None:
                return found
    return None


def _from_bytecode(code: CodeType) -> str:
    constants = list(code.co_consts)
    if constants and isinstance(constants[0], str) and not code.co_name.startswith("<"):
        constants[0] = None  # the docstring
    parts = (
        code.co_name,
        code.co_code.hex(),
        [_constant(constant) for constant in constants],
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~inspect.CO_NESTED),
        code.co_exceptiontable.hex(),
    )
    return repr(parts)


def _constant(constant: Any) -> str:
    if isinstance(constant, CodeType):
        return _from_bytecode(constant)
    if isinstance(constant, frozenset):
        return "frozenset" + repr(sorted(map(_constant, constant)))
    return repr(constant)


def _strip_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> None:
    if not isinstance(node, ast.Module):
        node.decorator_list = []
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
