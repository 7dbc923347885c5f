"""The ledger's tables. Rows hold UIDs and keyed hashes, never a patient's name or identifier.

One text is a peer's own: the reason that it gives when it has a procedure step cancelled, in
``step.reason`` and ``step_event.content``. Whoever wrote it may have named a patient; it is
forgotten with the step.
"""

from __future__ import annotations

import sqlalchemy as sa

from listener.database import UtcDateTime

__all__ = [
    "ACCESSION",
    "ARRIVAL",
    "COMMITMENT",
    "COMMITMENT_REQUEST",
    "COVERAGE",
    "INSTANCE",
    "JOB",
    "MILESTONE",
    "REPORT",
    "SERVING",
    "STEP",
    "STEP_EVENT",
    "STEP_RESULT",
    "STUDY",
    "SUBSCRIPTION",
    "TABLES",
]

TABLES = sa.MetaData()

STUDY = sa.Table(
    "study",
    TABLES,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("patient_key", sa.String(64)),
    sa.Column("patient_id_key", sa.String(64)),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("indexed_generation", sa.Integer, nullable=False),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
)
INSTANCE = sa.Table(
    "instance",
    TABLES,
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("series_uid", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("transfer_syntax", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("path", sa.Text, index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reason", sa.Text),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("called_ae", sa.String(16), nullable=False),
    sa.Column("patient_key", sa.String(64), nullable=False),
    sa.Column("committed_at", UtcDateTime),
    sa.Index(
        "instance_one_current_version",
        "sop_instance_uid",
        unique=True,
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    ),
)
MILESTONE = sa.Table(
    "milestone",
    TABLES,
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("index_name", sa.String(100), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
ARRIVAL = sa.Table(
    "arrival",
    TABLES,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("title", sa.String(16), primary_key=True),
    sa.Column("jobs", sa.Text, nullable=False),
    sa.Column("argument", sa.Text, nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime, nullable=False, index=True),
)
COVERAGE = sa.Table(
    "coverage",
    TABLES,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
)
SERVING = sa.Table(
    "serving",
    TABLES,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),  # one row only
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
)
JOB = sa.Table(
    "job",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("argument", sa.Text, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("after_id", sa.Integer, index=True),
    sa.Column("last_error", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Index("job_next", "state", "not_before"),
    # the database itself keeps both promises, whatever the processes do
    sa.Index(
        "job_one_lease_per_subject",
        "subject",
        unique=True,
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    ),
    sa.Index(
        "job_equal_ready_jobs_are_one",
        "kind",
        "subject",
        "argument",
        unique=True,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    ),
    sqlite_autoincrement=True,
)
ACCESSION = sa.Table(
    "accession",
    TABLES,
    sa.Column("study_uid", sa.String(64), primary_key=True),
    sa.Column("accession_key", sa.String(64), primary_key=True),
    sa.Column("accession_number_key", sa.String(64), nullable=False, index=True),
)
REPORT = sa.Table(
    "report",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("message_key", sa.String(64), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("reason", sa.Text),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("addendum", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
    sa.Column("named_study_uid", sa.String(64), index=True),
    sa.Column("study_uid", sa.String(64), index=True),  # once it is linked
    sa.Column("patient_key", sa.String(64)),
    sa.Column("patient_id_key", sa.String(64)),
    sa.Column("accession_key", sa.String(64)),
    sa.Column("accession_number_key", sa.String(64), index=True),
    sa.Column("order_key", sa.String(64), nullable=False),
    sa.Index("report_one_of_each", "message_key", "position", unique=True),
    sqlite_autoincrement=True,
)
# what peers ask of us, and what we ask of destinations: storage commitment transactions
COMMITMENT = sa.Table(
    "commitment",
    TABLES,
    sa.Column("calling_ae", sa.String(16), primary_key=True),
    sa.Column("transaction_uid", sa.String(64), primary_key=True),
    sa.Column("called_ae", sa.String(16), nullable=False),
    sa.Column("instances", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("asked_at", UtcDateTime, nullable=False),
    sa.Index("commitment_open", "state", "asked_at"),
)
COMMITMENT_REQUEST = sa.Table(
    "commitment_request",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("transaction_uid", sa.String(64), nullable=False, unique=True),
    sa.Column("subject", sa.String(128), nullable=False, index=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("instances", sa.Text, nullable=False),
    sa.Column("committed", sa.Text),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("asked_at", UtcDateTime, nullable=False, index=True),
)
# procedure steps (UPS): what a peer wrote when it created one lies in a file beside the ledger; the
# reason that it gives for a cancellation stands here, until the step is forgotten
STEP = sa.Table(
    "step",
    TABLES,
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
    sa.Column("study_uid", sa.String(64), nullable=False, index=True),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("called_ae", sa.String(16), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("readiness", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("transaction_uid", sa.String(64)),
    sa.Column("argument", sa.Text, nullable=False),  # of the job that does it
    sa.Column("job_id", sa.Integer),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("told", sa.Text, nullable=False),  # the progress in words
    sa.Column("reason", sa.Text),  # of a cancellation, and its code
    sa.Column("reason_code", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("begun_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
)
STEP_RESULT = sa.Table(
    "step_result",
    TABLES,
    sa.Column("name", sa.String(128), primary_key=True),  # as a job of its delivery names it
    sa.Column("sop_instance_uid", sa.String(64), nullable=False, index=True),  # of the step
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("instances", sa.Text, nullable=False),
    sa.Column("held_by", sa.String(16)),
)
SUBSCRIPTION = sa.Table(
    "subscription",
    TABLES,
    sa.Column("receiver", sa.String(16), primary_key=True),
    sa.Column("sop_instance_uid", sa.String(64), primary_key=True),  # a step's, or the global one
    sa.Column("title", sa.String(16), nullable=False),
    sa.Column("locks", sa.Boolean, nullable=False),
)
STEP_EVENT = sa.Table(
    "step_event",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("receiver", sa.String(16), nullable=False, index=True),
    sa.Column("title", sa.String(16), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("type", sa.Integer, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
