import json
import os
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

from nbflow.model.errors import UnpicklableError, WorkerLostError
from nbflow.model.ports import Due
from nbflow.model.states import State
from nbflow.running.clock import SystemClock
from nbflow.testing import steps as suite_steps
from tests.unit.executors import steps

SCRIPT = """
import sys, tempfile
from pathlib import Path
from nbflow.executors.processes import ProcessesExecutor
from nbflow.testing.executor_suite import Bench
from nbflow.testing import steps

class Point:
    def __init__(self, x):
        self.x = x

def helper(x):
    return Point(x)

def make(x):
    return helper(x + 1)

bench = Bench(ProcessesExecutor, Path(tempfile.mkdtemp()))
bench.__enter__()
"""


@pytest.mark.parametrize(
    ("step", "exit", "word"), [(steps.kill_self, "signal 9", "SIGKILL"), (steps.exit_hard, "exit 3", "exit 3")]
)
def test_a_process_that_dies_is_told_with_its_exit_and_its_step(processes, step, exit, word):
    end = processes.finished(processes.submit(step))
    error = processes.error(end.ticket)
    assert (end.state, end.exit, type(error)) == (State.FAILED, exit, WorkerLostError)
    assert step.__name__ in str(error)
    assert word in str(error)


def test_tasks_that_waited_in_a_process_that_died_run_elsewhere(processes):
    for number in range(40):
        processes.submit(suite_steps.add, number, 1)
    lost = processes.submit(steps.kill_self)
    tickets = [processes.submit(suite_steps.add, number, 1) for number in range(40)]
    assert [processes.value(ticket) for ticket in tickets] == list(range(1, 41))
    assert processes.finished(lost).state is State.FAILED


def test_tasks_of_new_steps_do_not_stay_behind_a_long_one(processes, tmp_path):
    def step_of(number):
        return lambda: number

    for number in range(40):  # so short that more than one is given to a process at a time
        processes.value(processes.submit(suite_steps.add, number, 1))
    go = tmp_path / "go"
    long = processes.submit(steps.wait_for_file, str(go))
    tickets = [processes.submit(step_of(number)) for number in range(20)]
    assert [processes.value(ticket) for ticket in tickets] == list(range(20))
    go.touch()
    assert processes.value(long) == "found"


def test_output_below_python_is_captured(processes):
    ticket = processes.submit(steps.write_below_python)
    assert processes.finished(ticket).state is State.SUCCEEDED
    text = processes.text(ticket)  # in any order: it came by different ways
    assert [text.count(word) for word in ("descriptor", "python", "shell")] == [1, 1, 1]


def test_displays_of_ipython_are_captured_even_if_the_step_imports_it(processes):
    ticket = processes.submit(steps.show)
    assert processes.finished(ticket).state is State.SUCCEEDED
    assert json.loads(processes.text(ticket, "display"))["data"]["text/html"] == "<b>bold</b>"
    assert json.loads(processes.text(ticket, "result"))["data"]["text/plain"] == "42"


def test_an_interrupt_from_the_terminal_is_left_to_the_parent(processes):
    assert processes.value(processes.submit(steps.survive_interrupt)) == "alive"


def test_a_timeout_kills_the_programs_that_a_step_started(processes, tmp_path):
    end = processes.finished(processes.submit(steps.start_program_and_hang, str(tmp_path / "pid"), timeout=0.3))
    program = int((tmp_path / "pid").read_text())
    assert (end.state, end.exit) == (State.TIMED_OUT, "signal 9")
    assert gone(program)


def test_a_process_whose_step_was_interrupted_is_not_used_again(bench_of, tmp_path):
    bench = bench_of("processes", workers=1)
    first = bench.value(bench.submit(steps.pid))
    assert bench.value(bench.submit(steps.pid)) == first
    assert bench.finished(bench.submit(steps.wait_for_file, str(tmp_path / "never"), timeout=0.3)).state == "timed_out"
    assert bench.value(bench.submit(steps.pid)) != first, "what was interrupted may have been an import"


def test_a_timeout_ends_code_that_never_lets_python_go_on(bench_of):
    bench = bench_of("processes", workers=1)
    stuck = bench.submit(steps.hold_the_interpreter, timeout=0.2)
    waiting = bench.submit(suite_steps.add, 1, 1)
    end = bench.finished(stuck)
    assert (end.state, end.exit) == (State.TIMED_OUT, "signal 9")
    assert bench.value(waiting) == 2


@pytest.mark.parametrize("limit", [{"heartbeat_timeout": 0.2}, {"deadline": 0.5}], ids=str)
def test_any_limit_ends_code_that_never_lets_python_go_on(processes, limit):
    assert processes.value(processes.submit(suite_steps.add, 1, 1)) == 2  # a child is there
    if "deadline" in limit:
        limit = {"deadline": Due(SystemClock().time() + limit["deadline"], limit["deadline"])}
    end = processes.finished(processes.submit(steps.hold_the_interpreter, **limit))
    assert (end.state, end.exit) == (State.TIMED_OUT, "signal 9")
    assert next(iter(limit)) in end.error.message


def test_what_is_withdrawn_ends_unless_it_has_begun(bench_of, tmp_path):
    bench = bench_of("processes", workers=1)
    marker = tmp_path / "go"
    first = bench.submit(suite_steps.speak_and_wait, str(marker))
    bench.wait(lambda: bench.text(first))
    second = bench.submit(suite_steps.add, 1, 1)
    bench.executor.withdraw(second)
    bench.executor.withdraw(first)
    assert bench.finished(second).state is State.CANCELLED
    marker.touch()
    assert bench.value(first) is True


def test_closing_at_once_ends_code_that_never_lets_python_go_on(processes):
    ticket = processes.submit(steps.hold_the_interpreter)
    processes.wait(lambda: processes.reports)
    clock = SystemClock()
    began = clock.time()
    processes.executor.close(wait=False)
    assert clock.time() - began < 2
    assert processes.finished(ticket).state is State.CANCELLED


def test_a_function_that_cannot_travel_fails_with_its_name(processes):
    lock = threading.Lock()

    def guarded():
        return lock

    error = processes.error(processes.submit(guarded))
    assert type(error) is UnpicklableError
    assert "guarded" in str(error)


def test_a_large_closure_travels(processes):
    data = os.urandom(5_000_000)
    assert processes.value(processes.submit(lambda: len(data))) == 5_000_000


def test_children_see_the_surroundings_of_their_parent(processes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_VARIABLE", "set")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert processes.value(processes.submit(steps.surroundings)) == (str(tmp_path), "set", str(tmp_path))


def test_children_stay_warm_between_executors(bench_of):
    first = bench_of("processes", workers=1)
    pid = first.value(first.submit(steps.pid))
    first.executor.close()
    released(pid)
    second = bench_of("processes", workers=1)
    assert second.value(second.submit(steps.pid)) == pid


def test_changed_code_gets_a_fresh_child(bench_of, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "changing_module.py"
    module.write_text("import os\ndef answer():\n    return 1, os.getpid()\n")
    os.utime(module, (1_000_000_000, 1_000_000_000))
    first = bench_of("processes", workers=1)
    import changing_module

    value, pid = first.value(first.submit(changing_module.answer))
    first.executor.close()
    released(pid)
    module.write_text("import os\ndef answer():\n    return 2, os.getpid()\n")
    second = bench_of("processes", workers=1)
    assert value == 1
    assert second.value(second.submit(changing_module.answer)) != (1, pid)


def test_functions_and_classes_of_an_unguarded_script_work(tmp_path):
    lines = "point = bench.value(bench.submit(make, 1))\nprint(type(point) is Point, point.x)\nbench.executor.close()\n"
    assert run(tmp_path, lines).stdout == "True 2\n"


def test_children_leave_when_their_parent_is_killed(tmp_path):
    lines = """
        import os, signal
        from tests.unit.executors.steps import pid
        print(bench.value(bench.submit(pid)), flush=True)
        bench.submit(steps.sleep, 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = int(run(tmp_path, textwrap.dedent(lines)).stdout)
    assert gone(child)


def run(folder, lines):
    script = folder / "script.py"
    script.write_text(SCRIPT + lines)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=30)


def gone(pid):
    """Whether a process has ended, or does within a few seconds."""
    try:
        psutil.Process(pid).wait(5)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def released(pid):
    """Wait until the child is among the warm ones."""
    from nbflow.running.children import children

    ready = threading.Event()
    while pid not in {child.pid for child, _ in children()._idle}:
        ready.wait(0.01)
