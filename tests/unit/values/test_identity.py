from __future__ import annotations

import functools
import linecache
import sqlite3
import subprocess
import sys
import textwrap
import threading
import types

import pytest

from nbflow.values.identity import code_digest, describe_code
from nbflow.values.source import code_text

_counter = iter(range(10**6))


def run(source, **names):
    """Run source as a cell of a notebook: its text is in linecache, its functions are of __main__."""
    source = textwrap.dedent(source)
    filename = f"<cell {next(_counter)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": "__main__", **names}
    exec(compile(source, filename, "exec"), namespace)
    return namespace


def identity(source, **names):
    return code_digest(run(source, **names)["f"])


BASE = "def f(x, rate=2):\n    return x * rate\n"

WRAPS = "import functools\ndef d(g):\n    @functools.wraps(g)\n    def w(): return g()\n    return w\n"

SAME = {
    "comment": (BASE, "def f(x, rate=2):\n    # a comment\n    return x * rate  # another\n"),
    "formatting": (BASE, "\n\ndef f(x,\n      rate = 2):\n\n    return (x\n        * rate)\n"),
    "docstring": (BASE, 'def f(x, rate=2):\n    """Text."""\n    return x * rate\n'),
    "a global it does not read": (BASE, "y = 3\n" + BASE),
    "an attribute of the name of a global": (
        "model = 1\ndef f(x): return x.model",
        "model = 2\ndef f(x): return x.model",
    ),
    "comment in a helper": (
        "def g(): return 1\ndef f(): return g()",
        "def g():\n    # one\n    return 1\ndef f(): return g()",
    ),
    "docstring of a class": (
        "class A:\n    def m(self): return 1\ndef f(): return A()",
        "class A:\n    'Text.'\n    def m(self): return 1\ndef f(): return A()",
    ),
    "order of definitions": ("a = 1\nb = 2\ndef f(): return a, b", "b = 2\na = 1\ndef f(): return a, b"),
}

DIFFERENT = {
    "body": (BASE, "def f(x, rate=2):\n    return x + rate\n"),
    "default": (BASE, "def f(x, rate=3):\n    return x * rate\n"),
    "default that is computed": ("r = 1\ndef f(x=r): return x", "r = 2\ndef f(x=r): return x"),
    "keyword default": ("def f(*, x=1): return x", "def f(*, x=2): return x"),
    "constant": ("c = 1\ndef f(): return c", "c = 2\ndef f(): return c"),
    "type of a constant": ("c = 1\ndef f(): return c", "c = 1.0\ndef f(): return c"),
    "helper": ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
    "constant of a helper": (
        "c = 1\ndef g(): return c\ndef f(): return g()",
        "c = 2\ndef g(): return c\ndef f(): return g()",
    ),
    "helper in a comprehension": (
        "def g(): return 1\ndef f(): return [g() for _ in ()]",
        "def g(): return 2\ndef f(): return [g() for _ in ()]",
    ),
    "helper in a nested function": (
        "def g(): return 1\ndef f():\n    def h(): return g()\n    return h()",
        "def g(): return 2\ndef f():\n    def h(): return g()\n    return h()",
    ),
    "closure": (
        "def make(n):\n    def f(): return n\n    return f\nf = make(1)",
        "def make(n):\n    def f(): return n\n    return f\nf = make(2)",
    ),
    "method": (
        "class A:\n    def m(self): return 1\ndef f(): return A()",
        "class A:\n    def m(self): return 2\ndef f(): return A()",
    ),
    "constant read by a method": (
        "c = 1\nclass A:\n    def m(self): return c\ndef f(): return A()",
        "c = 2\nclass A:\n    def m(self): return c\ndef f(): return A()",
    ),
    "class attribute": ("class A:\n    n = 1\ndef f(): return A.n", "class A:\n    n = 2\ndef f(): return A.n"),
    "base class": (
        "class B:\n    def m(self): return 1\nclass A(B): pass\ndef f(): return A()",
        "class B:\n    def m(self): return 2\nclass A(B): pass\ndef f(): return A()",
    ),
    "property": (
        "class A:\n    @property\n    def m(self): return 1\ndef f(): return A()",
        "class A:\n    @property\n    def m(self): return 2\ndef f(): return A()",
    ),
    "static method": (
        "class A:\n    @staticmethod\n    def m(): return 1\ndef f(): return A.m()",
        "class A:\n    @staticmethod\n    def m(): return 2\ndef f(): return A.m()",
    ),
    "dataclass default": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 1\ndef f(): return A()",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 2\ndef f(): return A()",
    ),
    "decorator": (
        WRAPS + "@d\ndef f(): return 1",
        WRAPS + "@d\ndef f(): return 2",
    ),
    "what a decorator does": (
        "def d(g):\n    def w(): return g()\n    return w\n@d\ndef f(): return 1",
        "def d(g):\n    def w(): return g() + 1\n    return w\n@d\ndef f(): return 1",
    ),
    "cached helper": (
        "import functools\n@functools.cache\ndef g(): return 1\ndef f(): return g()",
        "import functools\n@functools.cache\ndef g(): return 2\ndef f(): return g()",
    ),
    "partial": (
        "import functools\nf = functools.partial(lambda a: a, 1)",
        "import functools\nf = functools.partial(lambda a: a, 2)",
    ),
    "function in a dict": (
        "def g(): return 1\nd = {'g': g}\ndef f(): return d['g']()",
        "def g(): return 2\nd = {'g': g}\ndef f(): return d['g']()",
    ),
    "lambda": ("f = lambda x: x", "f = lambda x: x + 1"),
    "frame": (
        "import pandas\nd = pandas.DataFrame({'a': [1]})\ndef f(): return d",
        "import pandas\nd = pandas.DataFrame({'a': [2]})\ndef f(): return d",
    ),
    "state of an object": (
        "class A: pass\na = A()\na.n = 1\ndef f(): return a.n",
        "class A: pass\na = A()\na.n = 2\ndef f(): return a.n",
    ),
    "circle": (
        "def g(n): return f(n)\ndef f(n): return g(n)",
        "def g(n): return f(n - 1)\ndef f(n): return g(n)",
    ),
    "a name that is missing": ("def f(): return c", "c = 1\ndef f(): return c"),
}


@pytest.mark.parametrize("case", SAME)
def test_it_stays_the_same_for_another(case):
    first, second = SAME[case]
    assert identity(first) == identity(second)


@pytest.mark.parametrize("case", DIFFERENT)
def test_it_changes_with_the(case):
    first, second = DIFFERENT[case]
    assert identity(first) == identity(first) != identity(second)


def test_attributes_of_a_users_module_count_if_they_are_used():
    def with_module(source):
        module = types.ModuleType("users_helpers")
        module.__dict__.update(run(source), __name__="users_helpers")
        return identity("def f(): return helpers.g()", helpers=module)

    first = with_module("def g(): return 1\nunused = 1")
    assert first == with_module("def g(): return 1\nunused = 2")
    assert first != with_module("def g(): return 2\nunused = 1")


def test_modules_imported_inside_a_function_count_by_their_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "def f():\n    import users_inner\n    return users_inner.n"
    (tmp_path / "users_deep.py").write_text("n = 1")
    (tmp_path / "users_inner.py").write_text("from users_deep import n")
    first = identity(source)
    (tmp_path / "users_inner.py").write_text("# comment\nfrom users_deep import n")
    assert identity(source) == first
    (tmp_path / "users_deep.py").write_text("n = 2")
    assert identity(source) != first


@pytest.mark.parametrize(
    "source",
    [
        "def f(): return 1",
        "class A:\n    def m(self, *, key=1):\n        self.__private = super().__init__()\nf = A.m",
        "def make(b, a):\n    def f(): return a, b, lambda: a\n    return f\nf = make(1, 2)",
        "class A:\n    class B:\n        def m(self): return __class__\nf = A.B.m",
        "from __future__ import annotations\ndef f(x: int) -> str: return {'a', 'b'}",
        "async def f():\n    async for x in y: yield x",
        "def f(text='''a\nb'''):\n    return '''\nc\n  d'''",
    ],
)
def test_functions_count_by_their_source(source):
    assert code_text(run(source)["f"].__code__).startswith(("FunctionDef(", "AsyncFunctionDef("))


def test_a_source_that_was_edited_after_it_ran_does_not_count():
    function = run(BASE)["f"]
    lines = ["def f(x, rate=2):\n", "    return 'edited'\n"]
    linecache.cache[function.__code__.co_filename] = (1, None, lines, function.__code__.co_filename)
    assert code_digest(function) != identity("".join(lines))


def test_functions_without_source_count_by_their_bytecode():
    def compiled(source):
        namespace = {"__name__": "__main__"}
        exec(source, namespace)
        return code_digest(namespace["f"])

    assert compiled(BASE) == compiled("# comment\n" + BASE) != compiled(BASE.replace("*", "+"))


class Hostile:
    """Raises wherever it can."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __reduce_ex__(self, protocol):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        sqlite3.connect(":memory:"),
        Hostile(),
        (i for i in ""),
        sys.stdout,
        sys,
        len,
        str.join,
        property(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_globals_never_stop_it(value):
    assert identity("def f(): return value", value=value) == identity("def f(): return value", value=value)


@pytest.mark.parametrize("value", [len, functools.partial(len), int, str.join, [].append, object(), 3])
def test_anything_has_an_identity(value):
    assert len(code_digest(value)) == 32


def test_another_process_finds_the_same_identity(tmp_path):
    path = tmp_path / "users.py"
    path.write_text("names = {'a', 'b', 'c'}\nclass A:\n    n = 1\ndef f(x=A):\n    return names, x in {'x', 'y'}\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import users;" \
           "from nbflow.values.identity import code_digest; print(code_digest(users.f))"  # fmt: skip
    outputs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(outputs) == 1


def test_code_is_described_by_its_source():
    assert describe_code(run(BASE)["f"]) == BASE
    assert describe_code(len) == ""
