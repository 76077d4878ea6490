"""A Celery application that tells all that Celery can tell. Its URL comes by the environment."""

from __future__ import annotations

import os

from celery import Celery

from tests.foreign import work

app = Celery("tests", broker=os.environ.get("TEST_REDIS_URL"), backend=os.environ.get("TEST_REDIS_URL"))
app.conf.update(
    result_extended=True,
    task_track_started=True,
    task_send_sent_event=True,
    worker_send_task_events=True,
    worker_prefetch_multiplier=1,
    task_routes={"spare.*": "spare"},
)

add = app.task(work.add, name="sums.add")
fail = app.task(work.fail, name="sums.fail")
hold = app.task(work.hold, name="sums.hold")
spare = app.task(work.add, name="spare.add")


@app.task(bind=True, name="sums.flaky", max_retries=1)
def flaky(self):
    """Fail once."""
    if not self.request.retries:
        raise self.retry(exc=KeyError("not yet"), countdown=0.2)


@app.task(bind=True, name="sums.slow")
def slow(self, path):
    """Tell how far it is, and wait there."""
    self.update_state(state="COUNTING", meta={"current": 3, "total": 4})
    work.hold(path)
