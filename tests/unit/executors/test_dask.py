import importlib
import os
import re
import sys

import pytest

from nbflow import configure, flow, step
from nbflow.executors.dask import cluster as clusters
from nbflow.executors.dask import messages
from nbflow.executors.registry import get_executor
from nbflow.model.errors import ConfigError, StepTimeoutError, WorkerLostError
from nbflow.model.policies import Resources
from nbflow.model.ports import Ref
from nbflow.model.states import State
from nbflow.testing import steps as suite
from nbflow.testing.executor_suite import Bench
from nbflow.values.artifacts import FsspecStore
from tests.dask_cluster import DaskCluster
from tests.servers import free_port, wait_until
from tests.unit.executors import steps


@pytest.fixture
def local(bench_of):
    return bench_of("dask")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with DaskCluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.worker(threads=2)
        cluster.worker("--resources", "GPU=2 MEMORY=1000", "--name", "large")
        yield cluster


@pytest.fixture
def on_cluster(cluster, bench_of):
    configure(dask=cluster.address)
    return bench_of("dask")


def pids(bench, count=8):
    return {bench.value(ticket) for ticket in [bench.submit(steps.pid) for _ in range(count)]}


# --- processes of this machine


def test_the_processes_stay_warm_for_the_next_run(bench_of):
    first, second = bench_of("dask"), bench_of("dask")
    before = set()
    wait_until(lambda: before.update(pids(first, 40)) or len(before) == first.executor.workers)  # all were needed
    first.executor.close()
    assert pids(second) <= before


def test_a_task_on_a_worker_that_dies_is_lost_and_not_run_again(local):
    path = local.folder / "calls"
    ticket = local.submit(steps.note_and_kill_self, str(path))
    error = local.error(ticket)
    assert type(error) is WorkerLostError
    assert "SIGKILL" in str(error)
    assert local.finished(ticket).exit == "signal 9"
    assert [local.value(local.submit(suite.add, number, 1)) for number in range(4)] == [1, 2, 3, 4]
    assert path.read_text() == "called\n"


def test_what_waited_behind_a_task_that_killed_the_worker_runs_elsewhere(local):
    for number in range(50):  # so that slots are given more than one task
        local.value(local.submit(suite.add, number, 1))
    killer = local.submit(steps.kill_self)
    tickets = [local.submit(suite.add, number, 1) for number in range(20)]
    assert {local.finished(ticket).state for ticket in tickets} == {State.SUCCEEDED}
    assert type(local.error(killer)) is WorkerLostError


@pytest.mark.parametrize(
    ("mark", "lost"),
    [
        (None, 3),  # another machine's process: nobody knows
        (0, 0),
        (messages.mark("ours", 0), 0),
        (messages.mark("ours", 6), 0),  # its end was reported
        (messages.mark("ours", 7), 1),
        (messages.mark("ours", 9), 3),  # the ends of the first two were not reported
        (messages.mark("another", 7), 3),
    ],
)
def test_the_mark_of_a_dead_process_tells_what_began(mark, lost):
    assert messages.begun(mark, "ours", [7, 8, 9]) == lost


def test_a_lost_task_runs_again_if_its_step_says_so(tmp_path):
    @step(retries=1)
    def second_time(path):
        return steps.kill_self_once(path)

    @flow
    def once_more():
        return second_time(str(tmp_path / "calls"))

    run = once_more.run(executor="dask", workers=2)
    assert run.result() == "alive"
    assert run["second_time"].record.attempts == 2


def test_a_task_that_holds_the_interpreter_is_given_up(local):
    ticket = local.submit(steps.hold_the_interpreter, timeout=0.1)
    assert type(local.error(ticket)) is StepTimeoutError
    assert local.value(local.submit(suite.add, 1, 1)) == 2


def test_a_silent_task_that_holds_the_interpreter_is_given_up(local):
    ticket = local.submit(steps.hold_the_interpreter, heartbeat_timeout=0.1)
    assert "heartbeat_timeout of 0.1 seconds" in str(local.error(ticket))


def test_the_surroundings_are_those_of_the_process_that_runs_the_flow(local, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_VARIABLE", "set")
    bench = local
    bench.executor.close()
    with Bench(lambda **options: get_executor("dask", **options), tmp_path) as bench:
        assert bench.value(bench.submit(steps.surroundings)) == (str(tmp_path), "set", sys.path[0])


def test_a_module_that_was_changed_is_imported_anew(bench_of, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "changing_module.py"
    for version in (1, 22):
        source.write_text(f"def answer():\n    return {version}\n")
        module = importlib.reload(importlib.import_module("changing_module"))
        bench = bench_of("dask")
        assert [bench.value(bench.submit(module.answer)) for _ in range(4)] == [version] * 4
        bench.executor.close()


def test_steps_that_run_flows_of_their_own_leave_them_their_place():
    @step
    def inner(number):
        return number + 1

    @flow
    def below(number):
        return inner(inner(number))

    @step
    def outer(number):
        return below.run(number, executor="dask").result()

    @flow
    def above():
        return [outer(number) for number in range(4)]

    assert above.run(executor="dask", workers=2).result() == [2, 3, 4, 5]


# --- a cluster that was there before


def test_an_address_says_which_cluster(on_cluster, cluster):
    assert on_cluster.executor.workers == 3
    assert pids(on_cluster) <= set(cluster.client().run(steps.pid).values())


@pytest.mark.parametrize("current", [True, False])
def test_a_client_says_which_cluster(cluster, bench_of, current):
    client = cluster.client(set_as_default=current)
    if not current:
        configure(dask=client)
    try:
        assert pids(bench_of("dask")) <= set(client.run(steps.pid).values())
    finally:
        client.close()


def test_threads_of_this_process_are_a_cluster_too(bench_of):
    from distributed import Client

    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0"):
        bench = bench_of("dask")
        assert bench.value(bench.submit(suite.speak_and_wait, __file__)) is True
        assert bench.executor.workers == 2
        bench.executor.close()


def test_workers_that_cannot_be_reached_directly_are_spoken_to_through_the_scheduler(cluster, bench_of):
    configure(dask=cluster.client(direct_to_workers=False))
    bench = bench_of("dask")
    large = bench.put(bytes(3_000_000))
    tickets = [bench.submit(suite.add, Ref(0), b"!", values=(large,)) for _ in range(4)]
    assert {bench.value(ticket) for ticket in tickets} == {bytes(3_000_000) + b"!"}


def test_nothing_is_left_on_the_cluster_after_a_run(on_cluster, cluster):
    assert on_cluster.value(on_cluster.submit(suite.add, 1, 2)) == 3
    on_cluster.executor.close()
    wait_until(lambda: not any(cluster.client().processing().values()))


def test_workers_notice_that_the_client_is_gone(cluster, bench_of, tmp_path):
    client = cluster.client(name="going")
    configure(dask=client)
    bench = bench_of("dask")
    ticket = bench.submit(suite.beat, str(tmp_path / "beats"))
    bench.wait(lambda: bench.reports)
    client.close()
    assert type(bench.error(ticket)) is WorkerLostError
    wait_until(lambda: not any(cluster.client().processing().values()))


def test_a_worker_of_a_cluster_that_dies_is_named(cluster, bench_of):
    configure(dask=cluster.address)
    worker = cluster.worker("--resources", "MORTAL=1", "--name", "mortal")
    bench = bench_of("dask")
    ticket = bench.submit(suite.sleep, 60, resources=Resources(custom={"MORTAL": 1}))
    bench.wait(lambda: bench.reports)
    worker.kill()
    assert "the Dask worker tcp://127.0.0.1:" in str(bench.error(ticket))


def test_resources_choose_the_worker(on_cluster, cluster):
    (large,) = [address for address, each in cluster.workers().items() if each["name"] == "large"]
    tickets = [on_cluster.submit(steps.pid, resources=Resources(gpus=1, memory=500)) for _ in range(4)]
    assert {on_cluster.finished(ticket).worker.rpartition("/")[0] for ticket in tickets} == {large}


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (Resources(gpus=3), "GPU=3 .* GPU=2 MEMORY=1000.*dask worker --resources"),
        (Resources(memory=2000), "MEMORY=2000"),
        (Resources(custom={"FPGA": 1}), "FPGA=1"),
        (Resources(custom={"FPGA": "two"}), "has to be a number"),
    ],
)
def test_resources_that_no_worker_has_are_an_error_at_once(on_cluster, resources, words):
    error = on_cluster.error(on_cluster.submit(steps.pid, resources=resources))
    assert type(error) is ConfigError
    assert re.search(words, str(error))


def test_resources_are_not_asked_of_this_machine(local):
    assert local.value(local.submit(suite.add, 1, 2, resources=Resources(gpus=8))) == 3


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ((None, "3.11"), "has no nbflow, where 1.0 is needed"),
        (("0.9", "3.11"), "has nbflow 0.9, where 1.0 is needed"),
        (("1.0", "3.12"), "has Python 3.12, where 3.11 is needed"),
        (("1.0", "3.11"), ""),
    ],
)
def test_versions_have_to_be_the_same(theirs, words):
    assert messages.refusal(theirs, ("1.0", "3.11")) == words


def test_a_worker_with_another_nbflow_is_not_used(tmp_path, bench_of, caplog):
    other = tmp_path / "other" / "nbflow-0.0.7.dist-info" / "METADATA"
    other.parent.mkdir(parents=True)
    other.write_text("Metadata-Version: 2.1\nName: nbflow\nVersion: 0.0.7\n")
    with DaskCluster(tmp_path) as cluster:
        configure(dask=cluster.address)
        bench = bench_of("dask")
        ticket = bench.submit(suite.add, 1, 2)  # waits for a worker
        cluster.worker(path=(tmp_path / "other",))
        error = bench.error(ticket)
        assert type(error) is ConfigError
        assert "has nbflow 0.0.7, where" in str(error)
        cluster.worker()
        second = bench_of("dask")
        assert [second.value(second.submit(suite.add, 1, number)) for number in range(4)] == [1, 2, 3, 4]
        assert "is not used: it has nbflow 0.0.7" in caplog.text
        for each in (bench, second):
            each.executor.close()


def test_a_module_that_workers_do_not_have_is_named_with_the_way_out(on_cluster, cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("only_here")
    error = on_cluster.error(on_cluster.submit(module.answer))
    assert type(error) is ConfigError
    assert "'answer'" in str(error)
    assert "'only_here'" in str(error)
    assert "upload_file" in str(error)
    cluster.client().upload_file(str(tmp_path / "only_here.py"))
    assert on_cluster.value(on_cluster.submit(module.answer)) == 42


def test_artifacts_that_workers_cannot_reach_travel_through_dask_and_only_once(cluster, tmp_path):
    class Counting(FsspecStore):
        def read(self, name):
            names.append(name)
            return super().read(name)

    names = []
    configure(dask=cluster.address)
    bench = Bench(lambda **options: get_executor("dask", **options), tmp_path)
    bench.values.artifacts = Counting("memory://of-this-process")  # other processes have a memory of their own
    with bench:
        stored = bench.put(bytes(3_000_000))
        tickets = [bench.submit(suite.add, Ref(0), bytes([number]), values=(stored,)) for number in range(12)]
        assert [bench.value(ticket) for ticket in tickets] == [bytes(3_000_000) + bytes([n]) for n in range(12)]
        assert names.count(stored.uri) == 1


def test_a_scheduler_that_does_not_answer_is_an_error(bench_of):
    configure(dask=f"tcp://127.0.0.1:{free_port()}")
    bench = bench_of("dask")
    error = bench.error(bench.submit(suite.add, 1, 2))
    assert type(error) is ConfigError
    assert "NBFLOW_DASK" in str(error)


def test_a_scheduler_that_dies_is_an_error(tmp_path, bench_of):
    with DaskCluster(tmp_path) as cluster:
        cluster.worker()
        configure(dask=cluster.client(timeout=2))
        bench = bench_of("dask")
        running = bench.submit(suite.sleep, 60)
        bench.wait(lambda: bench.reports)
        waiting = bench.submit(suite.add, 1, 2)
        cluster.scheduler.kill()
        assert type(bench.error(running)) is WorkerLostError
        assert "connection with the Dask scheduler" in str(bench.error(waiting))
        bench.executor.close()


def test_without_distributed_the_error_says_what_to_install(bench_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'nbflow\[dask\]'"):
        bench_of("dask")


@pytest.mark.parametrize("wrong", [5, b"tcp://here", ""])
def test_the_setting_takes_an_address_or_a_client(wrong):
    with pytest.raises(ConfigError, match=r"address of a Dask scheduler.* or a distributed\.Client"):
        configure(dask=wrong)


def test_a_forked_process_is_told_that_it_cannot_use_dask(local):
    assert local.value(local.submit(suite.add, 1, 2)) == 3
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            clusters.find(1)
        except ConfigError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as told:
        assert "forked" in told.read()
