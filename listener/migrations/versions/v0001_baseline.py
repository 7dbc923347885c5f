"""The schema of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table."""
    _study()
    _instance()
    _arrival()
    _coverage()
    _job()
    _milestone()
    _accession()
    _report()
    _commitment()


def _study() -> None:
    op.create_table(
        "study",
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("patient_key", sa.String(64)),
        sa.Column("patient_id_key", sa.String(64)),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("indexed_generation", sa.Integer, nullable=False),
        sa.Column("first_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
    )


def _instance() -> None:
    op.create_table(
        "instance",
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("transfer_syntax", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("path", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("patient_key", sa.String(64), nullable=False),
        sa.Column("committed_at", _TIME),
    )
    for column in ("path", "received_at", "state", "study_uid"):
        op.create_index(f"ix_instance_{column}", "instance", [column])
    _unique_where("instance_one_current_version", "instance", ["sop_instance_uid"], "stored")


def _arrival() -> None:
    op.create_table(
        "arrival",
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("title", sa.String(16), primary_key=True),
        sa.Column("jobs", sa.Text, nullable=False),
        sa.Column("argument", sa.Text, nullable=False),
        sa.Column("fresh", sa.Boolean, nullable=False),
        sa.Column("first_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
    )
    op.create_index("ix_arrival_due_at", "arrival", ["due_at"])


def _coverage() -> None:
    op.create_table(
        "coverage",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
    )
    op.create_table(
        "serving",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("since", _TIME, nullable=False),
    )


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("argument", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("not_before", _TIME, nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("after_id", sa.Integer),
        sa.Column("last_error", sa.Text),
        sa.Column("outcome", sa.Text),
        sqlite_autoincrement=True,
    )
    for column in ("after_id", "subject"):
        op.create_index(f"ix_job_{column}", "job", [column])
    op.create_index("job_next", "job", ["state", "not_before"])
    _unique_where("job_one_lease_per_subject", "job", ["subject"], "leased")
    equal = ["kind", "subject", "argument"]
    _unique_where("job_equal_ready_jobs_are_one", "job", equal, "ready")


def _milestone() -> None:
    op.create_table(
        "milestone",
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("index_name", sa.String(100), primary_key=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _accession() -> None:
    op.create_table(
        "accession",
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("accession_key", sa.String(64), primary_key=True),
        sa.Column("accession_number_key", sa.String(64), nullable=False),
    )
    op.create_index("ix_accession_accession_number_key", "accession", ["accession_number_key"])


def _report() -> None:
    op.create_table(
        "report",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("message_key", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("addendum", sa.Boolean, nullable=False),
        sa.Column("at", _TIME),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("named_study_uid", sa.String(64)),
        sa.Column("study_uid", sa.String(64)),
        sa.Column("patient_key", sa.String(64)),
        sa.Column("patient_id_key", sa.String(64)),
        sa.Column("accession_key", sa.String(64)),
        sa.Column("accession_number_key", sa.String(64)),
        sa.Column("order_key", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("report_one_of_each", "report", ["message_key", "position"], unique=True)
    for column in ("accession_number_key", "named_study_uid", "received_at", "state", "study_uid"):
        op.create_index(f"ix_report_{column}", "report", [column])


def _commitment() -> None:
    op.create_table(
        "commitment",
        sa.Column("calling_ae", sa.String(16), primary_key=True),
        sa.Column("transaction_uid", sa.String(64), primary_key=True),
        sa.Column("called_ae", sa.String(16), nullable=False),
        sa.Column("instances", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
    )
    op.create_index("commitment_open", "commitment", ["state", "asked_at"])
    op.create_table(
        "commitment_request",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("instances", sa.Text, nullable=False),
        sa.Column("committed", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.UniqueConstraint("transaction_uid"),
    )
    for column in ("asked_at", "subject"):
        op.create_index(f"ix_commitment_request_{column}", "commitment_request", [column])


def _unique_where(name: str, table: str, columns: list[str], state: str) -> None:
    where = sa.text(f"state = '{state}'")
    op.create_index(name, table, columns, unique=True, sqlite_where=where, postgresql_where=where)
