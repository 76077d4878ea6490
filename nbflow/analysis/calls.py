"""What calls do to names: of known functions and methods, of the notebook's own code, and of what nobody knows."""

from __future__ import annotations

import ast

from nbflow.analysis import knowledge, magics
from nbflow.analysis.expressions import Expressions, all_of
from nbflow.analysis.facts import ATOM, OPAQUE, Code, Known


class Calls(Expressions):
    """Evaluates calls; see `Expressions` for what it keeps."""

    def _call(self, node: ast.Call) -> Known:
        if magics.is_shell_call(node):
            return self.magic(node)
        function = self.value(node.func)
        arguments = [self.value(item) for item in node.args] + [self.value(item.value) for item in node.keywords]
        given = all_of(arguments)
        if function.path is not None:
            return self._known_call(node, function, arguments, knowledge.of_call(function.path))
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, function, arguments)
        if function.kind == "class":
            return self._instance(node, function, arguments)
        if function.code is not None:
            return self._own_call(node, function, arguments)
        what = ast.unparse(node.func)[:40]
        self.change_value(function, node, f"{what}() is not known, and may change {{}}")
        self.change_value(given, node, f"{what}() is not known, and may change {{}}")
        self._keep(node, [function, given])
        return all_of([Known(function.roots, None, None, function.code), given])

    def magic(self, node: ast.Call) -> Known:
        """A call that IPython's syntax was turned into."""
        raise NotImplementedError

    def _known_call(self, node: ast.Call, function: Known, arguments: list[Known], what: knowledge.Knowledge) -> Known:
        name = (function.path or "").removeprefix("builtins.")
        opened = self._evaluated(node) if name == "eval" else None
        if opened is not None:
            return opened
        for effect in what.effects:
            if effect == OPAQUE and name == "pandas.eval" and self._opened(node):
                continue
            if effect == "random" and _seeded(node):
                continue
            self.effect(effect, node, f"calls {name}()")
        changed = arguments[:1] if what.changes == "first" else arguments if what.changes in {"all", "receiver"} else []
        for argument in changed:
            self.change_value(argument, node, f"{name}() may change {{}}")
        for keyword in node.keywords:
            if keyword.arg == "out":
                self.change_value(self.value(keyword.value), node, f"{name}(out=...) changes {{}}")
        if changed:
            self._keep(node, arguments)
        if OPAQUE in what.effects:
            arguments = [*arguments, Known(self.globals_of(self.known))]
        elif what.gives == "data":
            arguments = [part for part in arguments if part.kind not in {"atom", "data"}]
            held = frozenset().union(*[part.roots for part in arguments])
            return Known(kind="data", views=held)  # elements of a list may be kept as they are
        return self._given(what, all_of([Known(function.roots, code=function.code), *arguments]))

    def _method(self, node: ast.Call, func: ast.Attribute, owner: Known, arguments: list[Known]) -> Known:
        what = knowledge.of_method(func.attr)
        for effect in what.effects:
            self.effect(effect, node, f"calls .{func.attr}()")
        if func.attr in {"query", "eval"}:
            self._opened(node)
        if func.attr in {"sample", "fit", "fit_transform", "fit_predict", "rvs"} and not _seeded(node):
            self.effect("random", node, f".{func.attr}() may draw random numbers")
        inplace = any(
            item.arg == "inplace" and getattr(item.value, "value", True) is not False for item in node.keywords
        )
        changes = what.changes
        if changes in {"all", "object"} and owner.kind == "data":
            changes = "none"  # frames and arrays change by assignment, `inplace` and the few listed methods
        if changes != "none" or inplace:
            self.change_value(owner, node, f".{func.attr}() may change {{}}")
        if changes == "all":
            for argument in arguments:
                self.change_value(argument, node, f".{func.attr}() is not known, and may change {{}}")
        if changes != "none":
            self._keep(node, [owner, *arguments])
        if owner.kind == "data" and what.gives != "atom":
            return Known(owner.roots, "data", None, None)  # it may be a view
        roots = owner.roots
        if owner.code is not None:
            kept = self._kept_by(owner.code)
            if kept and any(part.kind != "atom" for part in arguments):
                self.link(kept | {root for part in arguments for root in part.roots | part.views}, node)
            roots |= self.globals_of(owner.code.gives)
        return self._given(what, all_of([Known(roots, code=owner.code), *arguments]))

    def _own_call(self, node: ast.Call, function: Known, arguments: list[Known]) -> Known:
        code = function.code or Code()
        if not isinstance(node.func, ast.Name):  # a name's code is looked into where the name is read
            self.use(code, node, ast.unparse(node.func)[:40])
        if code.parameters:
            # The function too: defaults and closures are parameters that it brings along.
            for part in [function, *arguments]:
                self.change_value(part, node, f"{ast.unparse(node.func)[:40]}() may change {{}}")
            self._keep(node, [function, *arguments])
        kept = self._kept_by(code)
        if kept and any(part.kind != "atom" for part in arguments):
            # It may put what it is given into the globals that it changes.
            self.link(kept | {root for part in arguments for root in part.roots | part.views}, node)
        return all_of([Known(function.roots | self.globals_of(code.gives), None, None, code), *arguments])

    def _instance(self, node: ast.Call, function: Known, arguments: list[Known]) -> Known:
        """A new object of one of the notebook's classes, which may hold what it is given."""
        code = function.code or Code()
        if code.parameters:
            for part in arguments:
                self.change_value(part, node, f"{ast.unparse(node.func)[:40]}() may change {{}}")
            self._keep(node, arguments)
        kept = self._kept_by(code)
        if kept and any(part.kind != "atom" for part in arguments):
            self.link(kept | {root for part in arguments for root in part.roots | part.views}, node)
        held = all_of(arguments)
        return Known(held.roots | self.globals_of(code.gives), None, None, code.joined(held.code or Code()), held.views)

    def _kept_by(self, code: Code) -> set[str]:
        return set(self.globals_of(code.changes | code.defines))

    def _given(self, what: knowledge.Knowledge, parts: Known) -> Known:
        if what.gives == "atom":
            return ATOM
        if what.gives == "view":
            return Known(parts.roots | parts.views, "data", None, None)
        if what.gives in {"data", "fresh"}:
            return Known(
                kind="data" if what.gives == "data" else None, code=parts.code if what.gives == "fresh" else None
            )
        return Known(parts.roots, "resource" if what.gives == "resource" else None, None, parts.code, parts.views)

    def _keep(self, node: ast.AST, parts: list[Known]) -> None:
        objects = {root for part in parts if part.kind not in {"atom", "data"} for root in part.roots}
        data = {root for part in parts for root in (part.roots | part.views if part.kind == "data" else part.views)}
        self.link(objects, node)
        if data:
            self.link(objects | data, node, kind="share")

    def _opened(self, node: ast.Call) -> bool:
        """Read the names in the text of an eval or query; False if the text is not a constant."""
        text = node.args[0] if node.args else None
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            self.effect(OPAQUE, node, "evaluates a text that is made when it runs")
            return False
        for name in magics.names_in_query(text.value):
            if name in self.known:
                self.read(name, node, f"the text reads {name}")
        return True

    def _evaluated(self, node: ast.Call) -> Known | None:
        """The value of `eval` of a constant text; None if the text is not known, or is given names of its own."""
        text = node.args[0].value if len(node.args) == 1 and isinstance(node.args[0], ast.Constant) else None
        if not isinstance(text, str):
            return None
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except SyntaxError:
            return None
        for part in ast.walk(tree):
            if hasattr(part, "lineno"):
                part.lineno = node.lineno
        return self.value(tree.body)


def _seeded(node: ast.Call) -> bool:
    """Whether a call brings its own random state."""
    for item in node.keywords:
        if item.arg in {"random_state", "seed", "rng"}:
            return not (isinstance(item.value, ast.Constant) and item.value.value is None)
    return False
