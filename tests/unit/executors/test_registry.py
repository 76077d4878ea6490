import subprocess
import sys

import pytest

from nbflow.executors import registry
from nbflow.model.errors import ConfigError
from nbflow.running.clock import SystemClock


@pytest.mark.parametrize("name", ["serial", "threads", "processes"])
def test_built_in_executors_are_found_without_metadata(name):
    executor = registry.get_executor(name, workers=1, values=None, clock=SystemClock())
    assert (executor.name, executor.workers) == (name, 1)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="serial, threads, processes"):
        registry.check_name("treads")


def test_executors_of_other_packages_are_found_by_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nbflow.executors]\nother = other_module:make\nbroken = missing_module:x\n")
    (tmp_path / "other_module.py").write_text("def make(**options):\n    return options\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.get_executor("other", workers=3, values=None, clock=None)["workers"] == 3
    with pytest.raises(ConfigError, match="missing_module"):
        registry.get_executor("broken", workers=3, values=None, clock=None)


def test_importing_executors_is_light():
    heavy = {"asyncio", "multiprocessing", "concurrent.futures", "IPython", "pandas", "sqlalchemy", "cloudpickle"}
    modules = "nbflow.executors.registry, nbflow.executors.threads, nbflow.running.child"
    code = f"import sys, {modules}; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "set()"
