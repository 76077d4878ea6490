"""`promote`: a notebook or flow becomes a deployment. `Deployment`: what there is of it, and what it can do."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from nbflow.client.run import Run
from nbflow.deploying import checking, differences
from nbflow.deploying.accepting import typed
from nbflow.deploying.starting import start_job
from nbflow.model.deployments import DeploymentRecord, DeploymentVersionRecord
from nbflow.model.errors import DeploymentError
from nbflow.queue.broker import Broker
from nbflow.queue.job import Job
from nbflow.queue.schedule import Schedule
from nbflow.storage import bells

if TYPE_CHECKING:
    from nbflow.storage.connection import Connection

T = TypeVar("T")
_LONGEST_NAME = 64  # characters, as the column of the database


class Version(NamedTuple):
    """A numbered version of a deployment."""

    number: int
    created_at: datetime  # in UTC
    verdict: str  # "passed", "failed" (and overridden), "overridden" or "none" (not checked)
    report: dict[str, Any] | None  # what the check found
    reason: str | None  # why it counts although its check did not pass
    note: str | None
    parameters: dict[str, Any]
    environment: dict[str, Any]
    files: dict[str, str]  # {path: digest}
    current: bool  # whether new runs use it


class Deployment:
    """A deployment by its name."""

    def __init__(self, name: str, *, db: str | None = None) -> None:
        """`db`: path or URL of the database, default: the settings'."""
        self.name = name
        self._db = db
        self._own_broker: Broker | None = None
        self.report: checking.Report | None = None  # of the check, where this was just promoted
        self.tokens: dict[str, str] = {}  # of its triggers that were just made, by name; shown this once

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def record(self) -> DeploymentRecord:
        """Its row. Raises DeploymentError if there is none."""
        return self._read(self._get)

    @property
    def flow(self) -> str:
        """Name of the flow that it runs."""
        return self.record.flow

    @property
    def version(self) -> int:
        """Number of the version that new runs use."""
        return self.record.version

    @property
    def schedule(self) -> Schedule | None:
        """Its schedule; None if it is only triggered."""
        from nbflow.storage import schedules

        found = self._read(lambda connection: schedules.get(connection, self.name))
        return Schedule(self.name, broker=self._broker()) if found is not None else None

    def versions(self) -> list[Version]:
        """Its versions, the oldest first."""
        from nbflow.storage import deployments

        current = self.record.version
        rows = self._read(lambda connection: deployments.versions(connection, self.name))
        return [_told(row, current=row.number == current) for row in rows]

    def runs(self, limit: int = 20) -> list[Run]:
        """The runs that it started, the latest first."""
        from nbflow.storage import deployments

        self.record  # noqa: B018 - raises if there is no such deployment
        rows = self._read(lambda connection: deployments.runs_of(connection, self.name, limit))
        return [Run(row.id, database=self._broker().database) for row in rows]

    def diff(self, old: int, new: int | None = None) -> differences.Differences:
        """What differs between two versions; `new`: default: the current one. Raises DeploymentError."""
        first, second = (self.record_of_version(number) for number in (old, new if new is not None else self.version))
        return differences.between(first, second, self._broker().values)

    def next(self, count: int = 10) -> list[datetime]:
        """The next times of its schedule, in its zone; none if it has no schedule."""
        found = self.schedule
        return found.next(count) if found is not None else []

    # --- what can be done with it --------------------------------------------------------------------------------

    def trigger(
        self, parameters: Mapping[str, Any] | None = None, *, version: int | None = None, texts: bool = False
    ) -> Job:
        """Put a run of it on the queue now, and return the job that is its run.

        `parameters`: in place of those of the version; `texts`: they come from a command line. `version`: its number;
        default: the current one. Raises DeploymentError and ParameterError.
        """
        record = self.record
        found = self.record_of_version(version if version is not None else record.version)
        meant = record._replace(version=found.number)
        given = self._read(lambda connection: typed(connection, meant, parameters or {}, texts=texts))
        broker = self._broker()
        new = start_job(broker, found, given, version)
        return Job(broker.enqueue([new])[0], broker)

    def rollback(self, to: int | None = None) -> int:
        """Have new runs use an earlier version again: `to`, or the one before the current; returns its number."""
        now = time.time()

        def act(connection: Connection) -> int:
            from nbflow.storage import deployments

            record = self._get(connection, lock=True)
            known = [row.number for row in deployments.versions(connection, self.name)]
            wanted = to if to is not None else max((each for each in known if each < record.version), default=0)
            if wanted not in known:
                raise DeploymentError(
                    f"Deployment {self.name!r} has no version {to}. It has {_numbers(known)}."
                    if to is not None
                    else f"Deployment {self.name!r} has no version before {record.version} to go back to."
                )
            deployments.put(connection, record._replace(version=wanted, changed_at=now))
            return wanted

        return self._broker().database.retrying(act)

    def pause(self) -> None:
        """Let neither its schedule nor its triggers start anything until it is resumed. `trigger()` still does.

        Its sensors do not look meanwhile, and find when they go on what has come; events, requests and ends of other
        flows start nothing, and are not made up for.
        """
        self._set_paused(True)

    def resume(self) -> None:
        """Go on with the next time of its schedule, and with its triggers."""
        self._set_paused(False)

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return bool(self.record.paused)

    def keep(self, *, runs: int | None = None, days: float | None = None) -> None:
        """Which of its runs are kept: those that ended last, so many, and for so many days; None: without a bound.

        A run goes when one of the two says so; the last one that succeeded stays. The scheduler removes them once an
        hour, `nbflow gc` the artifacts that nothing needs any more. Raises DeploymentError.
        """
        if (runs is not None and runs < 1) or (days is not None and not days > 0):
            raise DeploymentError(f"What is kept is one run at least, and more than 0 days: not {runs=}, {days=}.")
        bounds = {name: value for name, value in (("runs", runs), ("days", days)) if value is not None}
        self._change(keep=json.dumps(bounds) if bounds else None)

    @property
    def kept(self) -> dict[str, float]:
        """Which of its runs are kept: at most {"runs": number, "days": number}; {}: all."""
        found: dict[str, float] = json.loads(self.record.keep or "{}")
        return found

    def backfill(self, first: datetime, last: datetime) -> list[Job]:
        """Start runs for all times of its schedule from `first` to `last` that have had none."""
        return self._scheduled().backfill(first, last)

    def unschedule(self) -> None:
        """Take its schedule away; it can still be triggered."""
        self._scheduled().remove()

    def remove(self) -> None:
        """Forget it with its versions and its schedule. Its runs stay."""
        from nbflow.storage import deployments, schedules

        def act(connection: Connection) -> None:
            self._get(connection, lock=True)
            schedules.remove(connection, self.name)
            deployments.remove(connection, self.name)

        bells.changing(self._broker().database, act, bells.SCHEDULES)

    def __repr__(self) -> str:
        return f"<deployment {self.name!r}>"

    # --- inside --------------------------------------------------------------------------------------------------

    def _set_paused(self, paused: bool) -> None:
        self._change(paused=int(paused))
        schedule = self.schedule
        if schedule is not None:
            (schedule.pause if paused else schedule.resume)()

    def _change(self, **values: Any) -> None:
        from nbflow.storage import deployments

        def act(connection: Connection) -> None:
            self._get(connection, lock=True)
            deployments.change(connection, self.name, **values)

        self._broker().database.retrying(act)

    def _broker(self) -> Broker:
        if self._own_broker is None:
            self._own_broker = Broker.of(self._db)
        return self._own_broker

    def _read(self, look: Callable[[Connection], T]) -> T:
        return self._broker().database.retrying(look, write=False)

    def _get(self, connection: Connection, *, lock: bool = False) -> DeploymentRecord:
        from nbflow.storage import deployments

        found = deployments.get(connection, self.name, lock=lock)
        if found is None:
            known = [record.name for record in deployments.listed(connection)]
            close = difflib.get_close_matches(self.name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " nbflow deployments lists those that there are."
            raise DeploymentError(f"There is no deployment {self.name!r}.{hint}", name=self.name)
        return found

    def record_of_version(self, number: int) -> DeploymentVersionRecord:
        """The row of a version. Raises DeploymentError if there is none of that number."""
        from nbflow.storage import deployments

        def look(connection: Connection) -> DeploymentVersionRecord:
            self._get(connection)
            found = deployments.version(connection, self.name, number)
            if found is None:
                known = [row.number for row in deployments.versions(connection, self.name)]
                raise DeploymentError(
                    f"Deployment {self.name!r} has no version {number}. It has {_numbers(known)}.", version=number
                )
            return found

        return self._read(look)

    def _scheduled(self) -> Schedule:
        found = self.schedule
        if found is None:
            self.record  # noqa: B018 - raises if there is no such deployment
            raise DeploymentError(f"Deployment {self.name!r} has no schedule. Give it one: promote it with cron=...")
        return found


def deployments(*, db: str | None = None) -> list[Deployment]:
    """All deployments, by name."""
    from nbflow.storage import deployments as stored

    broker = Broker.of(db)
    with broker.database.read() as connection:
        return [Deployment(record.name, db=db) for record in stored.listed(connection)]


def _told(row: DeploymentVersionRecord, *, current: bool) -> Version:
    return Version(
        row.number, datetime.fromtimestamp(row.created_at, UTC), row.verdict,
        json.loads(row.report) if row.report is not None else None, row.reason, row.note,
        json.loads(row.parameters), json.loads(row.environment), json.loads(row.files), current,
    )  # fmt: skip


def _numbers(known: Sequence[int]) -> str:
    return ", ".join(map(str, known)) or "none"
