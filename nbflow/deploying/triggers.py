"""Triggers: what makes an event, another flow's end, a file, a table or a request over HTTP start a deployment."""

from __future__ import annotations

import difflib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbflow.analysis.parameters import check_parameters
from nbflow.deploying import sensors, tokens
from nbflow.deploying.accepting import parameters_of
from nbflow.deploying.starts import MOST_WAITING, Asked, Start, Starts, key_of, no_deployment
from nbflow.deploying.watched import checked
from nbflow.model.deployments import DeploymentRecord, TriggerFiringRecord, TriggerRecord
from nbflow.model.errors import ConfigError, ParameterError, TriggerError, TriggerNotFoundError
from nbflow.model.names import check_name
from nbflow.model.specs import Parameter
from nbflow.queue.broker import Broker
from nbflow.storage import deployments
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection

KINDS = ("event", "flow", "file", "table", "webhook")
SENSORS = ("file", "table")
_LONGEST_NAME = 64  # characters, as the column of the database


class Made(NamedTuple):
    """A trigger that was made."""

    record: TriggerRecord
    token: str | None = None  # of a webhook or a sender: shown this once, since only its digest is stored


class Triggers:
    """The triggers of one database."""

    def __init__(self, broker: Broker, starts: Starts | None = None) -> None:
        self.broker = broker
        self.starts = starts or Starts(broker)

    @classmethod
    def of(cls, db: str | None = None) -> Triggers:
        """Those of a database (URL or path; default: the settings'), which has to exist."""
        return cls(Broker.of(db, create=False))

    # --- events --------------------------------------------------------------------------------------------------

    def emit(
        self,
        event: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        texts: bool = False,
        strict: bool = False,
    ) -> list[Start]:
        """Tell of an event: starts every deployment that listens to it, with the event's parameters, all or none.

        `key` names what happened: told again with the same key, it starts nothing twice. Without one, each call is an
        event of its own. `texts`: the parameters are texts of a command line; `strict`: the same key with other
        parameters is an error. Returns what became of each deployment; nothing if nobody listens.

        Raises ParameterError if one of the deployments cannot be started so, KeyReusedError, TooManyStartsError.
        """
        check_name(event, "kind of event")
        full = key_of("event", event, checked_key(key) if key is not None else f"~{uuid.uuid4().hex}")
        with self.broker.database.read() as connection:
            listening = stored.of_kind(connection, "event", [event])
        return self.starts.start(
            [Asked(each, full, parameters or {}, texts=texts, strict=strict) for each in listening]
        )

    def events(self) -> list[str]:
        """The events that some deployment listens to."""
        with self.broker.database.read() as connection:
            return sorted({each.topic for each in stored.of_kind(connection, "event")})

    # --- making and changing -------------------------------------------------------------------------------------

    def add(self, kind: str, deployment: str, *, name: str | None = None, texts: bool = False, **options: Any) -> Made:
        """Have something start a deployment; see `watched.checked` for the options of each kind.

        A sensor takes what is there already for known, unless it is told `existing=True`. `texts`: the values to `set`
        come from a command line.

        Raises TriggerNotFoundError for an unknown deployment, TriggerError if there is a trigger of this name or a
        flow would start itself, ParameterError for parameters that the deployment does not have, and ConfigError.
        """
        now = self.broker.clock.time()
        existing = bool(options.pop("existing", False))
        topic, found = checked(kind, options)
        default = "all" if topic == "*" else topic or kind
        named = check_name(name or default[:_LONGEST_NAME], "trigger")
        if len(named) > _LONGEST_NAME:
            raise ConfigError(f"{named!r} is too long for a trigger; {_LONGEST_NAME} characters at most.")
        token = None
        if kind in tokens.KINDS:
            token, found["tokens"] = tokens.new(found, self.broker.values.signer)
        self._check_deployment(kind, deployment, topic, found, texts=texts)
        seen = sensors.baseline(kind, found, now, existing=existing) if kind in SENSORS else None
        record = TriggerRecord(
            deployment, named, kind, topic, json.dumps(found), seen, now if kind in SENSORS else None, None, 1, now
        )  # fmt: skip
        self._store(record)
        return Made(record, token)

    def _store(self, record: TriggerRecord) -> None:
        """Store a new trigger. Raises TriggerError if there is one of its name."""
        deployment, name = record.deployment, record.name
        tried = False  # whether this call may have stored it, and lost the connection before it learned of it

        def act(connection: Connection) -> None:
            nonlocal tried
            there = stored.get(connection, deployment, name)
            if there is not None and not (tried and there == record):
                raise TriggerError(
                    f"Deployment {deployment!r} has a trigger {name!r} already. Give this one another --name, or "
                    f"remove that first: nbflow triggers remove {deployment!r} {name!r}."
                )
            tried = True
            stored.add(connection, record)

        self.broker.database.retrying(act)

    def _check_deployment(
        self, kind: str, deployment: str, topic: str, options: dict[str, Any], *, texts: bool
    ) -> None:
        if kind == "sender":
            return
        with self.broker.database.read() as connection:
            there = {each.name: each for each in deployments.listed(connection)}
            if deployment not in there:
                raise no_deployment(deployment, list(there))
            known = parameters_of(connection, there[deployment])
            _check_names(known, deployment, options)
            set_ = [each for each in known if each.name in options["set"]]
            options["set"] = check_parameters(set_, options["set"], f"deployment {deployment!r}", texts=texts)
            if kind == "flow":
                _check_circle(there, stored.of_kind(connection, "flow"), deployment, topic)

    def rotate(self, deployment: str, name: str, *, grace: float = 0.0) -> Made:
        """Give a webhook or a sender a new token. The old one is good for `grace` seconds more. Raises TriggerError."""
        now = self.broker.clock.time()

        def act(connection: Connection) -> Made:
            record = stored.get(connection, deployment, name, lock=True) or self._missing(connection, deployment, name)
            options = json.loads(record.options)
            if record.kind not in tokens.KINDS:
                raise TriggerError(f"Trigger {name!r} of {deployment!r} listens to a {record.kind} and has no token.")
            kept = tokens.kept(options["tokens"], now, now + grace)
            options["tokens"] = [*fresh, *kept]
            stored.change(connection, record, options=json.dumps(options))
            return Made(record, token)

        with self.broker.database.read() as connection:
            first = stored.get(connection, deployment, name) or self._missing(connection, deployment, name)
        token, fresh = tokens.new(json.loads(first.options), self.broker.values.signer)
        return self.broker.database.retrying(act)

    def remove(self, deployment: str, name: str) -> None:
        """Remove a trigger; runs that it started go on. Raises TriggerNotFoundError."""

        def act(connection: Connection) -> bool:
            return stored.remove(connection, deployment, name)

        if not self.broker.database.retrying(act):
            with self.broker.database.read() as connection:
                self._missing(connection, deployment, name)

    # --- looking -------------------------------------------------------------------------------------------------

    def listed(self, deployment: str | None = None) -> list[TriggerRecord]:
        """All triggers, or those of a deployment."""
        with self.broker.database.read() as connection:
            return stored.listed(connection, deployment)

    def history(self, deployment: str | None = None, limit: int = 20) -> list[TriggerFiringRecord]:
        """What they started, the latest first."""
        with self.broker.database.read() as connection:
            return stored.history(connection, deployment, limit)

    @staticmethod
    def _missing(connection: Connection, deployment: str, name: str) -> TriggerRecord:
        names = [each.name for each in stored.listed(connection, deployment)]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(names) or 'none'}."
        whose = f"deployment {deployment!r}" if deployment else "the senders"
        raise TriggerNotFoundError(f"There is no trigger {name!r} of {whose}. {hint}")


def emit(
    event: str, parameters: Mapping[str, Any] | None = None, *, key: str | None = None, db: str | None = None
) -> list[Start]:
    """Tell of an event in a database (default: the settings'); see `Triggers.emit`."""
    return Triggers.of(db).emit(event, parameters, key=key)


def checked_key(key: str) -> str:
    """A key of an event. Raises ConfigError."""
    if not key.strip():
        raise ConfigError("the key of an event is a text that is not empty; leave it out for an event without one.")
    return key


def _check_names(parameters: Sequence[Parameter], deployment: str, options: Mapping[str, Any]) -> None:
    """Raise ParameterError for parameters that a trigger would give and the deployment does not have."""
    known = {each.name for each in parameters}
    given = [*options.get("set", {}), *(options.get("take") or {}).values()]
    given += [options[each] for each in ("as", "since_as", "until_as", "run_as", "body_as") if options.get(each)]
    for name in given:
        if name not in known:
            has = f"It has {', '.join(sorted(known))}." if known else "It has none."
            raise ParameterError(f"deployment {deployment!r} has no parameter {name!r}. {has}", name=name)


def _check_circle(
    there: Mapping[str, DeploymentRecord], flows: Sequence[TriggerRecord], deployment: str, topic: str
) -> None:
    """Raise TriggerError if a deployment that follows `topic` would start itself, by way of others or not."""
    followers: dict[str, set[str]] = {name: set() for name in there}
    for followed, follower in [(each.topic, each.deployment) for each in flows] + [(topic, deployment)]:
        for name, record in there.items():
            if followed in (name, record.flow):
                followers[name].add(follower)
    trail = _way(followers, deployment, deployment, [deployment])
    if trail is not None:
        raise TriggerError(
            f"Deployment {deployment!r} would start itself again and again: {' → '.join(trail)}. Break the circle."
        )


def _way(followers: Mapping[str, set[str]], here: str, goal: str, trail: list[str]) -> list[str] | None:
    for name in sorted(followers.get(here, ())):
        if name == goal:
            return [*trail, goal]
        if name not in trail:
            found = _way(followers, name, goal, [*trail, name])
            if found is not None:
                return found
    return None


__all__ = ["KINDS", "MOST_WAITING", "Made", "Triggers", "emit"]
