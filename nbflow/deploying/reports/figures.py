"""The figures of a period, from the frames of the database.

What ended in a period belongs to it, whenever it began. So each run counts in one period only, and the figures of a
past period do not depend on when they are asked for, as long as what they are made of is kept. What had not ended is
counted as open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbflow.client.frames import NbflowSource
from nbflow.deploying.reports import code
from nbflow.deploying.reports.facts import BAD, Failure, Figures, FlowFigures, Slow, Spread, Tally
from nbflow.deploying.reports.outbox import OWN
from nbflow.deploying.reports.period import Period
from nbflow.model.queries import Query
from nbflow.queue.options import SUCCESS_TTL
from nbflow.storage import mailings
from nbflow.views.words import one_line

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_SLOWEST = 5
_LONGEST_ERROR = 300  # characters
_COLUMNS = {
    "runs": ("run", "flow", "state", "parent_run", "created_at", "started_at", "finished_at", "wait", "duration",
             "error_type", "error"),
    "tasks": ("run", "flow", "step", "kind", "state", "created_at", "started_at", "finished_at", "wait", "duration",
              "attempts", "cached", "error_type", "error"),
    "jobs": ("job", "queue", "step", "kind", "state", "run", "tags", "enqueued_at", "started_at", "finished_at", "wait",
             "duration", "attempts", "error_type", "error"),
}  # fmt: skip


def figures(database: Database, values: ValueStore, period: Period, now: float) -> Figures:
    """What happened in a period. `values`: those of the database, for the code of notebooks."""
    source = NbflowSource(database)
    runs, tasks, jobs = (_frame(source, what, period) for what in ("runs", "tasks", "jobs"))
    tasks = tasks[tasks["kind"] != "record"]
    jobs = jobs[jobs["tags"].astype("str") != OWN]
    plain = jobs[jobs["run"].isna() & (jobs["kind"] != "flow")]
    steps = _tallies(tasks, ["flow", "step"])
    flows = _tallies(runs, ["flow"])
    found = [
        FlowFigures(tally, _busiest(step for (of, _), step in steps.items() if of == flow))
        for (flow,), tally in flows.items()
    ]
    return Figures(
        period=period,
        made_at=now,
        flows=tuple(sorted(found, key=lambda flow: (-flow.runs.failed, -flow.runs.ended, flow.name))),
        functions=_busiest(_tallies(plain, ["step"]).values()),
        failures=_failures(runs, tasks, plain),
        queues=_queues(jobs),
        slowest=_slowest(tasks, plain),
        code=code.code_figures(database, values, period, steps),
        notes=_notes(database, period, jobs_told=bool(len(jobs)), now=now),
    )


def _frame(source: NbflowSource, what: str, period: Period) -> pd.DataFrame:
    """Rows that were there in the period, with `inside`: whether they ended in it."""
    import pandas as pd

    query = Query(since=period.begin, until=period.end, columns=_COLUMNS[what])
    frame, _ = source.frame(what, query)
    begin, end = (pd.Timestamp(at, unit="s", tz="UTC") for at in (period.begin, period.end))
    inside = (frame["finished_at"] >= begin) & (frame["finished_at"] < end)
    for name in ("wait", "duration"):  # seconds; what contradicts itself is no span
        seconds = frame[name].dt.total_seconds()
        frame[name] = seconds.where(seconds >= 0)
    return frame.assign(inside=inside)


def _tallies(frame: pd.DataFrame, by: list[str]) -> dict[tuple[str, ...], Tally]:
    """What became of the rows of each group, by its names."""
    ended = frame[frame["inside"]]
    counts = ended.groupby([*by, "state"], observed=True).size()
    states: dict[tuple[str, ...], dict[str, int]] = {}
    for key, count in sorted(_keyed(counts).items(), key=lambda item: -item[1]):
        states.setdefault(key[:-1], {})[key[-1]] = int(count)
    still = _keyed(frame[~frame["inside"]].groupby(by, observed=True).size())
    durations, waits = (_spreads(ended, by, name) for name in ("duration", "wait"))
    again = ended.assign(again=(ended["attempts"] - 1).clip(lower=0)) if "attempts" in ended else None
    retries = _sums(again, by, "again") if again is not None else {}
    cached = _sums(ended, by, "cached") if "cached" in ended else {}
    return {
        key: Tally(
            name=key[-1],
            states=states.get(key, {}),
            open=int(still.get(key, 0)),
            durations=durations.get(key, Spread()),
            waits=waits.get(key, Spread()),
            retries=retries.get(key, 0),
            cached=cached.get(key, 0),
        )
        for key in sorted({*states, *still})
    }


def _keyed(series: pd.Series[Any]) -> dict[tuple[str, ...], Any]:
    return {key if isinstance(key, tuple) else (key,): value for key, value in series.items()}


def _sums(frame: pd.DataFrame, by: list[str], name: str) -> dict[tuple[str, ...], int]:
    return {key: int(value) for key, value in _keyed(frame.groupby(by, observed=True)[name].sum()).items()}


def _spreads(frame: pd.DataFrame, by: list[str], name: str) -> dict[tuple[str, ...], Spread]:
    known = frame[frame[name].notna()]
    groups = known.groupby(by, observed=True)[name]
    counts, totals, longest = _keyed(groups.count()), _keyed(groups.sum()), _keyed(groups.max())
    p50, p95 = (_keyed(groups.quantile(share)) for share in (0.5, 0.95))
    return {
        key: Spread(int(count), float(p50[key]), float(p95[key]), float(longest[key]), float(totals[key]))
        for key, count in counts.items()
    }


def _busiest(tallies: Any) -> tuple[Tally, ...]:
    return tuple(sorted(tallies, key=lambda tally: (-tally.durations.total, tally.name)))


def _queues(jobs: pd.DataFrame) -> tuple[Tally, ...]:
    """The jobs of each queue; those that are flows left out, as these are queued again each time they wake."""
    own = jobs[~jobs["queue"].astype("str").str.startswith("@") & (jobs["kind"] != "flow")]
    return tuple(_tallies(own, ["queue"]).values())


def _failures(runs: pd.DataFrame, tasks: pd.DataFrame, plain: pd.DataFrame) -> tuple[Failure, ...]:
    """What failed, with its first error; a run only where none of its tasks tells why."""
    bad_tasks = tasks[tasks["inside"] & tasks["state"].isin(BAD)]
    bad_runs = runs[runs["inside"] & runs["state"].isin(BAD) & ~runs["run"].isin(bad_tasks["run"].astype("str"))]
    bad_jobs = plain[plain["inside"] & plain["state"].isin(BAD)]
    found = [
        *_first_errors(bad_tasks, ["flow", "step"], "run"),
        *_first_errors(bad_runs.assign(step=None), ["flow"], "run"),
        *_first_errors(bad_jobs.assign(flow=None), ["step"], "job"),
    ]
    return tuple(sorted(found, key=lambda failure: (-failure.count, failure.at)))


def _first_errors(frame: pd.DataFrame, by: list[str], identity: str) -> list[Failure]:
    if frame.empty:
        return []
    ordered = frame.sort_values("finished_at", kind="stable")
    groups = ordered.groupby(by, observed=True)
    counts = _keyed(groups.size())
    found = []
    for row in groups.head(1).to_dict("records"):
        key = tuple(row[name] for name in by)
        error = f"{_text(row['error_type']).rpartition('.')[2]}: {_text(row['error'])}".strip(": ")
        found.append(
            Failure(
                flow=_text(row["flow"]) or None,
                step=_text(row["step"]) or None,
                count=int(counts[key]),
                at=row["finished_at"].timestamp(),
                run=str(row[identity]),
                error=one_line(error, _LONGEST_ERROR) or _text(row["state"]).replace("_", " "),
            )
        )
    return found


def _slowest(tasks: pd.DataFrame, plain: pd.DataFrame) -> tuple[Slow, ...]:
    found = []
    for frame, by, identity in ((tasks, ["flow", "step"], "run"), (plain, ["step"], "job")):
        known = frame[frame["inside"] & frame["duration"].notna()]
        if known.empty:
            continue
        spreads = _spreads(known, by, "duration")
        longest = known.sort_values("duration", ascending=False, kind="stable").groupby(by, observed=True).head(1)
        for row in longest.head(_SLOWEST).to_dict("records"):
            spread = spreads[tuple(row[name] for name in by)]
            found.append(
                Slow(
                    flow=row.get("flow"),
                    step=str(row["step"]),
                    longest=float(row["duration"]),
                    p95=spread.p95 or 0.0,
                    run=str(row[identity]),
                    at=row["finished_at"].timestamp(),
                )
            )
    return tuple(sorted(found, key=lambda slow: -slow.longest)[:_SLOWEST])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _notes(database: Database, period: Period, *, jobs_told: bool, now: float) -> tuple[str, ...]:
    found = []
    if jobs_told and period.begin < now - SUCCESS_TTL:
        found.append(
            "Jobs that succeeded are kept for seven days unless their queue says otherwise; older ones are not in the "
            "figures of queues, and of jobs that belong to no flow."
        )
    bad = database.retrying(lambda connection: mailings.troubled(connection, period.begin, period.end), write=False)
    if bad:
        states = ", ".join(f"{sum(each.state == state for each in bad)} {state}" for state in dict.fromkeys(
            each.state for each in bad))  # fmt: skip
        found.append(f"Mail of this period that did not arrive, or may not have: {states}. See nbflow report list.")
    return tuple(found)
