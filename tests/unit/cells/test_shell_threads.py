"""Whose shell threads find while a cell of a flow runs in a kernel."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import threading
from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from nbflow.authoring.cells.shell import CellShell, running
from nbflow.authoring.cells.travel import Namespace

kernels = InteractiveShell.instance()
found, inside, looked = {}, threading.Event(), threading.Event()

def look(name):
    found[name] = "cell" if isinstance(get_ipython(), CellShell) else "kernel" if get_ipython() is kernels else "none"

def step():
    with running(Namespace("look"), lambda stream, text: None):
        look("step")
        begun = threading.Thread(target=look, args=("thread of the step",))
        begun.start()
        begun.join()
        inside.set()
        looked.wait()

thread = threading.Thread(target=step)
thread.start()
inside.wait()
look("user")
looked.set()
thread.join()
look("afterwards")
print(found)
"""


def test_the_cell_finds_its_own_shell_and_the_user_that_of_the_kernel() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    wanted = {"step": "cell", "thread of the step": "cell", "user": "kernel", "afterwards": "kernel"}
    assert done.stdout.strip() == str(wanted), done.stderr
