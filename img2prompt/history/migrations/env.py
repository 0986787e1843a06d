"""What Alembic runs: the migrations, on the connection and in the transaction of `database.prepare`."""

from alembic import context

from img2prompt.history.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
