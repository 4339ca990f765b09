"""The outbox by lane: what is due in one lane is found without walking past a million that wait in another."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_WAITING = sa.text("published_at IS NULL")


def upgrade() -> None:
    """The lane comes first."""
    op.drop_index("ix_outbox_due", "outbox")
    op.create_index("ix_outbox_due", "outbox", ["channel", "priority", "available_at"], postgresql_where=_WAITING)


def downgrade() -> None:
    """As it was."""
    op.drop_index("ix_outbox_due", "outbox")
    op.create_index("ix_outbox_due", "outbox", ["priority", "available_at"], postgresql_where=_WAITING)
