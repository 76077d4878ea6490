from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import lab

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
EXPECTED = {
    "quickstart.ipynb": ["logistic regression: 0.99", "best: logistic regression", "rows to train on"],
    "cells.ipynb": [
        "by_age (cell 4)",
        "succeeded",
        "limit: kernel 40, flow 4",
        "forgotten: no cell of the notebook sets it",
        "((3, 0), {})",
    ],
    "monitor.ipynb": ["2276 is more than 1000", "Queue 'mails' is paused", "last day: 1 failed, 1 succeeded"],
    "functions.ipynb": [
        "side by side: True",
        "succeeded - total 30",
        "after the constant changed: False",
        "processes  100",
    ],
}
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    # Playwright's greenlets leave a loop behind when the process ends.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    opened = chromium.new_page(viewport={"width": 1200, "height": 900})
    yield opened
    opened.close()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_notebook_runs_by_hand_in_jupyterlab(name: str, page: Any, tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    (work / ".nbflow").mkdir(parents=True)
    home.mkdir()
    shutil.copy(NOTEBOOKS / name, work / name)
    with lab.jupyter_lab(work, home) as url:
        lab.run_all(page, url, name)
        found = lab.outputs(page)
        lab.screenshots(page, tmp_path, name)
    errors = [output for output in found if output["output_type"] == "error"]
    assert errors == []
    assert [output["text"] for output in found if output.get("name") == "stderr"] == []
    text = "".join(_text(output) for output in found)
    assert [expected for expected in EXPECTED[name] if expected not in text] == []
    assert list(tmp_path.glob("*.png"))


def _text(output: Any) -> str:
    plain = output.get("text", output.get("data", {}).get("text/plain", ""))
    return "".join(plain) if isinstance(plain, list) else str(plain)
