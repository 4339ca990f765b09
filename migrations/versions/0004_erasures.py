"""Who was erased, by whom and when: the proof, and how far it has come."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """A new table; nothing else is touched."""
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False, comment="an id that nobody bears any more"),
        sa.Column(
            "subject_key", sa.Uuid, nullable=False, comment="128-bit keyed hash of tenant and the tenant's own id"
        ),
        sa.Column("actor", sa.Text, nullable=False, comment="prefix of the key that asked for it"),
        sa.Column("asked_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False, comment="go on, or look again, from then on"),
        sa.Column(
            "looks",
            sa.SmallInteger,
            nullable=False,
            server_default=sa.text("0"),
            comment="walks over the past that ended",
        ),
        sa.Column("cursor", sa.Uuid, comment="the last notification of this walk"),
        sa.Column("emptied_at", _MOMENT, comment="the first walk ended: the past holds nothing of the person"),
        sa.Column("closed_at", _MOMENT, comment="the last walk ended: nothing was added since by what was under way"),
        sa.Column(
            "counts",
            JSONB,
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="rows that were emptied, by table",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_erasures_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sa.UniqueConstraint("user_id", name="uq_erasures_user_id"),
    )
    op.create_index("ix_erasures_due", "erasures", ["due_at"], postgresql_where=sa.text("closed_at IS NULL"))
    op.create_index("ix_erasures_tenant_id_id", "erasures", ["tenant_id", "id"])


def downgrade() -> None:
    """As it was."""
    op.drop_table("erasures")
