from nbflow.model.ports import Finished
from nbflow.model.states import State
from nbflow.running.clock import SystemClock
from nbflow.testing import steps as suite_steps
from tests.unit.executors import steps


def test_a_thread_that_does_not_end_is_given_up_and_replaced(bench_of, tmp_path):
    bench = bench_of("threads", workers=1)
    late = tmp_path / "late"
    ticket = bench.submit(steps.block_then_beat, str(late), timeout=0.05)
    assert bench.finished(ticket).state is State.TIMED_OUT
    assert not late.exists()
    assert bench.value(bench.submit(suite_steps.add, 1, 1)) == 2
    assert bench.value(bench.submit(suite_steps.speak_and_wait, str(late))) is True
    assert [report.ticket for report in bench.reports if type(report) is Finished].count(ticket) == 1
    bench.wait(lambda: late.read_text() == "False")


def test_a_chain_stays_on_one_thread(threads):
    def go_on(report):
        if type(report) is Finished and report.ticket < 20:
            threads.submit(suite_steps.add, 1, 1)

    threads.on_report = go_on
    threads.submit(suite_steps.add, 1, 1)
    threads.finished(20)
    assert len({report.worker for report in threads.reports if type(report) is Finished}) == 1


def test_closing_without_wait_gives_up_threads_that_block(threads):
    ticket = threads.submit(suite_steps.sleep, 30)
    threads.wait(lambda: threads.reports)
    clock = SystemClock()
    began = clock.time()
    threads.executor.close(wait=False)
    assert clock.time() - began < 2
    assert threads.finished(ticket).state is State.CANCELLED


def test_a_failing_receiver_costs_no_thread(threads):
    def refuse(report):
        raise ValueError("receiver")

    threads.on_report = refuse
    tickets = [threads.submit(suite_steps.add, 1, 1) for _ in range(10)]
    assert [threads.value(ticket) for ticket in tickets] == [2] * 10
