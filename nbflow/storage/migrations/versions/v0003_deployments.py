"""Deployments: versions, triggers, and mail about them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of deployments, and tell of runs what started them."""
    op.add_column("runs", sa.Column("deployment", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("deployment_version", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("logical_time", sa.Float(53), nullable=True))
    op.add_column("runs", sa.Column("told", sa.Float(53), nullable=True))
    where = sa.text("deployment IS NOT NULL")
    op.create_index(
        "runs_of_deployment", "runs", ["deployment", "created_at"], sqlite_where=where, postgresql_where=where
    )
    where = sa.text("told IS NULL AND finished_at IS NOT NULL")
    op.create_index("runs_untold", "runs", ["finished_at"], sqlite_where=where, postgresql_where=where)
    _create_deployments()
    _create_triggers()
    _create_alerts()
    op.create_table(
        "mailings",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("sent_at", sa.Float(53), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
    )


def _create_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("changed_at", sa.Float(53), nullable=False),
        sa.Column("paused", sa.BigInteger(), nullable=False),
        sa.Column("keep", sa.Text(), nullable=True),
    )
    op.create_table(
        "deployment_versions",
        sa.Column("deployment", sa.String(64), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("flow_version", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )


def _create_triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("deployment", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=True),
        sa.Column("next_at", sa.Float(53), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "trigger_firings",
        sa.Column("deployment", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("waits", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_index("triggers_by_topic", "triggers", ["kind", "topic"])
    where = sa.text("next_at IS NOT NULL")
    op.create_index("triggers_by_time", "triggers", ["next_at"], sqlite_where=where, postgresql_where=where)
    op.create_index("trigger_firings_by_time", "trigger_firings", ["at"])
    op.create_index("trigger_firings_by_job", "trigger_firings", ["job"])
    where = sa.text("waits = 1")
    op.create_index("trigger_firings_waiting", "trigger_firings", ["deployment"], sqlite_where=where,
                    postgresql_where=where)  # fmt: skip


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("flow", sa.Text(), nullable=True),
        sa.Column("deployment", sa.Text(), nullable=True),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "incidents",
        sa.Column("alert", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Float(53), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Float(53), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
    )
