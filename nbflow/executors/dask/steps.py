"""The steps whose attempts an executor was given, and how a worker is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.executors.dask.lanes import Held, Lane
from nbflow.executors.dask.link import Link
from nbflow.executors.dask.messages import Run
from nbflow.model.ports import Work
from nbflow.running import functions, wire

if TYPE_CHECKING:
    from nbflow.executors.dask.cluster import Cluster
    from nbflow.model.specs import StepSpec


class Step(NamedTuple):
    """What is known of a step."""

    spec: StepSpec  # kept, so that its id stays its own
    number: int
    packed: Any  # its function
    lane: Lane


class Steps:
    """All steps, and the lanes that they wait in."""

    def __init__(self, cluster: Cluster) -> None:
        self.lanes: dict[Any, Lane] = {}  # by resources
        self._cluster = cluster
        self._known: dict[int, Step] = {}  # by id of the spec

    def lane(self, work: Work) -> Lane:
        """Where work waits; raises `NbflowError` if it can never run on the cluster."""
        return self._step(work.spec).lane

    def messages(self, slot: Held, link: Link, work: Work) -> list[Any]:
        """What to tell a worker to have it run an attempt."""
        step = self._step(work.spec)
        found: list[Any] = []
        if step.number not in link.specs:
            link.specs.add(step.number)
            found.append(wire.Spec(step.number, work.spec.name, work.spec.is_async, step.packed))
        return [*found, Run(slot.number, wire.Task.of(work, step.number))]

    def _step(self, spec: StepSpec) -> Step:
        known = self._known.get(id(spec))
        if known is None:
            packed = functions.pack(spec.function, f"the function of step {spec.name!r}")
            resources = self._cluster.resources(spec.name, spec.resources)
            lane = self.lanes.setdefault(frozenset(resources.items()), Lane(resources))
            known = self._known[id(spec)] = Step(spec, len(self._known), packed, lane)
        return known
