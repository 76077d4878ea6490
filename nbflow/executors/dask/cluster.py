"""Which cluster is used, what it can do, and how to reach its workers."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from nbflow import settings
from nbflow.executors.dask import messages, worker
from nbflow.executors.dask.link import Call
from nbflow.executors.dask.local import LocalProcesses
from nbflow.executors.dask.messages import Bye, Word
from nbflow.model.errors import ConfigError
from nbflow.model.policies import Resources

_TIMEOUT = 5  # seconds for a scheduler to answer
_SPARE = 8  # slots that are asked for beyond the places there are, so that an adaptive cluster sees a reason to grow
_CALLED = {"gpus": "GPU", "memory": "MEMORY", "cpus": "CPU"}  # fields of Resources, and what Dask's workers say
_log = logging.getLogger("nbflow")

_LOCK = threading.Lock()
_LOCAL = LocalProcesses()
_PARENTS: list[Any] = []  # what a forked process has of its parent's
_CLIENTS: dict[str, Any] = {}  # by address: those that were made here
_CLUSTERS: weakref.WeakKeyDictionary[Any, Cluster] = weakref.WeakKeyDictionary()  # by client


def find(workers: int) -> Cluster:
    """The cluster that the settings name, that of a client of this process, or one of `workers` processes.

    Raises `ConfigError` if it does not answer, or if none of its workers can be used.
    """
    if _PARENTS:
        raise ConfigError(
            "Dask cannot be used in a process that was forked from one that uses it: its threads are not here. Start "
            "the process by other means (multiprocessing's 'spawn'), or use another executor in it."
        )
    with _LOCK:
        given: Any = settings.current().dask or _client_of_this_process()
        local = None
        if not given:
            local, client = _LOCAL, _client("", _LOCAL.start(workers))
        elif isinstance(given, str):
            client = _client(given, given)
        elif given.asynchronous:  # its loop is the caller's, who is about to wait
            client = _client(given.scheduler.address, given.scheduler.address, security=given.security)
        else:
            client = given
        cluster = _CLUSTERS.get(client)
        if cluster is None:
            cluster = _CLUSTERS[client] = Cluster(client, local)
    cluster.check()
    return cluster


def _client_of_this_process() -> Any:
    """A client that the user has made, or that of the Dask worker that this is."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client, get_client, get_worker

    try:
        get_worker()
        return get_client()
    except ValueError:
        pass
    try:
        return Client.current()
    except ValueError:
        return None


def _client(name: str, target: Any, **options: Any) -> Any:
    from distributed import Client

    known = _CLIENTS.get(name)
    if known is not None and known.status == "running":
        return known
    direct = True if not name else None
    try:
        found = Client(target, timeout=_TIMEOUT, set_as_default=False, direct_to_workers=direct, **options)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at {name or target!r}: {type(error).__name__}: {error}. Start it, correct the "
            "setting 'dask' (NBFLOW_DASK), or leave it out to have a cluster on this machine.",
            address=name,
        ) from error
    _CLIENTS[name] = found
    return found


class Cluster:
    """A Dask cluster as executors see it. All of a process that use one client share one of these."""

    def __init__(self, client: Any, local: LocalProcesses | None) -> None:
        self.client = client
        self.local = local
        self.refused: dict[str, str] = {}  # by address of a worker: why it is not used
        self._workers: dict[str, Any] = {}  # by address: what the scheduler knows of it
        self._topic = f"nbflow-{client.id}"
        self._announced: dict[str, Callable[[Word], None]] = {}  # by name of an executor
        self._subscribed = False
        self._direct = local is not None or bool(client.direct_to_workers)
        self.address: str = client.scheduler.address
        self.loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop

    @property
    def threads(self) -> int:
        """How many tasks its workers run at a time."""
        return sum(each["nthreads"] for address, each in self._workers.items() if address not in self.refused)

    @property
    def most_slots(self) -> int:
        """How many slots it is sensible to ask for."""
        return self.threads + _SPARE

    def check(self) -> None:
        """Look which workers there are; raises `ConfigError` if there are some but none can be used."""
        if self.local is not None:
            return
        if self.client.status != "running":
            status = self.client.status
            raise ConfigError(f"The Dask client is {status}. Make another one, or leave the setting 'dask' out.")
        self.look()
        found = self.client.get_versions(packages=["nbflow"])
        ours = messages.versions()
        refused = {name: messages.refusal(_versions(each), ours) for name, each in found["workers"].items()}
        self.refused = {name: why for name, why in refused.items() if why}
        why = messages.refusal(_versions(found["scheduler"]), ours)
        if why:
            raise ConfigError(f"The Dask scheduler at {self.address} cannot be used: it {why}. {_SAME}", reason=why)
        if self.refused and self.refused.keys() >= self._workers.keys():
            raise self.unusable()
        for name, why in self.refused.items():
            self.refuse(name, why)

    def unusable(self) -> ConfigError:
        """The error that says why no worker can be used."""
        all_of_them = "; ".join(f"{name} {why}" for name, why in sorted(self.refused.items()))
        return ConfigError(f"No worker of the Dask scheduler at {self.address} can be used: {all_of_them}. {_SAME}")

    def trouble(self) -> Exception | None:
        """Why nothing will ever begin any more, if that is so."""
        if self.local is not None:
            return self.local.trouble
        if str(self.client.status) in ("running", "connecting"):
            return None
        return ConfigError(f"The connection with the Dask scheduler at {self.address} is lost. Start the run again.")

    def look(self) -> None:
        """See which workers there are. Not on the client's event loop."""
        if self.local is not None:
            self.local.look()
        self._workers = dict(self.client.scheduler_info(n_workers=-1)["workers"])

    def refuse(self, address: str, why: str) -> None:
        """Use a worker no more."""
        self.refused[address] = why
        _log.warning("The Dask worker %s is not used: it %s. %s", address, why, _SAME)

    def replace(self, pid: int) -> bool:
        """Have another process take the place of a worker; False if that is not ours to do."""
        if self.local is not None:
            self.local.end(pid)
        return self.local is not None

    def joined(self, pid: int) -> None:
        """Take note that a worker runs."""
        if self.local is not None:
            self.local.joined(pid)

    def mark_of(self, pid: int) -> int | None:
        """What a process noted last, if that can be known."""
        return self.local.mark_of(pid) if self.local is not None else None

    def exit_of(self, pid: int) -> str | None:
        """How a worker ended that cannot be reached any more, if that can be known."""
        if self.local is None:
            return None
        exit = self.local.exit_of(pid)
        self.local.end(pid)  # if it goes on, it does so for nobody
        return exit or self.local.exit_of(pid)

    def usable(self) -> list[str]:
        """Addresses of the workers that may be used."""
        return [address for address in self._workers if address not in self.refused]

    # --- slots -----------------------------------------------------------------------------------------------------

    def join(self, name: str, announced: Callable[[Word], None]) -> None:
        """Have `announced` called, on the event loop, with every slot that begins for the executor `name`."""
        with _LOCK:
            if not self._subscribed:
                self.client.subscribe_topic(self._topic, self._deliver)
            self._subscribed = True
            self._announced[name] = announced

    def leave(self, name: str) -> None:
        """Forget an executor."""
        self._announced.pop(name, None)

    def ask(self, name: str, numbers: list[int], resources: dict[str, float]) -> list[Any]:
        """Ask for slots; returns Dask's futures of them."""
        nbflow, python = messages.versions()
        given = {"topic": self._topic, "link": name, "nbflow": nbflow, "python": python, "own": self.local is not None}
        offers = [given | {"slot": number} for number in numbers]  # Offer
        futures: list[Any] = self.client.map(
            worker.serve,
            offers,
            key=[f"nbflow-slot-{name}-{number}" for number in numbers],
            pure=False,
            retries=0,
            resources=resources or None,
            workers=self.usable() if self.refused else None,
        )
        return futures

    def call(self, address: str) -> Call:
        """A coroutine function that has a worker do something: directly where Dask does so, else by the scheduler."""

        async def directly(op: str, **arguments: Any) -> Any:
            return await getattr(self.client.rpc(address), op)(**arguments)

        async def by_the_scheduler(op: str, **arguments: Any) -> Any:
            return await self.client.scheduler.proxy(worker=address, msg={"op": op, **arguments})

        return directly if self._direct else by_the_scheduler

    async def _deliver(self, event: tuple[float, Word]) -> None:
        word = event[1]
        announced = self._announced.get(word["link"])
        if announced is not None:
            announced(word)
        elif not word["refused"] and not word["changed"]:  # of an executor that is closed
            await self.call(word["worker"])(messages.TELL, link=word["link"], data=messages.encode([Bye()]))

    # --- resources -------------------------------------------------------------------------------------------------

    def resources(self, step: str, needed: Resources) -> dict[str, float]:
        """What Dask is to be asked for; raises `ConfigError` if no worker that is there has so much.

        `gpus` are called GPU and custom resources by their names. MEMORY and CPU are asked for where some worker
        declares them. Nothing is asked of processes of this machine, as in every other executor here.
        """
        if self.local is not None:
            return {}
        wanted = {"GPU": needed.gpus} if needed.gpus else {}
        for name, amount in needed.custom.items():
            if isinstance(amount, bool) or not isinstance(amount, int | float):
                raise ConfigError(f"resource {name!r} of step {step!r} is {amount!r}; for Dask it has to be a number.")
            wanted[name] = amount
        optional = {"MEMORY": needed.memory or 0, "CPU": needed.cpus}
        if (wanted or needed.memory) and not self._has(self._with(wanted, optional)):
            self.look()  # a worker that has it may have come
        asked = self._with(wanted, optional)
        if asked and self._workers and not self._has(asked):
            raise self._lacking(step, asked)
        return asked

    def _with(self, wanted: dict[str, float], optional: dict[str, float]) -> dict[str, float]:
        declared = {name for each in self._workers.values() for name in each["resources"]}
        return wanted | {name: amount for name, amount in optional.items() if amount and name in declared}

    def _has(self, asked: dict[str, float]) -> bool:
        of_workers = [self._workers[address]["resources"] for address in self.usable()]
        return any(all(each.get(name, 0) >= amount for name, amount in asked.items()) for each in of_workers)

    def _lacking(self, step: str, asked: dict[str, float]) -> ConfigError:
        needs = " ".join(f"{name}={amount:g}" for name, amount in asked.items())
        kinds = {
            " ".join(f"{name}={amount:g}" for name, amount in sorted(each["resources"].items())) or "nothing"
            for each in self._workers.values()
        }
        return ConfigError(
            f"step {step!r} needs {needs} of one Dask worker, and none of the {len(self._workers)} that are there has "
            f'that (they declare: {"; ".join(sorted(kinds))}). Start one with `dask worker --resources "{needs}"`, or '
            "ask for less in the step's resources.",
            step=step,
        )


_SAME = (
    "nbflow and Python have to be the same on the scheduler, on all workers and here (pip install nbflow==VERSION); "
    "workers that have been there for long look at changed files after client.restart()."
)


def _versions(found: dict[str, Any]) -> tuple[str | None, str]:
    python = ".".join(found["host"]["python"].split(".")[:2])
    return found["packages"].get("nbflow"), python


def _close() -> None:
    """End the cluster of this machine and the connections that were made here."""
    with _LOCK:
        clients = list(_CLIENTS.values())
        _CLIENTS.clear()
    for name in ("distributed", "distributed.client", "tornado.application"):
        # They complain of schedulers that have ended before us.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for client in clients:
        client.close(timeout=1)
    _LOCAL.close()


def _forget() -> None:
    """A forked process has no connections yet; its parent's are none of its business."""
    global _LOCK, _LOCAL, _CLIENTS, _CLUSTERS
    # Kept, since they would try to say goodbye to their schedulers.
    _PARENTS.extend(_CLUSTERS.values())
    _PARENTS.extend(_CLIENTS.values())
    _LOCK, _LOCAL, _CLIENTS, _CLUSTERS = threading.Lock(), LocalProcesses(), {}, weakref.WeakKeyDictionary()


atexit.register(_close)
os.register_at_fork(after_in_child=_forget)
