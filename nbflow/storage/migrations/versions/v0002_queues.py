"""Queues: jobs, limits, workers and schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables of queues, and tell tries before a resume from those after it."""
    op.add_column("tasks", sa.Column("attempts_before", sa.BigInteger(), nullable=True))
    _create_jobs()
    _create_limits()
    _create_places()
    _create_schedules()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("timeout", sa.Float(53), nullable=True),
        sa.Column("soft_timeout", sa.Float(53), nullable=True),
        sa.Column("due_at", sa.Float(53), nullable=True),
        sa.Column("expires_at", sa.Float(53), nullable=True),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("marks", sa.BigInteger(), nullable=False),
        sa.Column("gates", sa.Text(), nullable=True),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("waker", sa.Text(), nullable=True),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("claims", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.BigInteger(), nullable=False),
        sa.Column("wakes", sa.BigInteger(), nullable=False),
        sa.Column("abort", sa.BigInteger(), nullable=False),
        sa.Column("enqueued_at", sa.Float(53), nullable=False),
        sa.Column("ready_at", sa.Float(53), nullable=True),
        sa.Column("started_at", sa.Float(53), nullable=True),
        sa.Column("finished_at", sa.Float(53), nullable=True),
        sa.Column("progress", sa.Float(53), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("schedule", sa.Text(), nullable=True),
        sa.Column("logical_time", sa.Float(53), nullable=True),
        sa.Column("success_ttl", sa.Float(53), nullable=True),
        sa.Column("failure_ttl", sa.Float(53), nullable=True),
        sa.Column("keep_until", sa.Float(53), nullable=True),
        sa.Column("result_digest", sa.Text(), nullable=True),
        sa.Column("result_size", sa.BigInteger(), nullable=True),
        sa.Column("result_type", sa.Text(), nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("result_uri", sa.Text(), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
    )
    op.create_table(
        "job_needs",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("needs", sa.Text(), nullable=False),
    )
    for name, condition, columns in _INDEXES:
        where = sa.text(condition)
        op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)
    op.create_index("needs_by_needed", "job_needs", ["needs"])


def _create_limits() -> None:
    op.create_table(
        "gates",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Float(53), nullable=True),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("wake_at", sa.Float(53), nullable=True),
    )
    op.create_table(
        "gate_lines",
        sa.Column("line", sa.String(64), primary_key=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("gates", sa.Text(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "gate_waits",
        sa.Column("line", sa.String(64), primary_key=True),
        sa.Column("priority", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("job", sa.String(64), primary_key=True),
    )
    op.create_table(
        "gate_starts",
        sa.Column("gate", sa.String(255), primary_key=True),
        sa.Column("job", sa.String(255), primary_key=True),
        sa.Column("time", sa.Float(53), primary_key=True, autoincrement=False),
    )
    op.create_table(
        "job_keys",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("until", sa.Float(53), nullable=True),
    )
    op.create_table(
        "revocations",
        sa.Column("target", sa.String(255), primary_key=True),
        sa.Column("until", sa.Float(53), nullable=True),
        sa.Column("once", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_index("lines_by_gate", "gate_lines", ["gate"])
    op.create_index("lines_by_queue", "gate_lines", ["queue"])
    op.create_index("waits_by_job", "gate_waits", ["job"])
    op.create_index("starts_by_time", "gate_starts", ["gate", "time"])


def _create_places() -> None:
    op.create_table(
        "queues",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("priority", sa.BigInteger(), nullable=True),
        sa.Column("paused", sa.BigInteger(), nullable=False),
        sa.Column("draining", sa.BigInteger(), nullable=False),
        sa.Column("ageing", sa.Float(53), nullable=True),
        sa.Column("max_running", sa.BigInteger(), nullable=True),
        sa.Column("max_per_worker", sa.BigInteger(), nullable=True),
        sa.Column("rate_count", sa.BigInteger(), nullable=True),
        sa.Column("rate_period", sa.Float(53), nullable=True),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("process_started", sa.Float(53), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("excluded", sa.Text(), nullable=False),
        sa.Column("concurrency", sa.BigInteger(), nullable=False),
        sa.Column("children", sa.Text(), nullable=False),
        sa.Column("busy", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(53), nullable=False),
        sa.Column("seen_at", sa.Float(53), nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
    )


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("start_at", sa.Float(53), nullable=True),
        sa.Column("end_at", sa.Float(53), nullable=True),
        sa.Column("catchup", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("misfire_grace", sa.Float(53), nullable=True),
        sa.Column("jitter", sa.Float(53), nullable=False),
        sa.Column("paused", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.Float(53), nullable=True),
        sa.Column("last_at", sa.Float(53), nullable=True),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "firings",
        sa.Column("schedule", sa.String(255), primary_key=True),
        sa.Column("logical_time", sa.Float(53), primary_key=True, autoincrement=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("since", sa.Float(53), nullable=True),
        sa.Column("fired_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "signals",
        sa.Column("run", sa.String(64), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("sent_at", sa.Float(53), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
    )
    live = sa.text("paused = 0")
    op.create_index("schedules_by_time", "schedules", ["next_at"], sqlite_where=live, postgresql_where=live)
    op.create_index("firings_by_time", "firings", ["fired_at"])


_INDEXES = (
    ("jobs_due", "state = 'pending' AND due_at IS NOT NULL", ["due_at"]),
    ("jobs_expiring", "expires_at IS NOT NULL AND finished_at IS NULL", ["expires_at"]),
    ("jobs_kept", "keep_until IS NOT NULL", ["keep_until"]),
    ("jobs_of_batch", "batch IS NOT NULL", ["batch"]),
    ("jobs_of_run", "run IS NOT NULL", ["run", "state"]),
    ("jobs_of_schedule", "schedule IS NOT NULL AND finished_at IS NULL", ["schedule"]),
    ("jobs_ready", "state = 'ready'", ["queue", "priority", "place"]),
    ("jobs_running", "state = 'running'", ["worker"]),
)
