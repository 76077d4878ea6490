"""What a cell's statements do to names, in order and on every branch."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nbflow.analysis import magics
from nbflow.analysis.calls import Calls
from nbflow.analysis.cells import Cell, transform
from nbflow.analysis.expressions import part_of, setting_or_patch
from nbflow.analysis.facts import ATOM, EFFECTS, INPUT, OPAQUE, OUTSIDE, SETTINGS, CellFacts, Code, Known, Mark
from nbflow.analysis.knowledge import is_installed
from nbflow.analysis.scopes import ClassScope, annotations_of, code_names, local_names, runs_through

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def analyse(cells: Sequence[Cell]) -> list[CellFacts]:
    """Analyse the cells of a notebook in page order."""
    known: dict[str, Known] = {}
    return [_analyse_cell(cell, known) for cell in cells]


def _analyse_cell(cell: Cell, known: dict[str, Known]) -> CellFacts:
    walker = Statements(known)
    walker.run(cell.tree.body)
    facts = walker.facts
    declared = cell.options
    for name in declared.ins:
        facts.reads.setdefault(name, Mark(1, f"declared: ins={name}"))
    for name in declared.outs:
        mark = Mark(1, f"declared: outs={name}")
        facts.reads.setdefault(name, mark)
        walker.bind(name, cell.tree, Known(), certain=False, reason=mark.reason)
        facts.changes.setdefault(name, mark)
    if declared.effects:
        # What is declared replaces what was guessed.
        facts.effects = {name: Mark(1, f"declared: effects={name}") for name in declared.effects if name in EFFECTS}
    facts.certain = walker.bound & set(facts.defines)
    return facts


class Statements(Calls):
    """Walks over statements; see `Expressions` for what is kept."""

    def run(self, body: Iterable[ast.stmt]) -> None:
        """Walk over statements that run one after the other."""
        for statement in body:
            handler = getattr(self, f"_do_{type(statement).__name__}", None)
            if handler is not None:
                handler(statement)
            else:
                for child in ast.iter_child_nodes(statement):
                    if isinstance(child, ast.expr):
                        self.value(child)

    def _branches(self, *bodies: Sequence[ast.stmt]) -> None:
        """Walk over bodies of which any may run, or none; what all of them bind is bound."""
        before, certain = set(self.bound), self.certain
        ends: list[set[str]] = []
        self.certain = False
        for body in bodies:
            self.bound = set(before)
            # Inside of a branch, a name bound earlier in the same branch is not read from outside.
            for statement in body:
                defined = set(self.facts.defines)
                events = len(self.facts.events)
                self.run([statement])
                self._settle(statement, defined, events)
            ends.append(self.bound)
        self.certain = certain
        self.bound = set.intersection(*ends) if ends else before

    def _settle(self, statement: ast.stmt, defined: set[str], events: int) -> None:
        if isinstance(
            statement, (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        ):
            for event in self.facts.events[events:]:
                if (
                    event.kind == "bind"
                    and "may set" not in event.mark.reason
                    and not event.mark.reason.endswith("may be empty")
                ):
                    self.bound.update(event.names)

    # -- bindings -------------------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Known, node: ast.AST) -> None:
        """Bind a target of any form to a value."""
        if isinstance(target, ast.Name):
            scope = self.scope_of(target.id)
            if scope is not None:
                scope[target.id] = value.joined(scope[target.id]) if target.id in scope else value
            else:
                self.bind(target.id, node, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            part = part_of(value)
            for element in target.elts:
                self.assign(element, part, node)
            if value.kind not in {"atom", "data"}:  # the parts of one result, such as a figure and its axes
                self.link([item.id for item in target.elts if isinstance(item, ast.Name)], node)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, Known(value.roots, None, None, value.code, value.views), node)  # a new list
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            owner = self.value(target.value)
            if isinstance(target, ast.Subscript):
                self.value(target.slice)
            if owner.path and not owner.roots:
                self.effect(setting_or_patch(owner.path), node, f"sets {ast.unparse(target)[:40]}")
            else:
                self.change_value(owner, node, "sets a part of {}")
            if value.kind != "atom":
                self._keep(node, [owner, value])

    def _do_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
            if len(pairs) == len(node.value.elts) == len(node.targets[0].elts):
                values = [self.value(item) for _, item in pairs]
                mixed = frozenset[str]().union(*[value.roots | value.views for value in values])
                mixed &= {target.id for target, _ in pairs if isinstance(target, ast.Name)}
                for (target, _), value in zip(pairs, values, strict=True):
                    # What one name loses may be what another one gets (`a, b = b, a`): none leaves its group here.
                    swapped = mixed if value.kind != "atom" else frozenset[str]()
                    self.assign(target, replace(value, views=value.views | swapped), node)
                return
        value = self.value(node.value)
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        for target in node.targets:
            self.assign(target, value, node)
        if len(names) > 1 and value.kind != "atom":
            self.link(names, node)

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.value(node.annotation)
        if node.value is not None:
            self.assign(node.target, self.value(node.value), node)

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        load = ast.copy_location(ast.parse(ast.unparse(node.target), mode="eval").body, node.target)
        for child in ast.walk(load):
            ast.copy_location(child, node)
        old, added = self.value(load), self.value(node.value)
        if old.kind != "atom":
            self.change_value(old, node, "changes {} in place")
        kind = old.kind if old.kind == added.kind else None
        joined = old.joined(added)
        self.assign(node.target, Known(joined.roots, kind, None, joined.code, joined.views), node)

    def _do_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete(target, node)

    def _delete(self, target: ast.expr, node: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self._remove(target.id, node)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self._delete(element, node)
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            if isinstance(target, ast.Subscript):
                self.value(target.slice)
            self.change_value(self.value(target.value), node, "deletes a part of {}")

    def _remove(self, name: str, node: ast.AST) -> None:
        if self.scope_of(name) is not None:
            return
        self.read(name, node, f"deletes {name}")
        self.facts.deletes.setdefault(name, self.mark(node, f"deletes {name}"))
        self.bind(name, node, Known(), reason=f"deletes {name}")

    def _do_Import(self, node: ast.Import) -> None:
        for item in node.names:
            if item.name == "__main__":
                self.effect(OPAQUE, node, "imports the notebook itself")
            self._imported(item.name, node)
            name = item.asname or item.name.partition(".")[0]
            path = item.name if item.asname else name
            self.bind_here(name, node, Known(kind="module", path=path), f"imports {item.name}")

    def _imported(self, module: str, node: ast.AST) -> None:
        if not is_installed(module.partition(".")[0]):
            self.effect(INPUT, node, f"imports {module} from a file that a cell may have written")

    def _do_ImportFrom(self, node: ast.ImportFrom) -> None:
        for item in node.names:
            if item.name == "*":
                self.effect(OPAQUE, node, f"imports every name of {node.module}")
            elif node.module == "__future__":
                continue
            else:
                self._imported(node.module or "", node)
                path = f"{node.module}.{item.name}"
                self.bind_here(item.asname or item.name, node, Known(kind="module", path=path), f"imports {path}")

    # -- definitions ----------------------------------------------------------------------------------------------

    def _do_FunctionDef(self, node: _Function) -> None:
        for annotation in annotations_of(node):
            self.value(annotation)
        held = [self.value(item) for item in [*node.args.defaults, *node.args.kw_defaults] if item is not None]
        value = self.code_value(node.body, node.args, code_names(node), local_names(node))
        if node.decorator_list:
            for decorator in node.decorator_list:
                wrapper = self.value(decorator)
                if wrapper.code is not None:
                    self.use(wrapper.code, decorator, ast.unparse(decorator)[:40])
                value = value.joined(wrapper)
            value = Known(value.roots, None, None, value.code)
        roots = value.roots.union(*[item.roots | item.views for item in held])
        self.assign(ast.Name(node.name, ast.Store()), Known(roots, None, None, value.code), node)

    _do_AsyncFunctionDef = _do_FunctionDef

    def code_value(
        self, body: list[ast.stmt], args: ast.arguments, code: Code, local: frozenset[str] | None = None,
    ) -> Known:  # fmt: skip
        """What calling a function with this body does, as far as can be said before."""
        everything = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        parameters = [item.arg for item in everything] + [item.arg for item in (args.vararg, args.kwarg) if item]
        inner = Statements(dict(self.known), parameters)
        inner.certain = False
        inner.returned = Known(kind="atom")
        for name in (local or frozenset()) - set(parameters):
            inner.scopes[0].setdefault(name, Known())
        for name in code.defines:
            inner.known.setdefault(name, Known())
        for _ in range(2):  # twice, so that what a loop or a later line links is seen by earlier lines
            inner.run(body)
        facts = inner.facts
        changed = {name for event in facts.events if event.kind == "change" for name in event.names}
        changed = _closure(changed, facts)
        touched = frozenset(name.removeprefix("parameter ") for name in changed if name.startswith("parameter "))
        own = frozenset(name for name in changed if not name.startswith("parameter ")) & (code.reads | code.defines)
        effects = frozenset(effect for effect in facts.effects if effect != "history")
        gives = (inner.returned.roots | inner.returned.views) & (code.reads | code.defines)
        found = Code(code.reads, code.defines, own, touched, effects, frozenset(gives))
        returned = inner.returned.code  # a function that it returns may be called as soon as it is called
        return Known(code=found.joined(returned) if returned is not None else found)

    def _do_Return(self, node: ast.Return) -> None:
        self.returned = self.returned.joined(self.value(node.value))

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> Known:
        self.returned = self.returned.joined(self.value(node.value))
        return Known()

    def _do_ClassDef(self, node: ast.ClassDef) -> None:
        value = Known(code=Code())
        for base in [*node.bases, *[item.value for item in node.keywords], *node.decorator_list]:
            value = value.joined(self.value(base))
        names = code_names(node)
        code = Code(names.reads, names.defines).joined(value.code or Code())
        scope = ClassScope(node)
        self.scopes.append(scope)
        certain, self.certain = self.certain, False
        self.run(node.body)
        self.certain = certain
        self.scopes.pop()
        roots = value.roots | value.views
        for held in scope.values():
            code = code.joined(held.code) if held.code is not None else code
            roots |= held.roots | held.views
        # What methods change of their object is no argument of who calls the class: that object is new.
        code = replace(code, parameters=code.parameters - _first_parameters(node))
        kind = None if node.decorator_list or node.keywords else "class"
        self.assign(ast.Name(node.name, ast.Store()), Known(roots, kind, None, code), node)

    # -- control flow ---------------------------------------------------------------------------------------------

    def _do_If(self, node: ast.If) -> None:
        self.value(node.test)
        self._branches(node.body, node.orelse)

    def _do_For(self, node: ast.For | ast.AsyncFor) -> None:
        items = self.value(node.iter)
        part = part_of(items)
        if runs_through(node):
            for _ in range(2):  # later lines of a loop come before earlier ones
                self.assign(node.target, part, node)
                self.run(node.body)
            self.run(node.orelse)
            return
        before, certain = set(self.bound), self.certain
        self.certain = False
        self.assign(node.target, part, node)
        self.bound.update(
            child.id
            for child in ast.walk(node.target)
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
        )
        self.certain = certain
        self._branches(node.body, [])
        self._branches(node.body, node.orelse)  # again: later lines of a loop come before earlier ones
        self.bound = before & self.bound

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While) -> None:
        self.value(node.test)
        self._branches(node.body, [])
        self._branches(node.body, node.orelse)
        self.value(node.test)

    def _do_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value, node)
        self.run(node.body)

    _do_AsyncWith = _do_With

    def _do_Try(self, node: ast.Try) -> None:
        before = set(self.bound)
        self._branches(node.body, [])
        for handler in node.handlers:
            self.value(handler.type)
            if handler.name:
                certain, self.certain = self.certain, False
                self.bind_here(handler.name, handler, Known(), f"sets {handler.name}")
                self.bound.add(handler.name)
                self.certain = certain
            self._branches(handler.body, [])
            if handler.name and self.scope_of(handler.name) is None:
                self.facts.deletes.setdefault(
                    handler.name, self.mark(handler, f"deletes {handler.name} at the end of except")
                )
                self.bound.discard(handler.name)
        self._branches(node.orelse, [])
        self.bound = before
        self.run(node.finalbody)

    _do_TryStar = _do_Try

    def _do_Match(self, node: ast.Match) -> None:
        subject = self.value(node.subject)
        for case in node.cases:
            certain, self.certain = self.certain, False
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    self.assign(ast.Name(name, ast.Store()), Known(subject.roots, None, None, subject.code), node)
                if isinstance(part, (ast.MatchValue, ast.MatchClass)):
                    self.value(part.value if isinstance(part, ast.MatchValue) else part.cls)
            self.certain = certain
        self._branches(*[case.body for case in node.cases], [])

    # -- magics ---------------------------------------------------------------------------------------------------

    def magic(self, node: ast.Call) -> Known:
        """Look into what IPython's syntax was turned into."""
        magic = magics.read_magic(node)
        for name in magic.names:
            if name in self.known:
                self.read(
                    name,
                    node,
                    f"%{magic.name} reads {name}" if magic.kind != "shell" else f"the shell line reads {name}",
                )
        if magic.settings:
            self.effect(SETTINGS, node, f"%{magic.name} may change the process")
        if magic.kind == "python":
            _, tree = transform(magic.code, 0)
            for part in ast.walk(tree):
                if hasattr(part, "lineno"):
                    part.lineno += node.lineno - (0 if "\n" in magic.code else 1)
            self._branches(tree.body) if magic.name == "timeit" else self.run(tree.body)
        elif magic.kind == "shell":
            self.effect(OUTSIDE, node, "runs a program")
        elif magic.kind == "unknown":
            self.effect(OPAQUE, node, f"%{magic.name} is not known")
            self.effect(OUTSIDE, node, f"%{magic.name} is not known")
        for name in magic.defines:
            self.bind(name, node, Known(), reason=f"%{magic.name} sets {name}")
        return ATOM if magic.kind != "unknown" else Known()


def _first_parameters(node: ast.ClassDef) -> set[str]:
    methods = [item for item in node.body if isinstance(item, _Function)]
    return {item.args.args[0].arg for item in methods if item.args.args}


def _closure(names: set[str], facts: CellFacts) -> set[str]:
    """`names` and all that may share objects with them."""
    result = set(names)
    while True:
        grown = result.union(
            *[event.names for event in facts.events if event.kind in {"link", "share"} and result & set(event.names)]
        )
        if grown == result:
            return result
        result = grown
