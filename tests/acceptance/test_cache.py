from __future__ import annotations

import pytest

from tests.acceptance.conftest import Project

FLOWS = """
from nbflow import flow, step

RATE = 2
TABLE = {"a": [1, 2]}

def helper(x):
    return x * RATE + len(TABLE["a"])

class Scaler:
    def __init__(self, by): self.by = by
    def __call__(self, x): return x * self.by

@step(cache=True)
def slow(x, scaler=Scaler(3)):
    with open("calls.txt", "a") as file:
        file.write("slow\\n")
    return scaler(helper(x))

@flow
def work(x: float = 1):
    return slow(x)
"""


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("return x * RATE", "# why\n    return x * RATE", False),
        ("RATE = 2", "RATE = 2.5", True),
        ('{"a": [1, 2]}', '{"a": [1, 2, 3]}', True),
        ("return x * RATE", "return x * RATE * 1", True),
        ("return x * self.by", "return x * self.by + 1", True),
        ("Scaler(3)", "Scaler(4)", True),
        ("slow(x)", "slow(x + 1)", True),
        ("cache=True", "cache=True, version='2'", True),
        ("cache=True", "cache=True, retries=2, timeout=9", False),
        ("def work", "UNUSED = 5\n\n@flow\ndef unused(): pass\n\n@flow\ndef work", False),
    ],
)
def test_the_key_is_honest(project: Project, old: str, new: str, again: bool) -> None:
    project.write("flows.py", FLOWS)
    for _ in range(2):
        assert project.json("run", "flows:work")["state"] == "succeeded"
    assert project.calls() == ["slow"]
    project.write("flows.py", project.folder.joinpath("flows.py").read_text().replace(old, new, 1) if old != "def work"
                  else FLOWS.replace("@flow\ndef work", "UNUSED = 5\n\n@flow\ndef work"))  # fmt: skip
    assert project.json("run", "flows:work")["state"] == "succeeded"
    assert project.calls() == (["slow"] if again else [])


def test_a_cached_task_says_where_its_result_came_from(project: Project) -> None:
    project.write("flows.py", FLOWS)
    first = project.json("run", "flows:work")["run"]
    project.run("run", "flows:work")
    shown = project.json("show", "last")
    assert shown["tasks"][0]["cached_from"] == f"{first}/1"
    assert "cached" in project.run("show", "last").stdout
