"""Starting deployments because of something outside: checked, once for each key, all or none, within bounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbflow.deploying.accepting import accepted, as_json
from nbflow.model.deployments import DeploymentRecord, DeploymentVersionRecord, TriggerFiringRecord, TriggerRecord
from nbflow.model.errors import KeyReusedError, TooManyStartsError, TriggerNotFoundError
from nbflow.queue.broker import Broker, NewJob
from nbflow.storage import bells, deployments
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection

MOST_WAITING = 100  # starts of a deployment that may wait, if its trigger says nothing else
_LONGEST_KEY = 255  # characters, as the column of the database


class Asked(NamedTuple):
    """One deployment that an event wants to start."""

    trigger: TriggerRecord
    key: str  # see `key_of`
    parameters: Mapping[str, Any]  # of the event
    texts: bool = False  # whether they come from a command line
    logical_time: float | None = None  # seconds since 1970
    strict: bool = False  # whether the same key with other parameters is an error


class Start(NamedTuple):
    """What became of it."""

    deployment: str
    trigger: str
    outcome: str  # "started"; "joined" to a start that waits; "repeated": its key was there before; "paused": nothing
    job: str  # that is the run; "" if nothing was started

    def words(self) -> str:
        """For people."""
        if self.outcome == "started":
            return f"Deployment {self.deployment} is started by job {self.job}."
        if self.outcome == "paused":
            return f"Deployment {self.deployment} is paused and was not started. Go on: nbflow resume {self.deployment}"
        if self.outcome == "joined":
            return f"Deployment {self.deployment} waits to be started already with these parameters (job {self.job})."
        return f"Deployment {self.deployment} was started for this key before (job {self.job}); nothing is done twice."


@dataclass(slots=True)
class Starts:
    """Starts deployments of one database."""

    broker: Broker

    def start(self, asked: Sequence[Asked]) -> list[Start]:
        """Start deployments in one transaction, all or none; what became of each, in order.

        Raises TriggerNotFoundError for a deployment that is gone, ParameterError, KeyReusedError, TooManyStartsError.
        """
        if not asked:
            return []
        mine: set[str] = set()  # jobs of this very call, whose commit may have been lost with the connection

        def act(connection: Connection) -> list[Start]:
            return self.start_in(connection, asked, mine)

        return bells.changing(self.broker.database, act, bells.JOBS)

    def start_in(self, connection: Connection, asked: Sequence[Asked], mine: set[str] | None = None) -> list[Start]:
        """The same inside a transaction. `mine`: see `start`; jobs are added to it."""
        there = stored.lock(connection, [each.trigger.deployment for each in asked])
        earlier = frozenset(mine or ())
        found = [self._one(connection, each, there, earlier) for each in asked]
        if mine is not None:
            mine.update(each.job for each in found if each.outcome in ("started", "joined"))
        return found

    def _one(
        self, connection: Connection, asked: Asked, there: Mapping[str, DeploymentRecord], earlier: frozenset[str]
    ) -> Start:
        trigger, name = asked.trigger, asked.trigger.deployment
        deployment = there.get(name)
        if deployment is None:
            raise no_deployment(name, [each.name for each in deployments.listed(connection)])
        options = json.loads(trigger.options)
        before = stored.fired(connection, name, asked.key)
        if before is not None and not asked.strict:  # whatever its parameters are worth by now
            return _again(trigger, before, earlier)
        if deployment.paused and before is None:  # nothing is kept of it, so that it can be told again
            return Start(name, trigger.name, "paused", "")
        chosen = chosen_parameters(options, asked.parameters)
        parameters = accepted(connection, deployment, chosen, texts=asked.texts)
        text = as_json(parameters, name)
        if before is not None:
            if before.parameters != text:
                raise KeyReusedError(
                    f"Deployment {name!r} was started for this key before, with other parameters. Give another key "
                    "to start it with these."
                )
            return _again(trigger, before, earlier)
        waits = stored.waiting_with(connection, name, text) if options.get("join") else None
        job = waits or self._enqueue(connection, deployment, options, parameters, asked.logical_time)
        now = self.broker.clock.time()
        stored.record(
            connection, TriggerFiringRecord(name, asked.key, trigger.name, job, text, int(waits is None), now)
        )
        return Start(name, trigger.name, "started" if waits is None else "joined", job)

    def _enqueue(
        self,
        connection: Connection,
        deployment: DeploymentRecord,
        options: Mapping[str, Any],
        parameters: Mapping[str, Any],
        logical_time: float | None,
    ) -> str:
        """Put a new run on the queue; its job."""
        _check_room(connection, deployment.name, int(options.get("most_waiting", MOST_WAITING)))
        version = deployments.version(connection, deployment.name)
        if version is None:
            raise TriggerNotFoundError(
                f"Deployment {deployment.name!r} has no version {deployment.version} that could be started."
            )
        new = _run_job(self.broker, version, parameters, logical_time)
        (job,) = self.broker.add(connection, [new])
        return job


def _again(trigger: TriggerRecord, before: TriggerFiringRecord, earlier: frozenset[str]) -> Start:
    """What became of an event that was there before; of this very call, if it had to be made again."""
    return Start(before.deployment, trigger.name, "started" if before.job in earlier else "repeated", before.job)


def _run_job(
    broker: Broker, version: DeploymentVersionRecord, parameters: Mapping[str, Any], logical_time: float | None
) -> NewJob:
    """The job of a new run. `logical_time`: what the run stands for."""
    from nbflow.deploying.starting import start_job  # with all that promoting needs, which sensors can do without

    new = start_job(broker, version, parameters)
    if logical_time is None:
        return new
    policy = {**json.loads(new.record.policy or "{}"), "zone": "UTC"}
    return new._replace(record=new.record._replace(logical_time=logical_time, policy=json.dumps(policy)))


def _check_room(connection: Connection, deployment: str, most: int) -> None:
    count = stored.waiting(connection, deployment, most)
    if count >= most:
        raise TooManyStartsError(
            f"{count} starts of deployment {deployment!r} wait already, and its trigger allows {most}. Try again when "
            "they have begun; start more workers, or allow more: --most-waiting.",
            deployment=deployment,
            wait=most,
        )


def chosen_parameters(options: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What of an event's parameters a trigger passes on, and under which names, with what it adds itself."""
    take = options.get("take")
    if take is not None:
        parameters = {own: parameters[theirs] for theirs, own in take.items() if theirs in parameters}
    return {**options.get("set", {}), **parameters}


def key_of(*parts: str) -> str:
    """The key of an event from the words that name it; a digest stands in where it would be too long."""
    text = "/".join(parts)
    if len(text) <= _LONGEST_KEY and text.isprintable():
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    readable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{readable[: _LONGEST_KEY - len(digest) - 1]}#{digest}"


def no_deployment(name: str, names: Sequence[str]) -> TriggerNotFoundError:
    """The error for a deployment that is not there."""
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else " Make one: nbflow promote TARGET."
    return TriggerNotFoundError(f"There is no deployment {name!r}.{hint}")
