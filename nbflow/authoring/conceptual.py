"""The graph of a flow function before any run: what its source says about which step's result goes where."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from nbflow.model.specs import FlowSpec
from nbflow.values.identity import describe_code
from nbflow.views.graph import Details, Node, Picture, Section


def conceptual_picture(spec: FlowSpec) -> Picture:
    """The calls of steps and sub-flows in the source of a flow function, once each, whatever loops are around them."""
    title = f"{spec.name} (from its source; a run may call steps any number of times)"
    try:
        source = textwrap.dedent(inspect.getsource(spec.function))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return Picture((), f"{spec.name}: no source to draw")
    finder = _Finder(_names(spec.function))
    function = tree.body[0]
    finder.visit_all(getattr(function, "body", [function]))
    return Picture(finder.nodes, title, details=finder.details)


def _names(function: Any) -> dict[str, Any]:
    # All globals: those used in comprehensions only are not among the function's own closure variables.
    names = dict(getattr(function, "__globals__", {}))
    if inspect.isfunction(function):
        names |= inspect.getclosurevars(function).nonlocals
    return names


class _Finder(ast.NodeVisitor):
    """Walks statements in order and remembers from which calls each local name comes."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.nodes: list[Node] = []
        self._functions: dict[str, Any] = {}  # by id of the node
        self._names = names
        self._from: dict[str, set[str]] = {}  # local name → ids of the calls that its value comes from
        self._inner: list[set[str]] = [set()]  # calls met in the expression that is being walked

    def details(self, identity: str) -> Details:
        """Docstring and source of the step that a node stands for."""
        node, function = self.nodes[int(identity)], self._functions[identity]
        found = (Section("", node.hint, "doc"), Section("source", describe_code(function), "code"))
        return Details(node.label, sections=tuple(section for section in found if section.text))

    def visit_all(self, statements: list[Any]) -> None:
        """Walk statements one after the other."""
        for statement in statements:
            self.visit(statement)

    def sources(self, expression: ast.AST) -> set[str]:
        """Ids of the calls that an expression's value comes from; finds those in it."""
        self._inner.append(set())
        self.visit(expression)
        return self._inner.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        """A name gets what the right side comes from."""
        found = self.sources(node.value)
        for target in node.targets:
            self._bind(target, found)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A name keeps where it came from and gets more."""
        self._bind(node.target, self.sources(node.value) | self._known(node.target))

    def visit_For(self, node: ast.For) -> None:
        """The loop's name comes from what is looped over."""
        self._bind(node.target, self.sources(node.iter))
        self.visit_all(node.body + node.orelse)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """The same in a comprehension."""
        found = self.sources(node.iter)
        self._bind(node.target, found)
        self._inner[-1] |= found

    def visit_ListComp(self, node: ast.ListComp) -> None:
        """Sources before the element, which uses their names."""
        for generator in node.generators:
            self.visit(generator)
        self.visit(node.elt)

    visit_GeneratorExp = visit_SetComp = visit_ListComp  # type: ignore[assignment]

    def visit_Name(self, node: ast.Name) -> None:
        """A local name brings its sources."""
        self._inner[-1] |= self._from.get(node.id, set())

    def visit_Call(self, node: ast.Call) -> None:
        """A call of a step is a node; any other call passes its arguments' sources on."""
        inside: set[str] = set()
        for part in [*node.args, *(keyword.value for keyword in node.keywords)]:
            inside |= self.sources(part)
        called = self._step(node.func)
        if called is None:
            self._inner[-1] |= inside | self.sources(node.func)
            return
        identity = str(len(self.nodes))
        hint = inspect.getdoc(called.spec.function) or ""
        self._functions[identity] = called.spec.function
        self.nodes.append(Node(identity, called.spec.name, hint=hint, upstream=tuple(sorted(inside, key=int))))
        self._inner[-1].add(identity)

    def _step(self, function: ast.expr) -> Any:
        if isinstance(function, ast.Attribute) and function.attr == "map":
            function = function.value
        if not isinstance(function, ast.Name):
            return None
        found = self._names.get(function.id)
        return found if hasattr(getattr(found, "spec", None), "function") else None

    def _bind(self, target: ast.AST, found: set[str]) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                self._from[part.id] = (
                    self._from.get(part.id, set()) | found if isinstance(target, ast.Subscript) else found
                )

    def _known(self, target: ast.AST) -> set[str]:
        return self._from.get(target.id, set()) if isinstance(target, ast.Name) else set()
