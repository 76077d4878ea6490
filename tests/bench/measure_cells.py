"""Measurements of notebooks, each by name: `python -m tests.bench.measure_cells NAME ...` prints one number."""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

BOOK = "bench.ipynb"
SPIN = "def spin(n):\n    total = 0\n    for k in range(n):\n        total += k * k\n    return total"


def branches(loops: int) -> list[str]:
    """Twelve cells: four branches, each of which does all of its work in one of its two cells, and a join."""
    cells = [SPIN, f"size = {loops}"]
    for name in "abcd":
        cells += [f"{name} = spin(size)", f"print('{name}', {name})"]
    return [*cells, "total = a + b + c + d", "total"]


def chain(loops: int) -> list[str]:
    """Twenty cells, of which each changes the frame of the one before."""
    cells = [SPIN, "import pandas as pd\nframe = pd.DataFrame({'x': range(100_000)})"]
    cells += [f"spin({loops // 17})\nframe['x'] += {n}" for n in range(17)]
    return [*cells, "frame.x.sum()"]


def trivial() -> list[str]:
    """Fifty cells that do nothing to speak of."""
    return [f"x{n} = {n}\nx{n}" for n in range(50)]


def long() -> list[str]:
    """Two hundred cells as people write them."""
    cells = [
        "import os, json\nimport numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt\n%matplotlib inline"
    ]
    part = [
        "raw_{n} = pd.DataFrame({{'key': np.arange(50) % 7, 'value': np.random.default_rng({n}).normal(size=50)}})",
        "raw_{n}['double'] = raw_{n}['value'] * 2\nraw_{n}.loc[raw_{n}['key'] > 3, 'value'] = 0\nraw_{n}.head()",
        "def clean_{n}(frame, low=0.1):\n    kept = frame.query('value > @low').copy()\n    kept['rank'] = "
        "kept.groupby('key')['value'].rank()\n    return kept.dropna()",
        "clean = clean_{n}(raw_{n})\nby_key = clean.groupby('key').agg({{'value': ['mean', 'max'], 'double': 'sum'}})",
        "class Model{n}:\n    def __init__(self, rate):\n        self.rate, self.steps = rate, []\n"
        "    def fit(self, frame):\n        for key, rows in frame.groupby('key'):\n"
        "            self.steps.append((key, rows['value'].mean() * self.rate))\n        return self",
        "model = Model{n}(0.5).fit(clean)\nresults = {{k: v for k, v in model.steps if v > 0}}\n"
        "print(f'{{len(results)=}}')",
        "for name in ('value', 'double'):\n    total = clean[name].sum()\n    if total > 10:\n"
        "        print(name, total)\n    else:\n        small = name",
        "fig, ax = plt.subplots()\nax.plot(by_key.index, by_key[('value', 'mean')], label='part {n}')\n"
        "ax.legend()\nplt.show()",
    ]
    cells += [part[n % len(part)].format(n=n // len(part)) for n in range(199)]
    return cells


NOTEBOOKS = {"branches": branches, "chain": chain, "trivial": trivial, "long": long}


def write(name: str, arguments: Sequence[str]) -> None:
    """Write one of the notebooks to the working folder."""
    made: Any = NOTEBOOKS[name]
    cells = [nbformat.v4.new_code_cell(source) for source in made(*map(int, arguments))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), BOOK)


def loops(seconds: str) -> float:
    """How often `spin` goes round in a number of seconds, with this machine's present speed."""
    names: dict[str, Any] = {}
    exec(SPIN, names)
    count = 2_000_000
    began = time.perf_counter()
    names["spin"](count)
    return count / (time.perf_counter() - began) * float(seconds)


def run(executor: str, name: str, *arguments: str) -> float:
    """Seconds from an open notebook to the executed one; `executor` may also be nbclient."""
    write(name, arguments)
    began = time.perf_counter()
    if executor == "nbclient":
        from nbclient import NotebookClient

        notebook = nbformat.read(BOOK, 4)
        NotebookClient(notebook).execute()
        nbformat.write(notebook, "executed.ipynb")
    else:
        from nbflow import from_notebook

        from_notebook(BOOK).run(executor=executor, workers=2).save_notebook("executed.ipynb")
    taken = time.perf_counter() - began
    last = nbformat.read("executed.ipynb", 4).cells[-1].outputs
    assert last, "the notebook did not come to its end"
    return taken


def analysis(name: str) -> float:
    """Milliseconds from a notebook's file to its plan, without imports."""
    from nbflow import from_notebook

    write("trivial", ())
    from_notebook(BOOK).plan()
    write(name, ())
    began = time.perf_counter()
    plan = from_notebook(BOOK).plan()
    taken = time.perf_counter() - began
    assert name == "trivial" or "model" in str(plan)
    return taken * 1000


def frame_of(gigabytes: str) -> Any:
    """A frame of eight columns."""
    import numpy as np
    import pandas as pd

    rows = int(float(gigabytes) * 1e9 / 64)
    return pd.DataFrame({f"c{n}": np.arange(rows, dtype="float64") for n in range(8)})


def look(gigabytes: str) -> float:
    """Milliseconds to take a frame's fingerprint before and after a step."""
    from nbflow.authoring.cells import travel

    namespace = travel.Namespace("bench", {"frame": frame_of(gigabytes)})
    began = time.perf_counter()
    assert travel.look(namespace, "frame").digest()
    return (time.perf_counter() - began) * 1000


def raw_digest(gigabytes: str) -> float:
    """Milliseconds of the bare hash over the same bytes."""
    import xxhash

    blocks = [frame_of(gigabytes)[f"c{n}"].to_numpy().data for n in range(8)]
    began = time.perf_counter()
    for block in blocks:
        xxhash.xxh3_128_digest(block)
    return (time.perf_counter() - began) * 1000


def hand_over(executor: str, gigabytes: str) -> float:
    """Milliseconds that a notebook takes more if a frame goes from one step to the next; or a pickle file of it."""
    if executor == "pickle":
        frame = frame_of(gigabytes)
        began = time.perf_counter()
        Path("frame.pickle").write_bytes(pickle.dumps(frame, 5))
        pickle.loads(Path("frame.pickle").read_bytes())
        return (time.perf_counter() - began) * 1000
    rows = int(float(gigabytes) * 1e9 / 64)
    make = (
        f"import numpy as np, pandas as pd\nframe = pd.DataFrame({{f'c{{n}}': np.arange({rows}.) for n in range(8)}})"
    )
    times = []
    alone = [f"{make}\nframe.c0.iloc[-1]"]
    for cells in (alone, alone, [make, "frame.c0.iloc[-1]"]):  # the first one is there to import what they need
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        nbformat.write(book, BOOK)
        from nbflow import from_notebook

        began = time.perf_counter()
        from_notebook(BOOK).run(executor=executor, workers=2)
        times.append(time.perf_counter() - began)
    return (times[2] - times[1]) * 1000


def recording(how: str, gigabytes: str, seconds: str) -> float:
    """Milliseconds of a cell in a real kernel that works for `seconds` on a frame and changes a column of it."""
    from jupyter_client.manager import start_new_kernel

    rows = int(float(gigabytes) * 1e9 / 64)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        cells = ["%load_ext nbflow"] if how == "recorded" else []
        cells += [
            f"import time, numpy as np, pandas as pd\n"
            f"frame = pd.DataFrame({{f'c{{n}}': np.arange({rows}.) for n in range(8)}})",
            "frame['c1'] += 1",
        ]
        work = f"end = time.perf_counter() + {seconds}\nwhile time.perf_counter() < end: pass\nframe['c0'] += 1"
        for source in cells:
            client.execute_interactive(source, output_hook=lambda _: None)
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            answer: Any = client.execute_interactive(work, output_hook=lambda _: None)
            assert answer["content"]["status"] == "ok"
            taken.append(time.perf_counter() - began)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return sorted(taken)[2] * 1000


MEASUREMENTS = {
    "loops": loops,
    "run": run,
    "analysis": analysis,
    "look": look,
    "raw_digest": raw_digest,
    "hand_over": hand_over,
    "recording": recording,
}

if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
