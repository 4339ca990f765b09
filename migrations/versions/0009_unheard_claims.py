"""Webhooks: how often whoever claimed a message was not heard of again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """A column with a constant default: no row is written."""
    op.add_column(
        "webhook_messages",
        sa.Column(
            "unheard",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="claims on end of which nobody noted how they ended",
        ),
    )


def downgrade() -> None:
    """As it was."""
    op.drop_column("webhook_messages", "unheard")
