"""Tables for how long each step took, and for failures."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "timings",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("post_id", KEY, sa.ForeignKey("posts.id", ondelete="CASCADE"), nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("timings_post_id", "timings", ["post_id"])
    op.create_table(
        "failures",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("step", "engine", "message")),
    )
    op.create_index("failures_owner_failed_at", "failures", ["owner", "failed_at"])
