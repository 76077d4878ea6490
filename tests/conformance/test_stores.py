"""Every artifact store passes the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nbflow.model.ports import ArtifactStore
from nbflow.testing.store_suite import CHECKS, Check, Shelf
from nbflow.values.artifacts import FsspecStore, LocalStore, open_store

STORES: dict[str, Callable[[Path], ArtifactStore]] = {
    "folder": lambda folder: LocalStore(folder / "artifacts"),
    "fsspec on a folder": lambda folder: FsspecStore(f"file://{folder}/artifacts"),
    "fsspec in memory": lambda folder: FsspecStore(f"memory://{folder.name}"),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
def test_store(store: Callable[[Path], ArtifactStore], check: Check, tmp_path: Path) -> None:
    check(Shelf(lambda: store(tmp_path)))


@pytest.mark.s3
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_store_on_s3(check: Check, s3_url: str) -> None:
    check(Shelf(lambda: open_store(s3_url)))


@pytest.mark.s3
@pytest.mark.parametrize("check", list(CHECKS.values())[::4], ids=list(CHECKS)[::4])
def test_store_on_a_whole_bucket(check: Check, s3_url: str) -> None:
    check(Shelf(lambda: open_store(s3_url.removesuffix("/artifacts"))))
