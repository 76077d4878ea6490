"""The measurements of Dask, each by name: `python -m tests.bench.measure_dask NAME ...` prints one number."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from nbflow import configure
from tests.bench.measure import WORKERS, chain_of, fan_of

FLOWS = {"fan": fan_of, "chain": chain_of}


def increment(x: int) -> int:
    """A task that does nothing to speak of."""
    return x + 1


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """As many processes as nbflow starts, and a client of theirs."""
    from distributed import Client, LocalCluster

    options = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as made, Client(made, set_as_default=False) as client:
        client.gather(client.map(increment, range(-4, 0)))
        yield client


def bare(shape: str, count: str) -> float:
    """Milliseconds per task with distributed alone; the cluster is warm."""
    with cluster() as client:
        began = time.perf_counter()
        if shape == "fan":
            client.gather(client.map(increment, range(int(count)), pure=False))
        else:
            futures = [client.submit(increment, 0, pure=False)]
            for _ in range(int(count) - 1):
                futures.append(client.submit(increment, futures[-1], pure=False))
            futures[-1].result()
        return (time.perf_counter() - began) / int(count) * 1000


def flow(where: str, shape: str, count: str) -> float:
    """The same as a flow whose results are stored."""
    with cluster() if where == "address" else contextlib.nullcontext() as client:
        if client is not None:
            configure(dask=client.scheduler.address)
        FLOWS[shape].run(8, executor="dask", workers=WORKERS)
        began = time.perf_counter()
        FLOWS[shape].run(int(count), executor="dask", workers=WORKERS).result()
        return (time.perf_counter() - began) / int(count) * 1000


def warm() -> float:
    """Milliseconds of a run of one task when the processes are there."""
    chain_of.run(1, executor="dask", workers=WORKERS)
    return cold()


def cold() -> float:
    """Milliseconds of a run of one task."""
    began = time.perf_counter()
    chain_of.run(1, executor="dask", workers=WORKERS).result()
    return (time.perf_counter() - began) * 1000


MEASUREMENTS = {"bare": bare, "flow": flow, "warm": warm, "cold": cold}

if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])), flush=True)
