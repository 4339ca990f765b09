"""Holds: who released one and why, and what is set aside under it waits in the outbox."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """New columns, all empty, and indexes that are empty too."""
    op.add_column("holds", sa.Column("released_by", sa.Text()))
    op.add_column("holds", sa.Column("released_why", sa.Text()))
    op.add_column(
        "holds",
        sa.Column(
            "drained_at", sa.DateTime(timezone=True), comment="released, and nothing is set aside under it any more"
        ),
    )
    op.create_index("ix_holds_open", "holds", ["id"], postgresql_where=sa.text("released_at IS NULL"))
    op.create_index(
        "ix_holds_leaving",
        "holds",
        ["id"],
        postgresql_where=sa.text("released_at IS NOT NULL AND drained_at IS NULL"),
    )
    op.add_column(
        "outbox",
        sa.Column(
            "held_by", sa.Uuid(), comment="the hold under which it is set aside, until its release or the first expiry"
        ),
    )
    op.create_index(
        "ix_outbox_held", "outbox", ["held_by", "priority"], postgresql_where=sa.text("held_by IS NOT NULL")
    )


def downgrade() -> None:
    """What is set aside is published again."""
    op.execute("UPDATE outbox SET available_at = now() WHERE held_by IS NOT NULL AND published_at IS NULL")
    op.drop_index("ix_outbox_held", "outbox")
    op.drop_column("outbox", "held_by")
    op.drop_index("ix_holds_leaving", "holds")
    op.drop_index("ix_holds_open", "holds")
    op.drop_column("holds", "drained_at")
    op.drop_column("holds", "released_why")
    op.drop_column("holds", "released_by")
