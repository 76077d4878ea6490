"""A step begins while another thread imports a library whose settings are kept: neither disturbs the other."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import importlib, sys, threading, time
from nbflow.authoring.cells import process_state

begins = threading.Event()

class Slow:
    "Holds the import of pandas at its first part until the step begins, and has taken the locks that it wants."
    def find_spec(self, name, path=None, target=None):
        if name == "pandas._config" and threading.current_thread() is threading.main_thread():
            begins.set()
            until = time.monotonic() + 1
            while "pandas._config.config" not in importlib._bootstrap._module_locks and time.monotonic() < until:
                time.sleep(0.01)

failed = []
def step():
    begins.wait()
    try:
        process_state.as_in_kernel()
    except ImportError as error:
        failed.append(error)

thread = threading.Thread(target=step)
thread.start()
sys.meta_path.insert(0, Slow())
import pandas
thread.join()
assert not failed, failed
print(pandas.get_option("display.max_columns"))
"""


def test_pandas_is_imported_by_a_cell_of_the_kernel_while_a_step_begins() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "20"), done.stderr
