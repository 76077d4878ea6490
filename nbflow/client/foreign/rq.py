"""RQ's queues, from the keys that RQ has in Redis. RQ's own objects are not used: to list some jobs they tidy up first.

RQ keeps a hash for each job, a list for each queue, sorted sets ("registries") of what became of its jobs, and for each
job a stream with its latest ten results. How these read is the business of `rq_records`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbflow.client.foreign import rq_records as records
from nbflow.client.foreign.reading import ForeignSource, Row, finished, seconds, text
from nbflow.client.foreign.starting import redis_at

if TYPE_CHECKING:
    from nbflow.client.foreign.redis_reading import ReadingRedis

_REGISTRIES = ("wip", "finished", "failed", "deferred", "scheduled", "canceled", "ready")
MISSING = {
    "runs": "RQ knows no flows; its jobs are in jobs() and their tries in attempts().",
    "tasks": "RQ knows no flows; its jobs are in jobs() and their tries in attempts().",
    "events": "RQ keeps no events.",
    "artifacts": "RQ has no store of files.",
    "schedules": "Known are those of running cron schedulers (rq cron). Jobs that repeat themselves (Repeat) and those "
    "of the package rq-scheduler are jobs that wait for their time.",
    "jobs": "RQ drops succeeded jobs after result_ttl (500 s, unless set: enqueue(..., result_ttl=86400); -1 keeps "
    "them) and failed ones after failure_ttl (a year).",
    "jobs.attempts": "RQ counts no tries: these are the recorded ones. A try that raised and was repeated by "
    "Retry(...) leaves no record.",
    "jobs.losses": "RQ keeps no count of lost processes.",
    "jobs.progress": "RQ keeps none; what jobs write into job.meta is pickled and not read.",
    "jobs.tags": "RQ has none.",
    "attempts": "The latest ten of each job that ended, and one that runs. A try that raised and was repeated by "
    "Retry(...) leaves no record.",
    "attempts.started_at": "RQ 3 records it for each try; of older versions it is known of a job's latest try only.",
    "attempts.pid": "RQ names the worker and not the process that it forked.",
    "attempts.cpu": "RQ does not measure it.",
    "attempts.peak_memory": "RQ does not measure it.",
    "attempts.exit": "RQ writes it into the error's text only.",
    "queues.max_running": "RQ limits by keys and not by queues.",
}


class RqSource(ForeignSource):
    """RQ in one database of Redis. `prefix` is RQ_KEY_PREFIX, where people changed it."""

    kind = "rq"

    def __init__(self, redis: ReadingRedis, *, prefix: str = "rq") -> None:
        super().__init__(MISSING)
        self._redis = redis
        self._prefix = prefix
        self._ended: dict[str, tuple[Any, Row, list[Row]]] = {}  # by id: what its hash said, and the rows made of it

    def close(self) -> None:
        """Close the connections to Redis."""
        self._redis.close()

    def jobs(self) -> list[Row]:
        """What is on queues and in registries, with what is kept of it."""
        crons = self._cron_jobs()
        rows = []
        for job, attempts in self._jobs_and_attempts():
            job["attempts"] = len(attempts)
            job["schedule"] = crons.get(job["job"])
            rows.append(job)
        return rows

    def attempts(self) -> list[Row]:
        """The recorded results of jobs, and what runs."""
        return [attempt for _, attempts in self._jobs_and_attempts() for attempt in attempts]

    def queues(self) -> list[Row]:
        """The queues by RQ's own counts."""
        limited = self._redis.many(("HGET", self._key("job", each), "origin") for each in self._limited_jobs())
        paused = bool(self._redis.do("EXISTS", self._key("suspended")))
        rows = [self._queue(name) for name in self._queue_names()]
        for row in rows:
            row["state"] = "paused" if paused else "open"
            row["waiting"] += limited.count(row["queue"].encode())
        return rows

    def _queue(self, name: str) -> Row:
        now = time.time()
        asked = [
            ("LLEN", self._key("queue", name)),
            ("SCARD", self._key("workers", name)),
            *(("ZCARD", self._key(each, name)) for each in ("wip", "scheduled", "deferred", "canceled")),
            # What is past its time is gone, though it is listed until RQ tidies up. Failures kept for ever have -1.
            *(("ZCOUNT", self._key(each, name), now, "+inf") for each in ("finished", "failed")),
            ("ZCOUNT", self._key("failed", name), "-1", "-1"),
        ]
        ready, workers, running, delayed, waiting, cancelled, succeeded, failed, kept = self._redis.many(asked)
        first = self._redis.do("LINDEX", self._key("queue", name), 0)
        oldest = self._redis.do("HGET", self._key("job", text(first)), "enqueued_at") if first else None
        return {
            "queue": name,
            "workers": workers,
            "ready": ready,
            "running": running,
            "delayed": delayed,
            "waiting": waiting,
            "failed": failed + kept,
            "ended": succeeded + failed + kept + cancelled,
            "waiting_since": seconds(oldest),
        }

    def workers(self) -> list[Row]:
        """The workers that have registered, and those that have gone without a word."""
        keys = sorted(text(key) or "" for key in self._redis.do("SMEMBERS", self._key("workers")))
        found = self._redis.many(("HGETALL", key) for key in keys)
        running = self._redis.many(("SCARD", f"{key}:executions") for key in keys)
        return [
            records.worker(key, facts or {}, busy or 0) for key, facts, busy in zip(keys, found, running, strict=True)
        ]

    def schedules(self) -> list[Row]:
        """The entries of running cron schedulers."""
        names = [text(name) for name in self._redis.do("ZRANGE", self._key("cron_schedulers"), 0, -1)]
        written = self._redis.many(("HMGET", self._key("cron_scheduler", name), "cron_jobs") for name in names)
        rows = []
        for (entries,) in filter(None, written):
            rows += [records.schedule(entry) for entry in records.loaded(entries) or [] if isinstance(entry, dict)]
        return rows

    # ------------------------------------------------------------ jobs

    def _key(self, *parts: Any) -> str:
        return ":".join(map(str, (self._prefix, *parts)))

    def _queue_names(self) -> list[str]:
        start = len(self._key("queue", ""))
        return sorted((text(key) or "")[start:] for key in self._redis.do("SMEMBERS", self._key("queues")))

    def _limited_jobs(self) -> list[str]:
        """The jobs that wait behind a rate limit, which are in no registry of their queue."""
        names = [text(name) for name in self._redis.do("SMEMBERS", self._key("rl-keys")) or ()]
        found = self._redis.many(("ZRANGE", self._key("rl", name, "rate_limited"), 0, -1) for name in names)
        return [text(each) or "" for part in found for each in part or ()]

    def _job_ids(self) -> dict[str, float | None]:
        """The ids of all jobs that RQ lists anywhere, with the time that they wait for."""
        found: dict[str, float | None] = dict.fromkeys(self._limited_jobs())
        for name in self._queue_names():
            for key in (self._key("queue", name), self._key("queue", name) + ":intermediate"):
                found.update(dict.fromkeys(text(each) or "" for each in self._redis.do("LRANGE", key, 0, -1)))
            for registry in _REGISTRIES:
                members = self._redis.do("ZRANGE", self._key(registry, name), 0, -1, "WITHSCORES")
                for member, score in records.scored(members):
                    # Running ones are listed as JOB:EXECUTION.
                    found[(text(member) or "").partition(":")[0]] = score if registry == "scheduled" else None
        return found

    def _jobs_and_attempts(self) -> list[tuple[Row, list[Row]]]:
        """All jobs with their tries. Of one that has ended only the hash is fetched again, to see if it changed."""
        due = self._job_ids()
        keys = {each: self._key("job", each) for each in due}
        answers = self._redis.many(("HMGET", key, *records.FIELDS) for key in keys.values())
        # One of which nothing is left was dropped, and only a registry still names it.
        facts = {each: tuple(values) for each, values in zip(keys, answers, strict=True) if values and any(values)}
        known = {each: self._ended[each] for each, values in facts.items() if self._ended.get(each, ((),))[0] == values}
        news = {each: keys[each] for each in facts if each not in known}
        results = self._redis.many(("XRANGE", self._key("results", each), "-", "+") for each in news)
        payloads = self._payloads(news)
        self._ended, found = known, [known[each][1:] for each in known]
        for each, stream in zip(news, results, strict=True):
            job = records.job(each, dict(zip(records.FIELDS, facts[each], strict=True)), payloads.get(each), due[each])
            attempts = records.attempts(job, stream or [])
            found.append((job, attempts))
            if finished(job["state"]):
                self._ended[each] = (facts[each], job, attempts)
        return found

    def _payloads(self, keys: dict[str, str]) -> dict[str, bytes]:
        """The payloads of jobs that are not too large to be fetched for a name."""
        sizes = self._redis.many(("HSTRLEN", key, "data") for key in keys.values())
        small = [each for each, size in zip(keys, sizes, strict=True) if size and size <= records.LARGEST]
        return dict(zip(small, self._redis.many(("HGET", keys[each], "data") for each in small), strict=True))

    def _cron_jobs(self) -> dict[str, str]:
        """Which schedule enqueued which job."""
        names = [text(name) or "" for name in self._redis.do("ZRANGE", self._key("cron_jobs"), 0, -1)]
        found = self._redis.many(("ZRANGE", self._key("cron_job", name, "jobs"), 0, -1) for name in names)
        return {text(each) or "": name for name, part in zip(names, found, strict=True) for each in part or ()}


def open_rq(url: Any, *, prefix: str = "rq") -> RqSource:
    """RQ's queues at redis://HOST:PORT/DATABASE, read only. `prefix`: what RQ_KEY_PREFIX is where RQ runs.

    Raises ConfigError for another kind of URL, DatabaseUnreachableError if nobody answers there.
    """
    return RqSource(redis_at(url, kind="rq"), prefix=prefix)
