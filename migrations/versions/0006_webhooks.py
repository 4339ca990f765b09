"""Status webhooks: endpoints, what is to be told to each, and every attempt to tell it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the three tables."""
    _webhooks()
    _messages()
    _attempts()


def downgrade() -> None:
    """Take them away, with everything in them."""
    for table in ("webhook_attempts", "webhook_messages", "webhooks"):
        op.drop_table(table)


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "statuses", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="of deliveries: which ones are told"
        ),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret_sealed", sa.LargeBinary(), comment="signs as well until old_secret_until"),
        sa.Column("old_secret_until", _MOMENT),
        sa.Column("failing_since", _MOMENT, comment="nothing but failure since then"),
        sa.Column("disabled_at", _MOMENT),
        sa.Column("disabled_reason", sa.Text(), comment="gone, failing or by_hand"),
        sa.Column("deleted_at", _MOMENT, comment="nobody sees it; removed when its messages are"),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_webhooks_tenant_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_tenant_id_id", "webhooks", ["tenant_id", "id"])


def _messages() -> None:
    table = "webhook_messages"
    op.create_table(
        table,
        sa.Column(
            "id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False, comment="the webhook-id"
        ),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), comment="NULL: a test"),
        sa.Column("status", sa.SmallInteger(), comment="that the delivery reached; NULL: a test"),
        sa.Column("reason", sa.SmallInteger()),
        sa.Column("delivery_attempt", sa.SmallInteger()),
        sa.Column("at", _MOMENT, server_default=sa.text("now()"), nullable=False, comment="when it reached it"),
        sa.Column("outcome", sa.SmallInteger(), comment="1 delivered, 2 failed; NULL: pending"),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, server_default=sa.text("now()"), comment="NULL: nothing more is tried"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_messages"),
    )
    columns = ["webhook_id", "delivery_id", "status", "delivery_attempt"]
    op.create_index("uq_webhook_messages_status", table, columns, unique=True)
    is_due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index("ix_webhook_messages_due", table, ["webhook_id", "next_attempt_at"], postgresql_where=is_due)
    op.create_index("ix_webhook_messages_webhook_id_at", table, ["webhook_id", "at"])


def _attempts() -> None:
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.Uuid(), nullable=False, comment="its time is when it began"),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("status_code", sa.SmallInteger(), comment="NULL: there was no answer"),
        sa.Column("answer", sa.Text(), comment="its first characters"),
        sa.Column("error", sa.Text()),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_attempts"),
    )
    op.create_index("ix_webhook_attempts_webhook_id_id", "webhook_attempts", ["webhook_id", "id"])
