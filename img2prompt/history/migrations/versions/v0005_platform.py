"""Which platform a post is for."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("posts", sa.Column("platform", sa.Text, nullable=False, server_default="instagram"))
