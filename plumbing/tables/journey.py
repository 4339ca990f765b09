"""The journey of a notification: what was asked, its deliveries, their events, and the to-do list between them.

Only `tracking` writes here. Figures behind the shape: no index names `status`, a lease or `updated_at`, in key
or predicate, because that ends heap-only updates (HOT share 0.92 -> 0.00); `data` and `decisions` are bytea,
validated JSON that PostgreSQL need not look into (COPY of a row 15.5 -> 5.6 us); foreign keys to partitions made
COPY nine times dearer.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

from plumbing.tables.base import METADATA, Moment

notifications = Table(
    "notifications",
    METADATA,
    Column("id", Uuid, primary_key=True, comment="UUIDv7 whose low 16 bits are 0"),
    Column("tenant_id", Uuid, nullable=False),
    Column("user_id", Uuid, comment="NULL: an address without a user"),
    Column("campaign_id", Uuid),
    Column("mode", SmallInteger, nullable=False),
    Column("template", Text, comment="NULL: the words came with the request"),
    Column("template_version", BigInteger, nullable=False, comment="0 without a template"),
    Column("locale", Text),
    Column("category", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="JSON: template data, or content"),
    Column("decisions", LargeBinary, nullable=False, comment="JSON: the gates' verdicts and the plan"),
    Column("collapse_id", Text),
    Column("dedupe_key", Text),
    Column("duplicate_of", Uuid),
    Column("reference", Text, comment="the client's own id, echoed"),
    Column("send_at", Moment),
    Column("expires_at", Moment, nullable=False),
    Column("cancelled_at", Moment),
    Column("created_at", Moment, nullable=False),
    Index("ix_notifications_tenant_id_id", "tenant_id", "id"),
    Index("ix_notifications_user_id_id", "user_id", "id", postgresql_where=text("user_id IS NOT NULL")),
    Index("ix_notifications_campaign_id_id", "campaign_id", "id", postgresql_where=text("campaign_id IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("id", Uuid, primary_key=True, comment="the notification's id + ordinal"),
    Column("tenant_id", Uuid, nullable=False),
    Column("user_id", Uuid),
    Column("address_id", Uuid, comment="a contact, or for push a device; NULL: none was found"),
    Column("envelope_id", Uuid, comment="the outbox row that watches over it"),
    Column("recipient_version", BigInteger, nullable=False, comment="of the user, else of the contact, as judged"),
    Column("recheck_at", Moment, comment="from then on the judgement is stale: quiet hours begin"),
    Column("channel", SmallInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("mode", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("problem", SmallInteger, comment="the status again, when somebody should see it; else NULL"),
    Column("reason", SmallInteger),
    Column("attempt", SmallInteger, nullable=False, server_default=text("0")),
    Column("crashes", SmallInteger, nullable=False, server_default=text("0"), comment="attempts that ended unknown"),
    Column("lease_token", Uuid),
    Column("lease_until", Moment),
    Column("next_attempt_at", Moment, comment="resting and deferred: not before"),
    Column("expires_at", Moment, nullable=False),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index(
        "ix_deliveries_tenant_id_problem_id",
        "tenant_id",
        "problem",
        "id",
        postgresql_where=text("problem IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (id)",
)

events = Table(
    "events",
    METADATA,
    Column("delivery_id", Uuid, nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("detail", LargeBinary, comment="JSON: outcome, reason, the provider's answer, duration"),
    Index("ix_events_delivery_id", "delivery_id"),
    postgresql_partition_by="RANGE (delivery_id)",
)

outbox = Table(
    "outbox",
    METADATA,
    Column("id", Uuid, primary_key=True, comment="the envelope's id"),
    Column("tenant_id", Uuid, nullable=False),
    Column("channel", SmallInteger, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("delivery_ids", ARRAY(Uuid), nullable=False),
    Column("available_at", Moment, nullable=False, comment="publish not before"),
    Column("published_at", Moment, comment="NULL: to be published"),
    Column("watch_at", Moment, comment="look again if nothing was heard"),
    Column("held_by", Uuid, comment="the hold under which it is set aside, until its release or the first expiry"),
    Index("ix_outbox_due", "channel", "priority", "available_at", postgresql_where=text("published_at IS NULL")),
    Index("ix_outbox_watch", "watch_at", postgresql_where=text("published_at IS NOT NULL")),
    Index("ix_outbox_held", "held_by", "priority", postgresql_where=text("held_by IS NOT NULL")),
)

idempotency = Table(
    "idempotency",
    METADATA,
    Column("key", Uuid, primary_key=True, comment="BLAKE2b-128 of tenant and key"),
    Column("fingerprint", Uuid, nullable=False, comment="BLAKE2b-128 of method, path and canonical body"),
    Column("notification_id", Uuid, comment="the answer is rebuilt from it"),
    Column("answer", LargeBinary, comment="JSON, where there is no one notification to rebuild it from"),
    Column("expires_at", Moment, nullable=False),
    Index("ix_idempotency_expires_at", "expires_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
)

dedupe = Table(
    "dedupe",
    METADATA,
    Column("key", Uuid, primary_key=True, comment="BLAKE2b-128 of tenant, mode, recipient, category and key"),
    Column("notification_id", Uuid, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("ix_dedupe_expires_at", "expires_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
)
