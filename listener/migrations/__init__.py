"""The migrations of the ledger's schema, run by Alembic from `listener.schema`."""
