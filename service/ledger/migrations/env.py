"""Alembic's entry: it runs inside the connection that `database.migrate` hands over."""

from alembic import context

from service.ledger import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
