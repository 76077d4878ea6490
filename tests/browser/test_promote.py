"""The form that promotes a notebook, in a real JupyterLab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Place
from tests.browser.notebook import OpenNotebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    # Playwright's greenlets leave a loop behind when the process ends.
    pytest.mark.filterwarnings("default"),
]
CELLS = ["%load_ext nbflow", "sales = [3, 5, 8]", "print('sold', sum(sales))", "%flow promote"]


def deployments(place: Place) -> Any:
    """What `nbflow deployments` tells in the project folder."""
    command = [sys.executable, "-m", "nbflow", "deployments", "--json"]
    done = subprocess.run(command, cwd=place.work, env=place.environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_notebook_is_promoted_by_a_form(place: Place, live_page: Any, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("NBFLOW_TEST_PICTURES", tmp_path))
    notebook = OpenNotebook(live_page, place.url, place.work / "by_form.ipynb", CELLS)
    for _ in range(3):
        notebook.run_next()
    notebook.wait_for_runs(3)
    notebook.run_next()
    output = live_page.locator(".jp-OutputArea").last
    output.get_by_text("save the notebook, and promote again").wait_for(timeout=60_000)
    notebook.save()
    notebook._next -= 1
    notebook.run_next()
    form = live_page.locator(".widget-vbox").last
    form.get_by_text("At 06:00 on Monday").wait_for(timeout=60_000)
    when = form.locator("input").nth(1)
    when.fill("0 25 * * *")
    form.get_by_text("hour").first.wait_for(timeout=60_000)
    assert form.get_by_role("button", name="Check and promote").is_disabled()
    when.fill("30 7 * * TUE")
    form.get_by_text("At 07:30 on Tuesday").wait_for(timeout=60_000)
    form.get_by_text("version 1").wait_for(timeout=60_000)
    notebook.picture(pictures, "promote-form", of=".widget-vbox")
    form.get_by_role("button", name="Check and promote").click()
    form.get_by_text("by_form is version 1: it does what the outputs saved").wait_for(timeout=120_000)
    notebook.picture(pictures, "promoted", of=".widget-vbox")
    (made,) = deployments(place)
    assert (made["deployment"], made["version"], made["when"].split(" (")[0]) == ("by_form", 1, "At 07:30 on Tuesday")
