"""Steps of the tests that other processes have to import."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from nbflow.running.context import heartbeat
from tests.servers import wait_until


def pid():
    return os.getpid()


def show():
    from IPython.display import HTML, display

    display(HTML("<b>bold</b>"))
    sys.displayhook(42)


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def exit_hard():
    os._exit(3)


def write_below_python():
    os.write(1, b"descriptor\n")
    os.system("echo shell")
    print("python")


def survive_interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    return "alive"


def start_program_and_hang(path):
    """Start a program, and take no notice of being interrupted."""
    program = subprocess.Popen(["sleep", "1000"])
    Path(path).write_text(str(program.pid))
    while True:
        try:
            program.wait()
        except Exception:
            continue


def hold_the_interpreter():
    """Keep the interpreter lock in C code for hours."""
    re.match("(a+)+$", "a" * 40 + "b")


def surroundings():
    return os.getcwd(), os.environ.get("A_VARIABLE"), sys.path[0]


def block_then_beat(path):
    """Take no notice of being interrupted, and write down what heartbeat says afterwards."""
    never, end = threading.Event(), time.monotonic() + 1.2
    while time.monotonic() < end:
        try:
            never.wait(0.7)
        except Exception:
            continue
    Path(path).write_text(str(heartbeat()))


def note_and_kill_self(path):
    with open(path, "a") as file:
        file.write("called\n")
    kill_self()


def kill_self_once(path):
    if not Path(path).exists():
        note_and_kill_self(path)
    return "alive"


def wait_for_file(path):
    wait_until(lambda: os.path.exists(path), 60)
    return "found"
