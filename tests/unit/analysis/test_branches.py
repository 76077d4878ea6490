"""Which cells may run side by side: branches that have nothing to do with each other do not wait for each other."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from nbflow.analysis.cells import from_content
from nbflow.analysis.plan import Plan, make_plan
from nbflow.analysis.statements import analyse

FRAME = "import pandas as pd, numpy as np\nframe = pd.DataFrame({'x': range(5)})"
MODEL = """class Model:
    names = ["a", "b"]
    def __init__(self, rate):
        self.rate = rate
    def fit(self, data):
        self.mean = sum(data) * self.rate
        return self"""
SIMULATION = """def simulate(seed, n):
    import random
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        out.append(rng.random())
    return out"""
SAME = {
    "a function of a number": ["def work(n, names=('a',)):\n    return n * 2", "size = 5", "{} = work(size)"],
    "a function of a frame": [FRAME, "def work(df):\n    return df[df.x > 1].groupby('x').sum()", "{} = work(frame)"],
    "a function that uses another": [
        "LIMIT = 3\ndef clean(v):\n    return [x for x in v if x > LIMIT]",
        "def work(v):\n    return sum(clean(v))",
        "data = list(range(9))",
        "{} = work(data)",
    ],
    "a lambda": ["f = lambda x: x ** 2", "v = 3", "{} = f(v)"],
    "a simulation": [SIMULATION, "{} = simulate(1, 10)"],
    "an own class": [MODEL, "data = [1, 2, 3]", "{} = Model(1).fit(data)"],
    "a model of scikit-learn": [
        FRAME,
        "from sklearn.linear_model import Ridge\nX = frame[['x']]\ny = frame.x",
        "{} = Ridge(1).fit(X, y)",
    ],
    "work on a frame": [FRAME, "{0} = frame[frame.x > 1].groupby('x').x.mean()\n{0}2 = {0}.sort_values()"],
    "work on an array": [FRAME, "x = np.arange(10.)", "{0} = np.sqrt(x + 1)\n{0} /= {0}.sum()"],
    "a comprehension over records": ["rows = [{{'k': 1}}]", "{} = [row['k'] for row in rows]"],
    "figures": [FRAME, "import matplotlib.pyplot as plt", "{}, ax = plt.subplots()\nax.plot(frame.x)\nplt.show()"],
}
APART = {
    "a list that all change": ["results = []", "results.append('{}')\n{} = 1"],
    "an object that all change": [MODEL, "model = Model(1)", "model.fit([1])\n{} = model.mean"],
    "a function that changes its argument": ["def add(v):\n    v.append(1)", "v = []", "add(v)\n{} = len(v)"],
    "an array whose views they are": [FRAME, "x = np.zeros(9)", "x[1] += 1\n{} = x.sum()"],
    "random numbers with a seed": ["import random\nrandom.seed(1)", "{} = random.random()"],
    "files": ["open('log.txt', 'w').close()", "with open('log.txt', 'a') as f: f.write('{}')\n{} = 1"],
}


def plan_of(cells: list[str]) -> Plan:
    """Two cells are made of the last one, and a last cell uses what they make."""
    *common, branch = cells
    sources = [source.replace("{{", "{").replace("}}", "}") for source in common]
    sources += [branch.format("first", "first"), branch.format("second", "second"), "print(first, second)"]
    book: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    found = from_content(dict(book), "branches.ipynb").cells
    return make_plan(found, analyse(found))


@pytest.mark.parametrize("name", SAME)
def test_branches_run_side_by_side(name: str) -> None:
    *_, first, second, _last = plan_of(SAME[name]).steps
    assert len(plan_of(SAME[name]).steps) == len(SAME[name]) + 2
    assert plan_of(SAME[name]).steps.index(first) not in second.sources


@pytest.mark.parametrize("name", APART)
def test_cells_that_change_the_same_run_in_order(name: str) -> None:
    steps = plan_of(APART[name]).steps
    assert len(steps) - 3 in steps[-2].sources
