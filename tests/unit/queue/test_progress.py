"""What a job tells while it runs, read by its client before it ends: progress, notes, and the output of each try.

That of a worker in a process of its own is read in tests/acceptance/test_worker_jobs.py.
"""

from __future__ import annotations

import json
import os

import pytest

import nbflow
from nbflow import step
from nbflow.model.errors import JobNotFoundError
from tests.servers import wait_until
from tests.unit.queue.jobs import _NEVER, add

PARTS = 4


def in_parts(folder, parts):
    """Tell of each part when it is done, and wait for leave to go on."""
    for number in range(1, parts + 1):
        nbflow.heartbeat(number / parts, f"part {number}")
        nbflow.current().meta({"part": number, f"part {number}": "done"})
        print(f"part {number}")
        while not os.path.exists(f"{folder}/{number}"):
            _NEVER.wait(0.005)
    return parts


async def in_parts_async(folder, parts):
    import asyncio

    return await asyncio.to_thread(in_parts, folder, parts)


@pytest.mark.parametrize("function", [in_parts, in_parts_async])
def test_progress_notes_and_output_can_be_polled_at_any_time_before_the_end(queue, workers, tmp_path, function):
    job = queue.with_options(meta={"source": "test"}).enqueue(function, str(tmp_path), PARTS)
    seen = queue.job(job.id)
    assert (seen.progress, seen.meta, seen.output()) == (None, {"source": "test"}, "")
    workers.start()
    for number in range(1, PARTS + 1):
        wait_until(lambda part=number: seen.output().endswith(f"part {part}\n") and seen.meta.get("part") == part)
        wait_until(lambda part=number: seen.progress == part / PARTS)
        assert (str(seen.state), seen.record.message) == ("running", f"part {number}")
        (tmp_path / str(number)).touch()
    assert seen.result(30) == PARTS
    assert seen.meta == {"source": "test", "part": PARTS, **{f"part {n}": "done" for n in range(1, PARTS + 1)}}
    assert seen.progress == 1.0


def talk_and_fail(path, tries):
    """Tell which try it is."""
    import sys

    with open(path, "a") as log:
        log.write("x")
    number = os.path.getsize(path)
    nbflow.heartbeat(number / 10)
    print("try", number)
    print("to stderr", number, file=sys.stderr)
    if number < tries:
        raise ValueError(number)
    return number


def test_the_output_of_each_try_is_kept_apart(queue, workers, tmp_path):
    job = queue.with_options(retries=2).enqueue(talk_and_fail, str(tmp_path / "tries"), 3)
    workers.burst()
    told = {}
    for record in job.logs():
        told.setdefault((record.attempt, record.stream), []).append(record.text)
    assert {key: "".join(texts) for key, texts in told.items()} == {
        (number, stream): f"{words} {number}\n"
        for number in (1, 2, 3)
        for stream, words in (("stdout", "try"), ("stderr", "to stderr"))
    }
    assert [each.state for each in job.attempts()] == ["failed", "failed", "succeeded"]
    assert (job.result(), job.progress) == (3, 0.3)


@step(tags=["nightly", "slow"])
def tagged(x):
    return x


def test_a_job_has_the_tags_of_its_step_and_of_its_call(queue):
    assert json.loads(tagged.enqueue(1).record.tags) == ["nightly", "slow"]
    assert json.loads(queue.with_options(tags=["mine", "slow"]).enqueue(tagged, 1).record.tags) == [
        "nightly", "slow", "mine",
    ]  # fmt: skip
    assert queue.enqueue(add, 1).record.tags == ""


def test_notes_of_others_join_those_of_the_job(queue, workers):
    def noted():
        nbflow.current().meta({"rows": 3, "by": "job"})

    job = queue.enqueue(noted)
    job.note(by="client", asked=True)
    workers.burst()
    job.note(seen=True)
    assert job.meta == {"rows": 3, "by": "job", "asked": True, "seen": True}
    with pytest.raises(JobNotFoundError):
        queue.job("nothing").note(seen=True)
