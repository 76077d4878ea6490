"""An executor of another package, as users would install it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def shuffled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an executor that runs ready tasks in random order."""
    folder = tmp_path / "site" / "nbflow_shuffled-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nbflow-shuffled\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[nbflow.executors]\nshuffled = tests.notebooks.shuffled:ShuffledExecutor\n"
    )
    monkeypatch.syspath_prepend(str(folder.parent))
    return "shuffled"
