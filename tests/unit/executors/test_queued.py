"""The executor of the queue, where it differs from the others."""

from nbflow.model.records import RunRecord
from nbflow.model.states import State
from nbflow.storage import jobs, opened, runs
from nbflow.testing import steps


def test_a_run_that_was_cancelled_puts_nothing_more_on_the_queue(bench_of):
    bench = bench_of("queue")
    texts = dict.fromkeys(("flow", "parameters", "tags", "cwd", "host", "executor"), "")
    fields = {**dict.fromkeys(RunRecord._fields), **texts, "id": "run", "state": "cancelled", "created_at": 0.0}
    with opened.database().write() as connection:
        runs.create(connection, RunRecord(**fields))
    assert bench.finished(bench.submit(steps.add, 1, 2)).state is State.CANCELLED
    with opened.database().read() as connection:
        assert jobs.of_run(connection, "run", [state.value for state in State]) == []
