"""pytest's side of frozen notebooks: each step in `NAME.frozen/manifest.json` is a test.

    pytest analysis.frozen
    pytest                          # finds them in its folders
    pytest -k train -p no:nbflow    # by step; without this plugin

Loaded whenever pytest starts in an environment with nbflow, so that nothing is imported here before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nbflow.authoring.replay.replaying import StepReport

_ENDING, _MANIFEST = ".frozen", "manifest.json"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> FrozenNotebook | None:
    """Collect the manifests of frozen notebooks."""
    if file_path.name != _MANIFEST or file_path.parent.suffix != _ENDING:
        return None
    found: FrozenNotebook = FrozenNotebook.from_parent(parent, path=file_path)
    return found


class FrozenStepError(Exception):
    """A step of a notebook does not give what was frozen."""


class FrozenNotebook(pytest.File):
    """The frozen steps of one notebook."""

    reports: dict[str, StepReport] | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each step."""
        from nbflow.authoring.replay.fixtures import read_manifest
        from nbflow.model.errors import NbflowError

        try:
            manifest = read_manifest(self.path.parent)
        except NbflowError as error:
            raise self.CollectError(str(error)) from error
        self.notebook = self.path.parent.parent / manifest.notebook
        for step in manifest.steps:
            yield FrozenStepItem.from_parent(self, name=step.name)

    def report(self, name: str) -> StepReport:
        """What came of a step. All that pytest chose are replayed together when the first of them is asked for."""
        if self.reports is None:
            from nbflow.authoring.replay.replaying import replay

            chosen = [item.name for item in self.session.items if item.parent is self]
            self.reports = {report.name: report for report in replay(self.notebook, steps=chosen or [name])}
        return self.reports[name]


class FrozenStepItem(pytest.Item):
    """One frozen step."""

    parent: FrozenNotebook

    def runtest(self) -> None:
        """Fail with the differences."""
        report = self.parent.report(self.name)
        if not report.passed:
            raise FrozenStepError(f"step {self.name} of {self.parent.notebook.name}: {report.state}\n{report.text()}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The differences alone: a traceback through pytest and nbflow says nothing about the notebook."""
        from nbflow.model.errors import NbflowError

        if isinstance(excinfo.value, FrozenStepError | NbflowError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that the test is."""
        return self.path, None, f"{self.parent.path.parent.name}: {self.name}"
