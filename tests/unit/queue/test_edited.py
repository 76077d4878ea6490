"""Files that are edited while workers run: the next job runs what is written there now."""

from __future__ import annotations

import importlib
import sys
import uuid

import pytest

from tests.workers import running_worker

CODE = """
import os

{imports}

def answer():
    return {value}, os.getpid()
"""


class Module:
    """A module that jobs import; its name is new, since children are kept from test to test."""

    def __init__(self, folder):
        self.name = f"edited_{uuid.uuid4().hex}"
        self.path = folder / f"{self.name}.py"

    def write(self, value, imports=""):
        """Have the function return the value of an expression, and the number of its process."""
        self.path.write_text(CODE.format(value=value, imports=imports))
        importlib.invalidate_caches()

    @property
    def function(self):
        """The function as this process has it."""
        return importlib.import_module(self.name).answer


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Module(tmp_path)


def test_the_next_job_runs_the_code_as_it_is_now(queue, module):
    module.write("'old'")
    with running_worker(concurrency=1):
        assert queue.enqueue(module.function).result(30)[0] == "old"
        module.write("'new code'")
        assert queue.enqueue(module.function).result(30)[0] == "new code"


def test_a_module_that_the_job_imports_by_another_one_counts_too(queue, module, tmp_path):
    below = Module(tmp_path)
    below.write("1")
    module.write(f"{below.name}.answer()[0]", imports=f"import {below.name}")
    with running_worker(concurrency=1):
        assert queue.enqueue(module.function).result(30)[0] == 1
        below.write("2 + 2")
        assert queue.enqueue(module.function).result(30)[0] == 4


def test_many_jobs_go_on_while_a_file_is_edited(queue, module):
    module.write("'old'")
    with running_worker(concurrency=2):
        before = queue.enqueue_many(module.function, [()] * 300)
        before[0].result(30)
        module.write("'new code'")
        after = queue.enqueue_many(module.function, [()] * 300)
        values = [job.result(60)[0] for job in (*before, *after)]
    assert set(values) <= {"old", "new code"}
    assert set(values[-100:]) == {"new code"}


def test_a_child_stays_as_long_as_nothing_is_edited(queue, module):
    module.write("'same'")
    with running_worker(concurrency=1):
        assert len({queue.enqueue(module.function).result(30)[1] for _ in range(5)}) == 1
