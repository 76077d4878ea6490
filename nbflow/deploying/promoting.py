"""`promote`: a notebook or flow becomes a deployment, or the next version of one."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from nbflow.authoring.declarative.pipeline import Pipeline
from nbflow.authoring.declarative.yaml_files import from_yaml
from nbflow.authoring.flow import Flow
from nbflow.authoring.notebook import from_notebook
from nbflow.deploying import checking, tokens, versions, watched
from nbflow.deploying.deployments import Deployment
from nbflow.deploying.timing import SCHEDULE_OPTIONS, Timing, schedule_rows
from nbflow.deploying.triggers import Triggers
from nbflow.deploying.versions import Choices, Draft
from nbflow.engine import loader
from nbflow.model.deployments import DeploymentRecord, DeploymentVersionRecord
from nbflow.model.errors import CheckFailedError, PromotionError
from nbflow.model.names import check_name
from nbflow.queue.broker import Broker
from nbflow.storage import bells

if TYPE_CHECKING:
    from nbflow.authoring.declarative.model import Trigger
    from nbflow.storage.connection import Connection

_LONGEST_NAME = 64  # characters, as the column of the database


class Request(NamedTuple):
    """What is asked of a promotion."""

    flow: Flow[..., Any]
    name: str
    parameters: Mapping[str, Any]
    choices: Choices
    timing: Timing | None
    check: bool
    override: str | None
    note: str | None


def promote(
    flow: Flow[..., Any] | str | Path,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    cron: str | None = None,
    every: Any = None,
    monthly: Mapping[str, Any] | bool | None = None,
    check: bool = True,
    override: str | None = None,
    note: str | None = None,
    db: str | None = None,
    **options: Any,
) -> Deployment:
    """Make a notebook or a flow a deployment, or a new version of the one that there is; returns it.

    `flow`: the path of a notebook or of a flow in YAML, "module:flow", or a flow. `name`: default: the flow's.
    `parameters`: what its runs are given. Its schedule, one of: `cron` (five fields), `every` ("15m", a timedelta,
    seconds) or `monthly` (True or {"day": 1, "at": "06:00", "months": 1}); without one, that of a declared flow counts,
    else the schedule that there is stays. A declared flow's triggers are put in place as well. Options of the schedule:
    `zone`, `start`, `end`, `catchup`, `overlap`, `misfire_grace`, `jitter` as of `Queue.schedule`. Options of the runs:
    `executor`, `workers`, `queue`, `tags`, and `isolated`: in a virtual environment of their own, made where they run,
    with the packages that the flow is promoted with; `requirements` (["pandas<3"]) are put in the place of these, or
    beside them.

    The version is run in a clean process first (`check`), and compared with what the notebook showed when it was saved,
    or with the latest run of the flow. If that fails, or with `check=False`, it cannot be scheduled unless `override`
    says why it may be, which is kept. A flow that has not changed makes no new version.

    Raises CheckFailedError, PromotionError, ScheduleError, ParameterError; nothing is stored then.
    """
    found = _flow(flow)
    declared = found.schedule if isinstance(found, Pipeline) else None
    timing = Timing.of(cron=cron, every=every, monthly=monthly, options=options)
    if timing is None and declared is not None:
        timing, parameters = Timing.declared(declared), {**declared.parameters, **(parameters or {})}
    choices = _choices(options)
    given_name = check_name(name or found.spec.name, "deployment")
    if len(given_name) > _LONGEST_NAME:
        raise PromotionError(f"{given_name!r} is too long for a deployment; {_LONGEST_NAME} characters at most.")
    request = Request(found, given_name, parameters or {}, choices, timing, check, override, note)
    return _promote(request, db)


def _promote(request: Request, db: str | None) -> Deployment:
    handle = Deployment(request.name, db=db)
    broker = Broker.of(db)
    now = time.time()
    timed = schedule_rows(request.timing, request.name, request.choices.queue, broker)  # before anything is run
    wanted = request.flow.triggers if isinstance(request.flow, Pipeline) else ()
    for each in wanted:
        watched.checked(each.kind, {name: value for name, value in each.options.items() if name != "existing"})
    draft = versions.draft(request.flow, request.parameters, request.choices, broker.values, now)
    same = _same_version(broker, request.name, draft)
    if same is not None and same.verdict in ("passed", "overridden"):
        record = same
    else:
        handle.report = checking.check(request.flow, draft, broker) if request.check else None
        scheduled = bool(wanted) or _is_scheduled(broker, request)
        record = _judged(request, draft.record, handle.report, scheduled=scheduled)
        if same is not None:
            record = record._replace(number=same.number)  # checked now, and the same version all the same
    _store(broker, request, draft._replace(record=record), timed, now)
    handle.tokens = _listen(Triggers(broker), request.name, wanted)
    return handle


def _listen(triggers: Triggers, deployment: str, wanted: Iterable[Trigger]) -> dict[str, str]:
    """Put the triggers of a declared flow in place; the tokens of new ones. One that has a token keeps it."""
    known = {record.name: record for record in triggers.listed(deployment)}
    made: dict[str, str] = {}
    for each in wanted:
        there = known.get(each.name)
        if there is not None and there.kind in tokens.KINDS:
            continue
        if there is not None:
            triggers.remove(deployment, each.name)
        token = triggers.add(each.kind, deployment, name=each.name, **each.options).token
        if token is not None:
            made[each.name] = token
    return made


def _judged(
    request: Request, record: DeploymentVersionRecord, report: checking.Report | None, *, scheduled: bool
) -> DeploymentVersionRecord:
    """A version with what came of its check. Raises CheckFailedError if it may not be stored."""
    verdict = "none" if report is None else "passed" if report.passed else "failed"
    if verdict != "passed" and request.override:
        verdict = "overridden"
    told = record._replace(
        deployment=request.name, verdict=verdict, report=report.json() if report is not None else None,
        reason=request.override if verdict == "overridden" else None, note=request.note,
    )  # fmt: skip
    if verdict == "failed" and report is not None:
        raise CheckFailedError(
            f"{request.flow.spec.name!r} does not do in a clean process what it did before, so it was not promoted:\n"
            f"{report.text()}\n"
            f"See that run: nbflow show {report.run}. Restart the kernel, run all cells, save, and promote again; or "
            'say why it may be promoted anyway: override="..." (--override).',
            report=report,
        )
    if verdict == "none" and scheduled:
        raise CheckFailedError(
            f"A version of {request.name!r} that is not checked cannot be scheduled. Let it be checked, or say why it "
            'may be scheduled without: override="..." (--override).'
        )
    return told


def _same_version(broker: Broker, name: str, draft: Draft) -> DeploymentVersionRecord | None:
    """The newest version of a deployment, if it is just what would be made."""
    from nbflow.storage import deployments

    rows = broker.database.retrying(lambda connection: deployments.versions(connection, name), write=False)
    return rows[-1] if rows and rows[-1].digest == draft.record.digest else None


def _is_scheduled(broker: Broker, request: Request) -> bool:
    from nbflow.storage import schedules

    if request.timing is not None:
        return True
    return broker.database.retrying(lambda connection: schedules.get(connection, request.name), write=False) is not None


def _store(
    broker: Broker, request: Request, draft: Draft, timed: Callable[[Connection], None] | None, now: float
) -> None:
    """Store the version, make it the one that counts, and put its schedule in place: all or nothing."""
    from nbflow.storage import deployments, schedules
    from nbflow.storage import versions as flow_versions

    def act(connection: Connection) -> None:
        known = deployments.get(connection, request.name, lock=True)
        flow_versions.add(connection, draft.flow)
        number = draft.record.number
        if number:
            told = {name: getattr(draft.record, name) for name in ("verdict", "report", "reason")}
            deployments.change_version(connection, request.name, number, **told)
        else:
            number = deployments.add_version(connection, draft.record)
        created = known.created_at if known is not None else now
        deployments.put(connection, DeploymentRecord(request.name, request.flow.spec.name, number, created, now))
        if timed is not None:
            timed(connection)
            if known is not None and known.paused:
                schedules.change(connection, request.name, paused=1)

    bells.changing(broker.database, act, bells.SCHEDULES)


def _flow(given: Flow[..., Any] | str | Path) -> Flow[..., Any]:
    if isinstance(given, Flow):
        return given
    if not isinstance(given, (str, Path)):
        raise PromotionError(f"a {type(given).__name__} cannot be promoted: give the path of a notebook or a @flow.")
    if str(given).endswith(".ipynb"):
        return from_notebook(given)
    if str(given).endswith((".yaml", ".yml")):
        return from_yaml(given)
    if ":" in str(given):
        return Flow(loader.load(str(given)))
    raise PromotionError(
        f"{str(given)!r} is nothing to promote: give the path of a notebook or YAML file, module:flow or a @flow."
    )


def _choices(options: dict[str, Any]) -> Choices:
    from nbflow.executors import registry

    found = Choices(**{name: value for name, value in options.items() if name in Choices._fields})
    unknown = sorted(options.keys() - set(Choices._fields) - set(SCHEDULE_OPTIONS))
    if unknown:
        known = [*Choices._fields, *SCHEDULE_OPTIONS]
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "Parameters of the flow go into parameters={...}."
        raise PromotionError(f"promote() has no option {unknown[0]!r}. {hint}", field=unknown[0])
    if found.executor is not None:
        registry.check_name(found.executor)
    for each in found.requirements:
        try:
            Requirement(each)
        except InvalidRequirement as error:
            raise PromotionError(f"{each!r} is no requirement of a package such as 'pandas<3': {error}.") from error
    return found._replace(
        tags=tuple(check_name(tag, "tag") for tag in found.tags), requirements=tuple(found.requirements),
        isolated=found.isolated or bool(found.requirements),
    )  # fmt: skip
