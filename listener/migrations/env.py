"""How Alembic runs a migration here: in the transaction of whoever opens the ledger."""

from __future__ import annotations

from alembic import context

from listener.tables import TABLES

# SQLite cannot alter most of a table: in batch mode it is made anew, with its rows
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
