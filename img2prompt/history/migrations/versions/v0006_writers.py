"""Who wrote a variant: until now always the phrasebook, or the templates of a tone of the user's own."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("variants", sa.Column("writer", sa.Text, nullable=False, server_default="phrasebook"))
