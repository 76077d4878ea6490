"""A browser and a JupyterLab for tests that bring views to life."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser import lab

ROOT = Path(__file__).parents[2]


class Place(NamedTuple):
    """A JupyterLab and its folders."""

    url: str
    work: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables for commands that shall work with what its kernels do."""
        return {**os.environ, "HOME": str(self.home), "NBFLOW_HOME": str(self.home / "nbflow"), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, running. Not for the session: while Playwright is open, asyncio takes its loop for a running one."""
    program = lab.chromium()
    if program is None:
        if os.environ.get("CI"):
            raise AssertionError("CI needs Chromium")
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(lab.FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """JupyterLab over a project folder."""
    folder = tmp_path_factory.mktemp("lab")
    work, home = folder / "work", folder / "home"
    (work / ".nbflow").mkdir(parents=True)
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBFLOW_HOME", str(home / "nbflow"))  # each test has another one, and this is for all
        running = lab.jupyter_lab(work, home)
        url = running.__enter__()
    try:
        yield Place(url, work, home)
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def live_page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that must not raise errors, nor run what comes from tasks as a script."""
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"script ran: {dialog.message}"), dialog.dismiss()))
    yield page
    if "NBFLOW_TEST_PICTURES" in os.environ:
        page.screenshot(path=str(Path(os.environ["NBFLOW_TEST_PICTURES"]) / f"end-of-{request.node.name[:60]}.png"))
    page.close()
    assert problems == []
