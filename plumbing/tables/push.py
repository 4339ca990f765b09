"""What push stands on: apps, their devices and topics, the mailbox of who is away, feedback, and provider keys."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from plumbing.tables.base import METADATA, Moment, created_at, updated_at

apps = Table(
    "apps",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("bundle_id", Text, nullable=False),
    Column("app_key", Text, nullable=False, unique=True, comment="publishable: it stands in every copy of the app"),
    Column("web_origins", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column(
        "expires_in_s", Integer, nullable=False, server_default=text("2592000"), comment="of a push without its own"
    ),
    Column(
        "overflow",
        Text,
        nullable=False,
        server_default=text("'drop_oldest_lowest_priority'"),
        comment="of a full mailbox; or reject",
    ),
    Column("silent_per_hour", Integer, nullable=False, server_default=text("10"), comment="silent pushes per device"),
    Column("braked_at", Moment, comment="too many tokens died at once: none is invalidated until it is released"),
    Column("released_at", Moment, comment="the brake counts from then on"),
    Column(
        "names_users",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether its publishable key may say whose a device is",
    ),
    created_at(),
    UniqueConstraint("tenant_id", "bundle_id"),
)

devices = Table(
    "devices",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("app_id", Uuid, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("bundle_id", Text, nullable=False, comment="the app's, for the rule that an app's token is unique"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    Column("token_hash", LargeBinary, nullable=False, comment="keyed hash of the token, 32 bytes"),
    Column("token_sealed", LargeBinary, comment="encrypted, for foreign providers only"),
    Column("provider", Text, nullable=False, server_default=text("'carillon'"), comment="whose push service it is"),
    Column("platform", Text, nullable=False),
    Column("region", Text, comment="its home region"),
    Column("device_info", JSONB, nullable=False, server_default=text("'{}'")),
    Column(
        "version",
        BigInteger,
        nullable=False,
        server_default=text("1"),
        comment="grows when its user or its validity changes",
    ),
    created_at(),
    updated_at(),
    Column("last_seen_at", Moment),
    Column("invalidated_at", Moment, comment="suspended; deleted when nobody restores it"),
    Column("invalidation_reason", Text),
    UniqueConstraint("token_hash", "bundle_id"),
    Index("ix_devices_user_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
    Index("ix_devices_app_id_valid", "app_id", "id", postgresql_where=text("invalidated_at IS NULL")),
    Index("ix_devices_invalidated_at", "invalidated_at", postgresql_where=text("invalidated_at IS NOT NULL")),
)

topics = Table(
    "topics",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("storage", Text, nullable=False, server_default=text("'most_recent'"), comment="for who is away: or none"),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "name"),
)

topic_subscriptions = Table(
    "topic_subscriptions",
    METADATA,
    Column("device_id", Uuid, ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("topic", Text, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("subscribed_at", Moment, nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("device_id", "topic"),
    Index("ix_topic_subscriptions_tenant_id_topic_device_id", "tenant_id", "topic", "device_id"),
)

broadcasts = Table(
    "broadcasts",
    METADATA,
    Column("id", Uuid, primary_key=True, comment="the campaign id of its notifications"),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("topic", Text, nullable=False),
    Column("mode", SmallInteger, nullable=False),
    Column("key_id", Uuid, nullable=False, comment="the API key it came with"),
    Column("request", LargeBinary, nullable=False, comment="JSON: the notification as asked for, without recipient"),
    Column("cursor", Uuid, comment="the last subscriber that was planned; commits with what was planned"),
    Column("planned", BigInteger, nullable=False, server_default=text("0"), comment="devices so far"),
    created_at(),
    Column("finished_at", Moment, comment="nothing is left to plan, or after a cancellation to withdraw"),
    Column("cancelled_at", Moment),
    Column("withdrawn_to", Uuid, comment="the last notification that a cancellation has looked at"),
    Index("ix_broadcasts_open", "id", postgresql_where=text("finished_at IS NULL")),
    Index("ix_broadcasts_tenant_id_topic_id", "tenant_id", "topic", "id"),
)

mailbox = Table(
    "mailbox",
    METADATA,
    Column("delivery_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("device_id", Uuid, nullable=False),
    Column("wake", SmallInteger, nullable=False, comment="10, 5 or 1"),
    Column("fold", Text, comment="of one device and fold only the newest is kept: 'c:' + collapse id, or 's:' silent"),
    Column("topic", Text),
    Column("payload", LargeBinary, nullable=False, comment="JSON for the device, at most 4096 bytes"),
    Column("not_before", Moment, nullable=False, comment="handed over from then on"),
    Column("expires_at", Moment, nullable=False),
    Column("stored_at", Moment, nullable=False, server_default=text("now()")),
    Index("uq_mailbox_device_id_fold", "device_id", "fold", unique=True, postgresql_where=text("fold IS NOT NULL")),
    Index("ix_mailbox_device_id_wake_delivery_id", "device_id", text("wake DESC"), "delivery_id"),
    Index("ix_mailbox_expires_at", "expires_at"),
)

feedback = Table(
    "feedback",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("app_id", Uuid, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column(
        "written_by",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text)::bigint"),
        comment="the transaction: readers stop before the oldest that still runs, so nothing is skipped",
    ),
    Column("device_id", Uuid, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_feedback_tenant_id_written_by_id", "tenant_id", "written_by", "id"),
)

token_audit = Table(
    "token_audit",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("device_id", Uuid, comment="NULL: of the whole app"),
    Column("bundle_id", Text, nullable=False),
    Column("operation", Text, nullable=False, comment="registered, refreshed, transferred, invalidated, …"),
    Column("token_prefix", Text, comment="the first 8 hex digits of the token's hash"),
    Column("actor", Text, nullable=False, comment="key prefix, 'app' or 'system'"),
    Column("reason", Text),
    Column("at", Moment, nullable=False, server_default=text("now()")),
    Index("ix_token_audit_device_id_id", "device_id", "id"),
)

apns_keys = Table(
    "apns_keys",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("app_id", Uuid, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("team_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("public_key", Text, nullable=False, comment="PEM, P-256; the private half is the provider's alone"),
    created_at(),
    Column("revoked_at", Moment),
    UniqueConstraint("team_id", "key_id", "app_id"),
    Index("ix_apns_keys_key_id", "key_id"),
)
