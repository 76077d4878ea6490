"""A worker's transactions without its processes, in virtual time: for what is decided between them."""

from __future__ import annotations

from collections import Counter

from nbflow import settings
from nbflow.model.jobs import WorkerRecord
from nbflow.model.ports import Again, Finished, Started
from nbflow.model.states import State
from nbflow.queue.broker import STAMPS, Broker
from nbflow.queue.enqueueing import Enqueuer
from nbflow.queue.job import Job
from nbflow.queue.ledger import InHand, News
from nbflow.queue.options import JobOptions
from nbflow.queue.turns import Turn, allowed
from nbflow.running.failure import error_record
from nbflow.storage import jobs, opened, queues
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store
from tests.unit.queue.jobs import add


class Table:
    """Jobs on a database, and a worker that does with them what the test says."""

    def __init__(self, queue, clock=None, worker="table"):
        self.clock = clock or VirtualClock()
        self.database = opened.database()
        self.values = value_store(settings.current())
        self.broker = Broker(self.database, self.values, self.clock)
        self.worker = worker
        self.hand = {}  # by job
        self.queue = queue.name
        self.register()

    def register(self):
        """Be a worker of whom others know."""
        now = self.clock.time()
        record = WorkerRecord(
            self.worker, "elsewhere", "", 1, 0.0, "running", "[]", "[]", 1, "[]", 0, 0, "0", now, now, now + 1e9
        )
        with self.database.write() as connection:
            queues.register(connection, record)

    # --- jobs ----------------------------------------------------------------------------------------------------

    def enqueue(self, *args, queue=None, function=add, **options):
        """Enqueue a call; its id."""
        enqueuer = self._enqueuer(queue, options)
        return enqueuer.calls(enqueuer.preparer(function), [(args or (1,), {})], None)[0].id

    def pattern(self, pattern, queue=None, **options):
        """Enqueue a pattern; the ids of its jobs in order."""
        return [job.id for job in self._enqueuer(queue, options).pattern(pattern, None)]

    def _enqueuer(self, queue, options):
        return Enqueuer(self.broker, queue or self.queue, JobOptions().changed(options))

    def job(self, id):
        """The handle of a job."""
        return Job(id, self.broker)

    def state(self, id):
        """The state of a job."""
        return str(self.job(id).state)

    def states(self, ids):
        """The states of some jobs, in order."""
        with self.database.read() as connection:
            found = jobs.states(connection, ids)
        return [found.get(id_, "gone") for id_ in ids]

    # --- the worker ----------------------------------------------------------------------------------------------

    def turn(self, act):
        """One transaction of the worker."""

        def whole(connection):
            return act(Turn(connection, self.worker, self.values, self.clock.time()))

        return self.database.retrying(whole)

    def tick(self):
        """Do what the time brings."""
        self.turn(lambda turn: turn.tick())

    def claim(self, most=1_000, queues_=(), *, ahead=0, begins=True):
        """Take up to so many jobs, and some ahead, which begin at once; their ids in the order of taking."""
        in_hand = Counter(each.job.queue for each in self.hand.values())

        def act(turn):
            turn.tick()
            return turn.claim(allowed(queues_, (), lambda: in_hand, most + ahead), most, ahead)

        claims = self.turn(act)
        for claim in claims:
            self.hand[claim.job.id] = each = InHand(claim.job)
            if begins:
                each.started = Started(0, self.clock.time(), self.worker, 1)
        return [claim.job.id for claim in claims]

    def end(self, *ids, error=None, again=None, exit=None, state=None):
        """Tell that jobs in hand have ended."""
        now = self.clock.time()
        verdict = State(state) if state else State.FAILED if error or exit else State.SUCCEEDED
        if again is not None:
            verdict = State.PENDING
        record = error_record(error) if error is not None else None
        ends = [
            (self.hand.pop(id_), Finished(0, verdict, now, now, self.worker, 1, None, record, exit=exit, again=again))
            for id_ in ids
        ]
        self.turn(lambda turn: turn.tell(News(ends, [], {}, {}, [])))

    def fail(self, *ids, error=None):
        """Tell that jobs in hand have failed."""
        self.end(*ids, error=error or ValueError("no"))

    def put_off(self, id, seconds):
        """Tell that a job in hand wants to be run again."""
        self.end(id, again=Again(self.clock.time() + seconds, None, end=True))

    def later(self, seconds):
        """What a try says that wants to be made again in so many seconds."""
        return Again(self.clock.time() + seconds, None, end=True)

    def suspend(self, id, seconds):
        """Tell that a job in hand waits to be woken, so many seconds at most."""
        wakes = self.job(id).record.wakes
        self.end(id, again=Again(self.clock.time() + seconds, wakes))

    def begin(self, *ids):
        """Tell that jobs in hand have begun, and go on."""
        now = self.clock.time()
        for id_ in ids:
            self.hand[id_].started, self.hand[id_].told_start = Started(0, now, self.worker, 1), True
        self.turn(lambda turn: turn.tell(News([], [], {}, {}, [(id_, now) for id_ in ids])))

    def drain(self):
        """Claim and end jobs, one after the other, until there are none; their ids."""
        done = []
        while found := self.claim(1):
            self.end(*found)
            done += found
        return done


def stamp():
    """An id that is not in use."""
    return STAMPS.id(STAMPS.next()[0])
