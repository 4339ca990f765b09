"""Push: apps, devices, topics, the mailbox, feedback and provider keys.

Until here nothing wrote `apps` and `devices`; they are made anew. Longer than other files, because a migration is a
frozen copy: it must not change when `plumbing.tables` does.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = (
    "apns_keys",
    "token_audit",
    "feedback",
    "mailbox",
    "broadcasts",
    "topic_subscriptions",
    "topics",
    "devices",
    "apps",
)
"""In the order in which they can be dropped."""


def upgrade() -> None:
    """Make room for push."""
    op.drop_table("devices")
    op.drop_table("apps")
    _apps()
    _topics()
    _waiting()
    _records()
    op.execute("ALTER TABLE mailbox SET (autovacuum_vacuum_scale_factor = 0.02)")  # rows come and go with devices


def downgrade() -> None:
    """Take it away, with everything in it, and leave the two empty tables as they were."""
    for table in _TABLES:
        op.drop_table(table)
    _the_old_two()


def _apps() -> None:
    """Apps and their devices."""
    op.create_table(
        "apps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Text(), nullable=False),
        sa.Column("app_key", sa.Text(), nullable=False, comment="publishable: it stands in every copy of the app"),
        sa.Column("web_origins", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "expires_in_s",
            sa.Integer(),
            server_default=sa.text("2592000"),
            nullable=False,
            comment="of a push without its own",
        ),
        sa.Column(
            "overflow",
            sa.Text(),
            server_default=sa.text("'drop_oldest_lowest_priority'"),
            nullable=False,
            comment="of a full mailbox; or reject",
        ),
        sa.Column(
            "silent_per_hour",
            sa.Integer(),
            server_default=sa.text("10"),
            nullable=False,
            comment="silent pushes per device",
        ),
        sa.Column(
            "braked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="too many tokens died at once: none is invalidated until it is released",
        ),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True, comment="the brake counts from then on"),
        sa.Column(
            "names_users",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether its publishable key may say whose a device is",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_apps_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
        sa.UniqueConstraint("app_key", name=op.f("uq_apps_app_key")),
        sa.UniqueConstraint("tenant_id", "bundle_id", name=op.f("uq_apps_tenant_id_bundle_id")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column(
            "bundle_id", sa.Text(), nullable=False, comment="the app's, for the rule that an app's token is unique"
        ),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="keyed hash of the token, 32 bytes"),
        sa.Column("token_sealed", sa.LargeBinary(), nullable=True, comment="encrypted, for foreign providers only"),
        sa.Column(
            "provider",
            sa.Text(),
            server_default=sa.text("'carillon'"),
            nullable=False,
            comment="whose push service it is",
        ),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True, comment="its home region"),
        sa.Column(
            "device_info", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="grows when its user or its validity changes",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "invalidated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="suspended; deleted when nobody restores it",
        ),
        sa.Column("invalidation_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_devices_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_devices_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_devices_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("token_hash", "bundle_id", name=op.f("uq_devices_token_hash_bundle_id")),
    )
    op.create_index(
        "ix_devices_app_id_valid",
        "devices",
        ["app_id", "id"],
        unique=False,
        postgresql_where=sa.text("invalidated_at IS NULL"),
    )
    op.create_index(
        "ix_devices_invalidated_at",
        "devices",
        ["invalidated_at"],
        unique=False,
        postgresql_where=sa.text("invalidated_at IS NOT NULL"),
    )
    op.create_index(
        "ix_devices_user_id", "devices", ["user_id"], unique=False, postgresql_where=sa.text("user_id IS NOT NULL")
    )


def _topics() -> None:
    """Topics, who subscribed, and what was published to them."""
    op.create_table(
        "topics",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "storage",
            sa.Text(),
            server_default=sa.text("'most_recent'"),
            nullable=False,
            comment="for who is away: or none",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_topics_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_topics")),
    )
    op.create_table(
        "topic_subscriptions",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subscribed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_topic_subscriptions_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", "topic", name=op.f("pk_topic_subscriptions")),
    )
    op.create_index(
        "ix_topic_subscriptions_tenant_id_topic_device_id",
        "topic_subscriptions",
        ["tenant_id", "topic", "device_id"],
        unique=False,
    )
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Uuid(), nullable=False, comment="the campaign id of its notifications"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False, comment="the API key it came with"),
        sa.Column(
            "request",
            sa.LargeBinary(),
            nullable=False,
            comment="JSON: the notification as asked for, without recipient",
        ),
        sa.Column(
            "cursor",
            sa.Uuid(),
            nullable=True,
            comment="the last subscriber that was planned; commits with what was planned",
        ),
        sa.Column("planned", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="devices so far"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="nothing is left to plan, or after a cancellation to withdraw",
        ),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "withdrawn_to",
            sa.Uuid(),
            nullable=True,
            comment="the last notification that a cancellation has looked at",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_broadcasts_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
    )
    op.create_index(
        "ix_broadcasts_open",
        "broadcasts",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index("ix_broadcasts_tenant_id_topic_id", "broadcasts", ["tenant_id", "topic", "id"], unique=False)


def _waiting() -> None:
    """What waits for devices that are away."""
    op.create_table(
        "mailbox",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("wake", sa.SmallInteger(), nullable=False, comment="10, 5 or 1"),
        sa.Column(
            "fold",
            sa.Text(),
            nullable=True,
            comment="of one device and fold only the newest is kept: 'c:' + collapse id, or 's:' silent",
        ),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False, comment="JSON for the device, at most 4096 bytes"),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False, comment="handed over from then on"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_mailbox")),
    )
    op.create_index(
        "ix_mailbox_device_id_wake_delivery_id",
        "mailbox",
        ["device_id", sa.literal_column("wake DESC"), "delivery_id"],
        unique=False,
    )
    op.create_index("ix_mailbox_expires_at", "mailbox", ["expires_at"], unique=False)
    op.create_index(
        "uq_mailbox_device_id_fold",
        "mailbox",
        ["device_id", "fold"],
        unique=True,
        postgresql_where=sa.text("fold IS NOT NULL"),
    )


def _records() -> None:
    """What became of tokens, and the keys of providers."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column(
            "written_by",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
            comment="the transaction: readers stop before the oldest that still runs, so nothing is skipped",
        ),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_feedback_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_feedback_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index("ix_feedback_tenant_id_written_by_id", "feedback", ["tenant_id", "written_by", "id"], unique=False)
    op.create_table(
        "token_audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True, comment="NULL: of the whole app"),
        sa.Column("bundle_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False, comment="registered, refreshed, transferred, invalidated, …"),
        sa.Column("token_prefix", sa.Text(), nullable=True, comment="the first 8 hex digits of the token's hash"),
        sa.Column("actor", sa.Text(), nullable=False, comment="key prefix, 'app' or 'system'"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_token_audit_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_audit")),
    )
    op.create_index("ix_token_audit_device_id_id", "token_audit", ["device_id", "id"], unique=False)
    op.create_table(
        "apns_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column(
            "public_key", sa.Text(), nullable=False, comment="PEM, P-256; the private half is the provider's alone"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_apns_keys_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_apns_keys_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apns_keys")),
        sa.UniqueConstraint("team_id", "key_id", "app_id", name=op.f("uq_apns_keys_team_id_key_id_app_id")),
    )
    op.create_index("ix_apns_keys_key_id", "apns_keys", ["key_id"], unique=False)


def _the_old_two() -> None:
    """`apps` and `devices` as the first migration made them."""
    op.create_table(
        "apps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("bundle_id", sa.Text(), nullable=False),
        sa.Column("app_key_hash", sa.LargeBinary(), nullable=True, comment="SHA-256 of the publishable key"),
        sa.Column("web_origins", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_apps_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
        sa.UniqueConstraint("app_key_hash", name=op.f("uq_apps_app_key_hash")),
        sa.UniqueConstraint("tenant_id", "bundle_id", name=op.f("uq_apps_tenant_id_bundle_id")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("token_sealed", sa.LargeBinary(), nullable=True, comment="encrypted, for foreign providers only"),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column(
            "device_info", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("invalidated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("invalidation_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_devices_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_devices_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_devices_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("app_id", "token_hash", name=op.f("uq_devices_app_id_token_hash")),
    )
    op.create_index(
        "ix_devices_user_id", "devices", ["user_id"], unique=False, postgresql_where=sa.text("user_id IS NOT NULL")
    )
