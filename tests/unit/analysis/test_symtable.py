"""The names that a cell may read, bind and delete, compared with what the compiler makes of it."""

from __future__ import annotations

import builtins
import dis
import symtable
import textwrap
from collections.abc import Callable, Iterator
from inspect import CO_OPTIMIZED
from types import CodeType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from nbflow.analysis.cells import from_content
from nbflow.analysis.facts import CellFacts
from nbflow.analysis.statements import analyse

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")  # generated code compares literals

SETTINGS = settings(max_examples=400, database=None, deadline=None, suppress_health_check=list(HealthCheck))
BUILTINS = frozenset(dir(builtins))
CLASS_NAMES = {"__name__", "__module__", "__qualname__", "__annotations__", "__class__"}
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
NAMES = ("a", "b", "c", "d", "e")

EXPRESSIONS = (
    "<n>",
    "1",
    "[<x>, <x>]",
    "{<x>: <x>}",
    "(<x> + <x>)",
    "<n>.attr",
    "<n>[<x>]",
    "<n>(<x>, k=<x>)",
    "<n>(*<x>, **<x>)",
    "[<x> for <n> in <x>]",
    "{<n>: <x> for <n> in <x> if <x>}",
    "(<x> for <n> in <x> for <n> in <x>)",
    "[[<x> for <n> in <x>] for <n> in <x>]",
    "(lambda <n>, k=<x>: <x>)",
    "(lambda *<n>: <x>)",
    "(<x> if <x> else <x>)",
    "(<n> := <x>)",
    "[(<n> := <x>) for z in <x>]",
    "f'{<x>!r:>{<x>}}'",
    "<x> and not <x>",
    "<n>[<x>:<x>]",
    "{*<x>}",
    "(lambda: <x>)()",
    "sorted(<x>, key=lambda z: <x>)",
    "<x> < <x> is not <x>",
    "print(<x>)",
)
STATEMENTS = (
    "<n> = <x>",
    "<n>, *<n> = <x>",
    "(<n>, [<n>, <n>]) = <x>",
    "<n>.k = <x>",
    "<n>[<x>] = <x>",
    "<n> += <x>",
    "<n>[<x>] += <x>",
    "<n>: int = <x>",
    "<n>: <x>",
    "del <n>",
    "del <n>[<x>]",
    "del (<n>, <n>)",
    "<x>",
    "import os as <n>",
    "import os.path",
    "from math import pi as <n>",
    "assert <x>, <x>",
    "raise <x> from <x>",
    "global <n>\n<n> = <x>",
    "for <n> in <x>:\n    <s>",
    "for <n>, <n>.k in <x>:\n    <s>\nelse:\n    <s>",
    "while <x>:\n    <s>\n    break",
    "if <x>:\n    <s>\nelif <x>:\n    <s>\nelse:\n    <s>",
    "with <x> as <n>, <x>:\n    <s>",
    "with <x> as (<n>, <n>[<x>]):\n    <s>",
    "try:\n    <s>\nexcept <x> as <n>:\n    <s>\nelse:\n    <s>\nfinally:\n    <s>",
    "try:\n    <s>\nexcept* <x> as <n>:\n    <s>",
    "match <x>:\n    case [<n>, *_] if <x>:\n        <s>\n    case {'k': 1, **rest}:\n        <s>\n"
    "    case <N>(k=<n>) | <N>(j=<n>):\n        <s>\n    case str() as <n>:\n        <s>",
    "match <x>:\n    case <n>.attr:\n        <s>\n    case 1 | None:\n        <s>",
    "def <n>(<n>, k=<x>, *, j=<x>):\n    <s>\n    return <x>",
    "def <n>(z: <x>) -> <x>:\n    global <g>\n    <s>\n    yield <x>",
    "@<x>\ndef <n>():\n    def inner():\n        nonlocal z\n        z = <x>\n        <s>\n    z = 1\n    return inner",
    "async def <n>(*z):\n    async with <x> as y:\n        await <x>",
    "class <n>(<x>, metaclass=<x>):\n    <s>\n    <s>",
    "@<x>\nclass <n>:\n    y = <x>\n    def get(self, k=<x>):\n        <s>\n        return super().get(<x>)",
    "def <n>():\n    class y:\n        <s>\n    return y",
    "def <n>():\n    import os as z\n    del z\n    return [z for z in <x>]",
)


@st.composite
def sources(draw: Callable[[Any], Any]) -> str:
    """A cell that the compiler accepts or not."""
    return "\n".join(_statement(draw, 3) for _ in range(draw(st.integers(1, 3))))


def _statement(draw: Callable[[Any], Any], depth: int) -> str:
    text: str = draw(st.sampled_from(STATEMENTS if depth else STATEMENTS[:12]))
    out = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip() == "<s>":
            out += [indent + part for part in _statement(draw, depth - 1).split("\n")]
        else:
            out.append(_filled(draw, line))
    return "\n".join(out)


def _filled(draw: Callable[[Any], Any], text: str, depth: int = 2) -> str:
    while "<x>" in text:
        inner = _filled(draw, draw(st.sampled_from(EXPRESSIONS if depth else EXPRESSIONS[:2])), max(depth - 1, 0))
        text = text.replace("<x>", inner, 1)
    for hole in ("<n>", "<N>", "<g>"):
        while hole in text:
            text = text.replace(hole, draw(st.sampled_from(NAMES)), 1)
    return text


def facts_of(*cells: str) -> list[CellFacts]:
    made = [{"cell_type": "code", "source": source, "metadata": {}} for source in cells]
    return analyse(from_content({"nbformat": 4, "metadata": {}, "cells": made}, "case.ipynb").cells)


def compiled(source: str) -> CodeType:
    """The code of a cell; what the compiler refuses is no case."""
    try:
        return compile(source, "<cell>", "exec", dont_inherit=True)
    except SyntaxError:
        reject()


def code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_objects(constant)


def used_by(codes: Iterator[CodeType], module: CodeType, *operations: str) -> set[str]:
    """Globals that some instruction of the code objects loads, stores or deletes."""
    found = set()
    for code in codes:
        stored: set[str] = set()  # by a class body, before it loads them
        for instruction in dis.get_instructions(code):
            kind, _, where = instruction.opname.partition("_")
            if code is not module and instruction.opname == "STORE_NAME":
                stored.add(instruction.argval)
            if instruction.opname == "LOAD_NAME" and instruction.argval in stored:
                continue
            own = where == "NAME" and code is not module and kind != "LOAD"  # a class body's own name
            if kind in operations and where in {"GLOBAL", "NAME"} and not own:
                found.add(instruction.argval)
    return found - CLASS_NAMES


def run_with_cell(code: CodeType) -> Iterator[CodeType]:
    """The code objects that run when the cell runs: its own, those of comprehensions and of class bodies."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and (
            constant.co_name in COMPREHENSIONS or not constant.co_flags & CO_OPTIMIZED
        ):
            yield from run_with_cell(constant)


@SETTINGS
@given(sources())
def test_every_global_that_running_the_cell_loads_may_be_read_or_is_bound_in_it(source: str) -> None:
    module = compiled(source)
    facts = facts_of(source)[0]
    loaded = used_by(run_with_cell(module), module, "LOAD") - BUILTINS
    assert loaded <= set(facts.reads) | set(facts.defines), source


@SETTINGS
@given(sources())
def test_every_global_that_a_function_loads_may_be_read_where_it_is_used(source: str) -> None:
    body = textwrap.indent(source, "    ")
    cells = (f"def function():\n{body}", "function")
    module = compiled(cells[0])
    loaded = used_by(code_objects(module), module, "LOAD") - BUILTINS
    assert loaded <= set(facts_of(*cells)[1].reads), source


@SETTINGS
@given(sources())
def test_every_global_that_a_function_stores_may_be_bound_where_it_is_used(source: str) -> None:
    body = textwrap.indent(source, "    ")
    cells = (f"def function():\n{body}", "function")
    module = compiled(cells[0])
    stored = used_by(code_objects(module), module, "STORE", "DELETE") - {"function"}
    assert stored == set(facts_of(*cells)[1].defines), source


def bound_globals(table: symtable.SymbolTable) -> set[str]:
    """Globals that the source binds anywhere, also where it can never come to."""
    top = table.get_type() == "module"
    found = {item.get_name() for item in table.get_symbols() if item.is_assigned() or item.is_imported()} & {
        item.get_name() for item in table.get_symbols() if top or item.is_declared_global()
    }
    return found.union(*[bound_globals(child) for child in table.get_children()])


@SETTINGS
@given(sources())
def test_a_cell_may_bind_what_the_compiler_stores_at_its_top_and_nothing_that_is_never_stored(source: str) -> None:
    module = compiled(source)
    defined = set(facts_of(source)[0].defines)
    assert used_by(run_with_cell(module), module, "STORE", "DELETE") <= defined, source
    assert defined <= bound_globals(symtable.symtable(source, "<cell>", "exec")), source


@SETTINGS
@given(sources())
def test_a_cell_may_delete_what_the_compiler_deletes_at_its_top(source: str) -> None:
    module = compiled(source)
    assert used_by(iter([module]), module, "DELETE") <= set(facts_of(source)[0].deletes), source
