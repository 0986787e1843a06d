"""Alembic's entry point: runs the migrations in the transaction of `img2prompt.history.database.prepare`."""

from alembic import context

from img2prompt.history.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
