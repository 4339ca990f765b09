"""Status webhooks: the endpoints that tenants named, what is to be told to each, and every attempt to tell it.

Messages point to a delivery and say which status it reached; their words are put together when they are told, so no
data of people lies here. Only `tracking` writes them.
"""

from sqlalchemy import (
    ARRAY,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from plumbing.tables.base import METADATA, Moment, created_at

webhooks = Table(
    "webhooks",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("statuses", ARRAY(SmallInteger), nullable=False, comment="of deliveries: which ones are told"),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("old_secret_sealed", LargeBinary, comment="signs as well until old_secret_until"),
    Column("old_secret_until", Moment),
    Column("failing_since", Moment, comment="nothing but failure since then"),
    Column("disabled_at", Moment),
    Column("disabled_reason", Text, comment="gone, failing or by_hand"),
    Column("deleted_at", Moment, comment="nobody sees it; removed when its messages are"),
    created_at(),
    Index("ix_webhooks_tenant_id_id", "tenant_id", "id"),
)

webhook_messages = Table(
    "webhook_messages",
    METADATA,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()"), comment="the webhook-id"),
    Column("webhook_id", Uuid, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("delivery_id", Uuid, comment="NULL: a test"),
    Column("status", SmallInteger, comment="that the delivery reached; NULL: a test"),
    Column("reason", SmallInteger),
    Column("delivery_attempt", SmallInteger),
    Column("at", Moment, nullable=False, server_default=text("now()"), comment="when it reached it"),
    Column("outcome", SmallInteger, comment="1 delivered, 2 failed; NULL: pending"),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Moment, server_default=text("now()"), comment="NULL: nothing more is tried"),
    Column(
        "unheard",
        SmallInteger,
        nullable=False,
        server_default=text("0"),
        comment="claims on end of which nobody noted how they ended",
    ),
    Index("uq_webhook_messages_status", "webhook_id", "delivery_id", "status", "delivery_attempt", unique=True),
    Index(
        "ix_webhook_messages_due",
        "webhook_id",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index("ix_webhook_messages_webhook_id_at", "webhook_id", "at"),
)

webhook_attempts = Table(
    "webhook_attempts",
    METADATA,
    Column("id", Uuid, primary_key=True, comment="its time is when it began"),
    Column("webhook_id", Uuid, nullable=False),
    Column("message_id", Uuid, nullable=False),
    Column("number", SmallInteger, nullable=False),
    Column("status_code", SmallInteger, comment="NULL: there was no answer"),
    Column("answer", Text, comment="its first characters"),
    Column("error", Text),
    Column("duration_ms", Integer, nullable=False),
    Index("ix_webhook_attempts_webhook_id_id", "webhook_id", "id"),
)
