"""What operators order breakers to do, and the signs of life of workers and schedulers."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Two small tables; nothing else is touched."""
    op.create_table(
        "breaker_orders",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, comment="auto, open or closed"),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("ordered_by", sa.Text, nullable=False),
        sa.Column("ordered_at", _MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("provider", name="pk_breaker_orders"),
    )
    op.create_table(
        "role_beats",
        sa.Column("name", sa.Text, nullable=False, comment="role, host and process"),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("facts", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_role_beats"),
    )


def downgrade() -> None:
    """As it was."""
    op.drop_table("role_beats")
    op.drop_table("breaker_orders")
