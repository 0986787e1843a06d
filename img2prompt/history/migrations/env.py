"""Alembic's entry point: runs the migrations in the transaction of `img2prompt.history.database.prepare`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
