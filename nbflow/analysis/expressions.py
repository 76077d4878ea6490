"""What evaluating an expression does to names, and what is known of its value."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any

from nbflow.analysis import knowledge
from nbflow.analysis.facts import ATOM, HISTORY, OPAQUE, PATCH, SETTINGS, SOURCES, CellFacts, Code, Event, Known, Mark
from nbflow.analysis.scopes import ClassScope, code_names

_HISTORY = {"_", "__", "___", "Out", "_oh"}
_SOURCES = re.compile(r"In|_ih|_i{1,3}|_i\d+")
_SETTING_ROOTS = (
    "os.environ",
    "sys.path",
    "warnings.",
    "matplotlib.rcParams",
    "matplotlib.pyplot.rcParams",
    "pandas.options",
    "plotly.io.templates",
    "plotly.io.renderers",
)


class Expressions:
    """Evaluates expressions of one cell (or of one function body) without running them."""

    def __init__(self, known: dict[str, Known], parameters: Iterable[str] | None = None) -> None:
        self.known = known  # what is known of every name; shared by the cells of a notebook
        self.facts = CellFacts()
        self.bound: set[str] = set()  # bound on every path so far
        self.certain = True  # outside of branches that may not be taken
        # Names that belong to an inner scope: a function's own, a comprehension's.
        self.scopes: list[dict[str, Known]] = []
        if parameters is not None:
            self.scopes.append({name: Known(frozenset({f"parameter {name}"})) for name in parameters})
        self._using: set[str] = set()
        self.returned = Known()  # of a function: what it returns or yields
        self._handlers: dict[type, Callable[..., Known]] = {
            ast.Name: self._name,
            ast.Constant: lambda node: ATOM,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.Call: self._call,
            ast.BinOp: self._operation,
            ast.UnaryOp: self._operation,
            ast.Compare: self._operation,
            ast.JoinedStr: self._text,
            ast.Lambda: self._lambda,
            ast.ListComp: self._comprehension,
            ast.SetComp: self._comprehension,
            ast.DictComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.NamedExpr: self._walrus,
            ast.Yield: self._yield,
            ast.YieldFrom: self._yield,
            ast.List: self._container,
            ast.Dict: self._container,
            ast.Set: self._container,
        }

    # -- what happens to names ------------------------------------------------------------------------------------

    def mark(self, node: ast.AST, reason: str) -> Mark:
        """A mark at `node`."""
        return Mark(getattr(node, "lineno", 1), reason)

    def read(self, name: str, node: ast.AST, reason: str = "") -> None:
        """The value of a global name is used, and with it whatever code it may hold."""
        if name not in self.bound:
            if name in knowledge.BUILTINS and name not in self.known:
                self.facts.reads.setdefault(name, self.mark(node, "uses a builtin"))
            else:
                self.facts.reads.setdefault(name, self.mark(node, reason or f"reads {name}"))
            if (name in _HISTORY or (name[0] == "_" and name[1:].isdigit())) and name not in self.known:
                self.effect(HISTORY, node, f"reads {name}")
            elif _SOURCES.fullmatch(name) and name not in self.known:
                self.effect(SOURCES, node, f"reads {name}")
        held = self.known.get(name)
        if held is not None and held.code is not None and name not in self._using:
            self._using.add(name)
            self.use(held.code, node, name)
            self._using.discard(name)

    def use(self, code: Code, node: ast.AST, name: str) -> None:
        """Code that a value holds may run."""
        for other in sorted(code.reads):
            self.read(other, node, f"{name} reads {other}")
        for other in sorted(code.changes):
            self.change(other, node, f"{name} may change {other}")
        for other in sorted(code.defines):
            self.bind(other, node, Known(), certain=False, reason=f"{name} may set {other}")
        for effect in code.effects:
            self.effect(effect, node, f"{name} does")

    def bind(self, name: str, node: ast.AST, value: Known, *, certain: bool = True, reason: str = "") -> None:
        """A global name gets a value."""
        mark = self.mark(node, reason or f"sets {name}")
        certain = certain and self.certain
        self.facts.defines.setdefault(name, mark)
        # A value that is made of the name's own old one may go on sharing what that one shared.
        leaves = certain and name not in value.roots | value.views
        self.facts.events.append(Event("bind", (name,), mark, leaves))
        if certain:
            self.bound.add(name)
            self.known[name] = value
        else:
            self.known[name] = value.joined(self.known[name]) if name in self.known else value
        if value.kind == "resource":
            self.facts.resources[name] = self.mark(node, f"{name} is tied to the process that made it")
        roots = value.roots - {name}
        if roots and value.kind not in {"atom", "module"}:
            self.link((name, *roots), node, "share" if value.kind == "data" else "link")
        if value.views - {name}:
            self.link((name, *value.views), node, "share")

    def bind_here(self, name: str, node: ast.AST, value: Known, reason: str) -> None:
        """A name gets a value in the scope that the statement stands in: the global one, or a class's or function's."""
        scope = self.scope_of(name)
        if scope is not None:
            scope[name] = value
        else:
            self.bind(name, node, value, reason=reason)

    def scope_of(self, name: str) -> dict[str, Known] | None:
        """The scope in which a name is bound here; None for the global one."""
        return next((scope for scope in reversed(self.scopes) if name in scope or name in _own(scope)), None)

    def link(self, names: Iterable[str], node: ast.AST, kind: str = "link") -> None:
        """Values of these names may share objects from here on, or with kind "share" only data."""
        ordered = tuple(sorted(set(names)))
        if len(ordered) > 1:
            self.facts.events.append(Event(kind, ordered, self.mark(node, "may share objects")))

    def change(self, name: str, node: ast.AST, reason: str) -> None:
        """The objects of a name may be changed in place."""
        held = self.known.get(name)
        if held is not None and held.kind == "atom":
            return
        if held is not None and held.kind == "module":
            self.effect(setting_or_patch(held.path or name), node, reason)
            return
        mark = self.mark(node, reason)
        if name not in self.bound:
            self.facts.reads.setdefault(name, mark)
        self.facts.changes.setdefault(name, mark)
        self.facts.events.append(Event("change", (name,), mark))

    def change_value(self, value: Known, node: ast.AST, reason: str) -> None:
        """The objects of a value may be changed in place."""
        if value.kind == "atom":
            return
        if value.path and value.path.startswith(_SETTING_ROOTS):
            self.effect(SETTINGS, node, reason)
        for root in sorted(value.roots | value.views):
            self.change(root, node, reason.replace("{}", root))

    def effect(self, effect: str, node: ast.AST, reason: str) -> None:
        """Something beyond names happens."""
        self.facts.effects.setdefault(effect, self.mark(node, reason))

    def globals_of(self, names: Iterable[str]) -> frozenset[str]:
        """Of these global names, the ones with objects that can be shared."""
        held = {name: self.known.get(name) for name in names}
        return frozenset(name for name, value in held.items() if value is None or value.kind not in {"atom", "module"})

    # -- expressions ----------------------------------------------------------------------------------------------

    def value(self, node: ast.expr | None) -> Known:
        """Evaluate an expression."""
        if node is None:
            return ATOM
        return self._handlers.get(type(node), self._any)(node)

    def _any(self, node: ast.AST) -> Known:
        parts = [self.value(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        parts += [
            self._comprehension(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.comprehension)
        ]
        return all_of(parts)

    def _container(self, node: ast.AST) -> Known:
        parts = self._any(node)
        plain = Known(kind="atom").joined(parts) if parts.kind == "data" else parts
        return Known(plain.roots, None, None, plain.code, plain.views)

    def _name(self, node: ast.Name) -> Known:
        for scope in reversed(self.scopes):
            if node.id in scope:
                return scope[node.id]
        self.read(node.id, node)
        held = self.known.get(node.id)
        if held is None:
            path = f"builtins.{node.id}" if node.id in knowledge.BUILTINS else None
            return Known(frozenset() if path else frozenset({node.id}), None, path)
        roots = frozenset() if held.kind in {"atom", "module"} else frozenset({node.id})
        return Known(roots, held.kind, held.path, held.code)

    def _attribute(self, node: ast.Attribute) -> Known:
        owner = self.value(node.value)
        if owner.path in {"__main__", "sys"} and (owner.path == "__main__" or node.attr == "modules"):
            # The notebook's names, by another way.
            self.effect(OPAQUE, node, f"uses {ast.unparse(node)[:40]}")
            return Known(self.globals_of(self.known))
        if owner.path is not None:
            return Known(owner.roots, None, f"{owner.path}.{node.attr}", owner.code, owner.views)
        kind = owner.kind if owner.kind in {"data", "atom"} else None
        return Known(owner.roots, kind, None, owner.code, owner.views)

    def _subscript(self, node: ast.Subscript) -> Known:
        owner = self.value(node.value)
        self.value(node.slice)
        return Known(owner.roots, owner.kind if owner.kind != "resource" else None, owner.path, owner.code, owner.views)

    def _operation(self, node: ast.BinOp | ast.UnaryOp | ast.Compare) -> Known:
        parts = [self.value(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if isinstance(node, ast.Compare) and any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            self.facts.compared.update(*[part.roots for part in parts])
        kinds = {part.kind for part in parts}
        if kinds <= {"atom"}:
            return ATOM
        if "data" in kinds and kinds <= {"data", "atom"}:
            return Known(kind="data")
        return all_of(parts)

    def _text(self, node: ast.JoinedStr) -> Known:
        self._any(node)
        return ATOM

    def _walrus(self, node: ast.NamedExpr) -> Known:
        value = self.value(node.value)
        inner = self.scope_of(node.target.id)
        if inner is not None:
            inner[node.target.id] = value
        else:
            self.bind(node.target.id, node, value, certain=not self.scopes)
        return value

    def _comprehension(self, node: Any) -> Known:
        if isinstance(node, ast.comprehension):  # pragma: no cover - reached through its owner only
            return ATOM
        scope: dict[str, Known] = {}
        self.scopes.append(scope)
        for generator in node.generators:
            items = self.value(generator.iter)
            self._bind_locals(generator.target, items, scope)
            for condition in generator.ifs:
                self.value(condition)
        parts: list[ast.expr] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        result = all_of([self.value(part) for part in parts])
        self.scopes.pop()
        if isinstance(node, ast.GeneratorExp):
            # It runs later, and over whatever its names are bound to then.
            return Known(result.roots, "resource", None, result.code, result.views)
        return Known(result.roots, "data" if result.kind == "atom" else None, None, result.code, result.views)

    def _bind_locals(self, target: ast.expr, value: Known, scope: dict[str, Known]) -> None:
        for child in ast.walk(target):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                scope[child.id] = part_of(value)

    def _lambda(self, node: ast.Lambda) -> Known:
        defaults = [*node.args.defaults, *[item for item in node.args.kw_defaults if item is not None]]
        held = all_of([self.value(default) for default in defaults])
        expression = ast.copy_location(ast.Return(value=node.body), node.body)
        value = self.code_value([expression], node.args, code_names(node))
        return Known(held.roots | held.views, None, None, value.joined(held).code)

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> Known:
        """What a generator hands out; overridden where functions are known."""
        raise NotImplementedError

    def code_value(self, body: list[ast.stmt], args: ast.arguments, code: Code) -> Known:
        """A function's value: what it does when it is called; overridden where statements are known."""
        raise NotImplementedError

    # -- what subclasses know more of -----------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Known:
        """A call; see `calls`."""
        raise NotImplementedError


def _own(scope: dict[str, Known]) -> frozenset[str]:
    return scope.own if isinstance(scope, ClassScope) else frozenset()


def part_of(value: Known) -> Known:
    """What is known of an element of a value."""
    return Known(value.roots, value.kind if value.kind in {"atom", "data"} else None, None, value.code, value.views)


def setting_or_patch(path: str) -> str:
    """The effect of changing something in a module: a setting that can be carried, or a patch that cannot."""
    return SETTINGS if path.startswith(_SETTING_ROOTS) else PATCH


def all_of(parts: list[Known]) -> Known:
    """What is known of something made of these values."""
    result = Known(kind="atom") if not parts else parts[0]
    for part in parts[1:]:
        result = result.joined(part)
    return Known(result.roots, result.kind if result.kind != "module" else None, None, result.code, result.views)
