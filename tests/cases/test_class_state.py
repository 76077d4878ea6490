"""What classes hold: it belongs to the class, whichever object or function changes it, and hinders nobody else."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from nbflow.authoring.notebook import from_notebook
from nbflow.client.run import Run

COUNTED = """class Counted:
    count = 0
    seen = []
    def __init__(self, value):
        Counted.count += 1
        self.value = value
    def bump(self):
        type(self).count += 10
        self.seen.append(self.value)"""
REGISTER = """class Register:
    items = {}
    @classmethod
    def add(cls, key):
        cls.items[key] = len(cls.items)
        return cls"""
CASES = {
    "by a method": [
        COUNTED, "a = Counted(1)", "b = Counted(2)", "a.bump()", "found = Counted.count, b.count, a.count, b.seen",
    ],
    "by a class method": [REGISTER, "Register.add('x')", "r = Register()\nr.add('y')", "found = Register.items, r.items"],
    "by a function": ["class A: x = 1\ndef poke(o): o.__class__.x += 1", "a = A()", "poke(a)", "found = A.x, a.x"],
    "by another name": ["class A: x = 1", "B = A", "B.x = 5", "found = A.x, B.x, A is B"],
    "by subclasses": [
        "class A:\n    names = []\n    def __init_subclass__(cls):\n        A.names.append(cls.__name__)",
        "class B(A): pass", "class C(A): pass", "found = A.names, C.names is A.names",
    ],
    "by an object that holds the same": [
        "class A:\n    names = [1]", "a = A()\na.mine = A.names", "a.mine.append(2)", "found = A.names, a.mine is A.names",
    ],
    "of objects that share their attributes": [
        "class Borg:\n    state = {}\n    def __init__(self): self.__dict__ = self.state\na = Borg()",
        "b = Borg(); b.x = 5", "found = a.x, a.__dict__ is b.__dict__",
    ],
    "of objects that die": [
        "class A:\n    n = 0\n    def __init__(self): A.n += 1\n    def __del__(self): A.n -= 1\na = A()",
        "before = A.n", "del a\nfound = before, A.n",
    ],
}  # fmt: skip


def linear(cells: list[str]) -> object:
    names: dict[str, object] = {"__name__": "__main__"}
    for source in cells:
        exec(source, names)  # noqa: S102 - it is what a notebook does
    return names["found"]


def run_of(cells: list[str], folder: Path, executor: str) -> Run:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(book, folder / "classes.ipynb")
    return from_notebook(folder / "classes.ipynb").run(executor=executor, workers=2, db=f"sqlite:///{folder}/runs.db")


@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize("name", CASES)
def test_the_state_of_a_class_is_one(name: str, executor: str, tmp_path: Path) -> None:
    assert run_of(CASES[name], tmp_path, executor).values["found"] == linear(CASES[name])


def test_objects_of_a_class_that_holds_something_are_no_reason_to_run_again(tmp_path: Path) -> None:
    model = "class Model:\n    names = ['a']\n    def __init__(self, rate):\n        self.rate = rate"
    cells = [model, "a = Model(1)", "b = Model(2)", "found = a.rate + b.rate"]
    run = run_of(cells, tmp_path, "serial")
    assert run.values["found"] == 3
    assert len(run.tasks()) == len(cells)
