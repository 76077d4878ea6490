"""What is known of functions and methods comes from files, and other packages can bring more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.analysis import knowledge


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that tells what its functions do, as users would install it."""
    (tmp_path / "brewing_effects").mkdir()
    (tmp_path / "brewing_effects" / "__init__.py").touch()
    about = tmp_path / "brewing-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brewing\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[nbflow.effects]\nbrewing = brewing_effects\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    knowledge._tables.cache_clear()
    knowledge.of_call.cache_clear()
    yield tmp_path / "brewing_effects"
    knowledge._tables.cache_clear()
    knowledge.of_call.cache_clear()


def test_a_package_can_tell_what_its_functions_do(package: Path) -> None:
    (package / "brewing.toml").write_text('[calls]\n"brewing.boil" = { changes = "first", gives = "data" }\n')
    assert knowledge.of_call("brewing.boil") == knowledge.Knowledge("first", "data")
    assert knowledge.of_call("brewing.cool") == knowledge.UNKNOWN


@pytest.mark.parametrize(
    ("name", "changes"), [("append", "receiver"), ("head", "none"), ("plot", "object"), ("brew", "all")]
)
def test_methods_are_known_by_their_names(name: str, changes: str) -> None:
    assert knowledge.of_method(name).changes == changes
