"""Procedure steps (UPS): the steps, their results, who watches them, and what is to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the four tables."""
    _step()
    _step_result()
    _subscription()
    _step_event()


def _step() -> None:
    op.create_table(
        "step",
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("readiness", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("transaction_uid", sa.String(64)),
        sa.Column("argument", sa.Text, nullable=False),
        sa.Column("job_id", sa.Integer),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("reason_code", sa.Text),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("begun_at", _TIME),
        sa.Column("ended_at", _TIME),
    )
    op.create_index("ix_step_state", "step", ["state"])
    op.create_index("ix_step_study_uid", "step", ["study_uid"])


def _step_result() -> None:
    op.create_table(
        "step_result",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("instances", sa.Text, nullable=False),
        sa.Column("held_by", sa.String(16)),
    )
    op.create_index("ix_step_result_sop_instance_uid", "step_result", ["sop_instance_uid"])


def _subscription() -> None:
    op.create_table(
        "subscription",
        sa.Column("receiver", sa.String(16), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("locks", sa.Boolean, nullable=False),
    )


def _step_event() -> None:
    op.create_table(
        "step_event",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("receiver", sa.String(16), nullable=False),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("type", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_step_event_receiver", "step_event", ["receiver"])
