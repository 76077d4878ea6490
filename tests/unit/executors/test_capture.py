import contextlib
import io
import json
import logging
import subprocess
import sys
import threading
from contextvars import copy_context

import pytest

from nbflow.model.ports import Output
from nbflow.running.context import current, heartbeat
from nbflow.testing import steps as suite_steps

pytestmark = pytest.mark.parametrize("name", ["serial", "threads"])


def test_the_streams_are_put_back(bench_of, name):
    before = sys.stdout, sys.stderr
    bench = bench_of(name)
    assert sys.stdout is not before[0]
    bench.executor.close()
    assert (sys.stdout, sys.stderr) == before


def test_other_output_passes_straight_through(bench_of, name, capsys):
    bench = bench_of(name)
    ticket = bench.submit(suite_steps.speak, "1")
    bench.finished(ticket)
    print("outside")
    assert capsys.readouterr().out == "outside\n"


def test_echo_shows_output_here_too(bench_of, name, capsys):
    bench = bench_of(name, echo=True)
    ticket = bench.submit(suite_steps.speak, "1")
    assert bench.finished(ticket)
    assert capsys.readouterr().out == bench.text(ticket) == "out 1\nand more"


def test_a_step_may_redirect_its_output(bench_of, name):
    def redirect():
        with contextlib.redirect_stdout(io.StringIO()) as inner:
            print("kept")
        return inner.getvalue()

    bench = bench_of(name)
    ticket = bench.submit(redirect)
    assert (bench.value(ticket), bench.text(ticket)) == ("kept\n", "")


def test_threads_of_a_step_belong_to_it_with_its_context(bench_of, name):
    def start_thread():
        thread = threading.Thread(target=copy_context().run, args=(print, "from a thread"))
        thread.start()
        thread.join()

    bench = bench_of(name)
    ticket = bench.submit(start_thread)
    assert bench.finished(ticket)
    assert bench.text(ticket) == "from a thread\n"


def test_logging_set_up_before_is_captured(bench_of, name):
    handler = logging.StreamHandler()
    before = handler.stream
    logging.getLogger("tests.some").addHandler(handler)
    bench = bench_of(name)
    ticket = bench.submit(lambda: logging.getLogger("tests.some").warning("careful"))
    assert bench.finished(ticket)
    bench.executor.close()
    logging.getLogger("tests.some").removeHandler(handler)
    assert bench.text(ticket, "stderr") == "careful\n"
    assert handler.stream is before


def test_printing_while_a_report_is_made_cannot_block(bench_of, name):
    bench = bench_of(name)
    receiver = threading.Lock()

    def receive(report):
        if type(report) is Output:
            assert receiver.acquire(timeout=5)
            if "first" in report.text:
                print("from the garbage collector")
            receiver.release()

    bench.on_report = receive
    ticket = bench.submit(print, "first")
    assert bench.finished(ticket)
    assert bench.text(ticket) == "first\nfrom the garbage collector\n"


def test_outside_of_steps_there_is_no_context(name):
    assert current() is None
    assert heartbeat(0.5) is True


def test_much_output_is_joined(bench_of, name):
    def chatter():
        for number in range(2000):
            print(number)

    bench = bench_of(name)
    ticket = bench.submit(chatter)
    assert bench.finished(ticket)
    assert bench.text(ticket) == "".join(f"{number}\n" for number in range(2000))
    assert len(bench.reports) < 30


@pytest.mark.parametrize("shell", [False, True])
def test_display_is_captured_with_and_without_a_shell(name, shell, tmp_path):
    # In a process of its own: a shell is there for good once it is there.
    lines = f"""
import json, sys, tempfile
from pathlib import Path
from IPython.display import HTML, display
from IPython.core.interactiveshell import InteractiveShell
from nbflow.executors.registry import get_executor
from nbflow.testing.executor_suite import Bench
if {shell}:
    InteractiveShell.instance()

def show():
    display(HTML("<b>bold</b>"))
    sys.displayhook(42)

with Bench(lambda **more: get_executor({name!r}, **more), Path(tempfile.mkdtemp())) as bench:
    ticket = bench.submit(show)
    bench.finished(ticket)
    json.dump([bench.text(ticket, "display"), bench.text(ticket, "result")], sys.stdout)
"""
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, env=environment, timeout=30)
    shown, result = map(json.loads, json.loads(done.stdout))
    assert shown["data"]["text/html"] == "<b>bold</b>"
    assert result["data"]["text/plain"] == "42"
