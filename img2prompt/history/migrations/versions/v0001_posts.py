"""Posts with their variants, labels, hashtags, thumbnails and embeddings."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("id", KEY, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("owner", "fingerprint", "content_hash")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("colours", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in "orientation caption prompt engine language tone goal length emoji note".split()
        ),
        *(sa.Column(n, sa.Integer, nullable=False) for n in ("seed", "hashtag_count", "variant_count")),
        sa.UniqueConstraint("owner", "fingerprint", name="posts_owner_fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index("posts_owner_id", "posts", ["owner", "id"])
    op.create_index("posts_owner_created_at", "posts", ["owner", "created_at"])
    op.create_index("posts_owner_tone", "posts", ["owner", "tone", "id"])

    op.create_table(
        "variants",
        sa.Column("id", KEY, primary_key=True),
        post_key(),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("edited", sa.Text),
        sa.Column("copied", sa.Boolean, nullable=False),
        sa.Column("starred", sa.Boolean, nullable=False),
    )
    op.create_index("variants_post_id", "variants", ["post_id"])
    op.create_index(
        "variants_starred",
        "variants",
        ["post_id"],
        sqlite_where=sa.text("starred"),
        postgresql_where=sa.text("starred"),
    )
    op.create_table(
        "labels",
        sa.Column("id", KEY, primary_key=True),
        post_key(),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
    )
    op.create_index("labels_post_id", "labels", ["post_id"])
    op.create_table(
        "hashtags",
        sa.Column("id", KEY, primary_key=True),
        post_key(),
        sa.Column("tag", sa.Text, nullable=False),
    )
    op.create_index("hashtags_post_id", "hashtags", ["post_id"])
    op.create_table(
        "thumbnails", post_key(primary_key=True), sa.Column("webp", sa.LargeBinary, nullable=False)
    )
    op.create_table(
        "embeddings",
        sa.Column("id", KEY, primary_key=True),
        post_key(unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("embeddings_owner_id", "embeddings", ["owner", "id"])


def post_key(**options: Any) -> sa.Column:
    return sa.Column("post_id", KEY, sa.ForeignKey("posts.id", ondelete="CASCADE"), nullable=False, **options)
