"""The house: every table of the first release. Months of the partitioned ones are made by `plumbing.partitions`.

Longer than other files, because a migration is a frozen copy: it must not change when `plumbing.tables` does.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = (
    "preferences",
    "preference_history",
    "devices",
    "contacts",
    "users",
    "templates",
    "suppressions",
    "holds",
    "categories",
    "apps",
    "api_keys",
    "tenants",
    "outbox",
    "notifications",
    "leader",
    "idempotency",
    "events",
    "delivery_counts",
    "deliveries",
    "dedupe",
    "dead_letters",
)
"""In the order in which they can be dropped."""


def upgrade() -> None:
    """Build the house."""
    _tenancy()
    _people()
    _journey()
    _operations()
    op.execute("ALTER TABLE outbox SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)")  # rows live seconds


def downgrade() -> None:
    """Take it down, with everything in it."""
    for table in _TABLES:
        op.drop_table(table)


def _tenancy() -> None:
    """Who sends."""
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False, comment="1 live, 2 test, 3 team"),
        sa.Column("prefix", sa.Text(), nullable=False, comment="the first characters, to recognise it by"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole key"),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
    )
    op.create_index(op.f("ix_api_keys_tenant_id"), "api_keys", ["tenant_id"], unique=False)
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
        "categories",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="transactional, promotional or critical"),
        sa.Column("default_allow", sa.Boolean(), nullable=False, comment="what holds for those who never chose"),
        sa.Column("required", sa.Boolean(), nullable=False, comment="no preference silences it"),
        sa.Column("channels", sa.ARRAY(sa.Text()), nullable=False, comment="in this order when the sender names none"),
        sa.Column("dedupe_window_s", sa.Integer(), nullable=False),
        sa.Column("expires_in_s", sa.Integer(), nullable=False),
        sa.Column("ambiguous", sa.Text(), nullable=False, comment="retry or hold"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_categories_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_categories")),
    )
    op.create_table(
        "templates",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="per channel and locale"),
        sa.Column("schema", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="JSON Schema of the data"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_templates_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "name", "version", name=op.f("pk_templates")),
    )


def _people() -> None:
    """Who receives."""
    op.create_table(
        "suppressions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("address_key", sa.Uuid(), nullable=False, comment="survives the erasure of the address itself"),
        sa.Column("category", sa.Text(), server_default=sa.text("''"), nullable=False, comment="'' for all categories"),
        sa.Column("reason", sa.Text(), nullable=False, comment="bounce, complaint, stop, manual or unsubscribe"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_suppressions_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
        sa.UniqueConstraint("address_key", "category", name=op.f("uq_suppressions_address_key_category")),
    )
    op.create_index("ix_suppressions_tenant_id_id", "suppressions", ["tenant_id", "id"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False, comment="the tenant's own id of this person"),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True, comment="IANA name"),
        sa.Column(
            "attributes", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="grows with each write to the user, its contacts, preferences or suppressions",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_users_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("tenant_id", "external_id", name=op.f("uq_users_tenant_id_external_id")),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="NULL: an address without a user"),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="canonical: e-mail with an ASCII domain, or E.164"),
        sa.Column(
            "address_key", sa.Uuid(), nullable=False, comment="128-bit keyed hash of tenant, channel and address"
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="grows with each write to the address or its suppressions",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_contacts_tenant_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_contacts_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
    )
    op.create_index("ix_contacts_address_key", "contacts", ["address_key"], unique=False)
    op.create_index(
        "uq_contacts_address", "contacts", ["address_key"], unique=True, postgresql_where=sa.text("user_id IS NULL")
    )
    op.create_index(
        "uq_contacts_user_channel",
        "contacts",
        ["user_id", "channel"],
        unique=True,
        postgresql_where=sa.text("user_id IS NOT NULL"),
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
    op.create_table(
        "preference_history",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="key prefix, 'recipient' or 'system'"),
        sa.Column("source", sa.Text(), nullable=False, comment="api, one_click, page, import"),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_preference_history_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "version", name=op.f("pk_preference_history")),
    )
    op.create_table(
        "preferences",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="as the API shows it"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="the user's version at the write"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_preferences_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_preferences")),
    )


def _journey() -> None:
    """What was asked, its deliveries and their events, and the to-do list between them."""
    op.create_table(
        "dedupe",
        sa.Column("key", sa.Uuid(), nullable=False, comment="BLAKE2b-128 of tenant, mode, recipient, category and key"),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_dedupe")),
    )
    op.create_index(
        "ix_dedupe_expires_at",
        "dedupe",
        ["expires_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False, comment="the notification's id + ordinal"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "address_id", sa.Uuid(), nullable=True, comment="a contact, or for push a device; NULL: none was found"
        ),
        sa.Column("envelope_id", sa.Uuid(), nullable=True, comment="the outbox row that watches over it"),
        sa.Column(
            "recipient_version", sa.BigInteger(), nullable=False, comment="of the user, else of the contact, as judged"
        ),
        sa.Column(
            "recheck_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="from then on the judgement is stale: quiet hours begin",
        ),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column(
            "problem",
            sa.SmallInteger(),
            nullable=True,
            comment="the status again, when somebody should see it; else NULL",
        ),
        sa.Column("reason", sa.SmallInteger(), nullable=True),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "crashes",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="attempts that ended unknown",
        ),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), nullable=True, comment="resting and deferred: not before"
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_deliveries_tenant_id_problem_id",
        "deliveries",
        ["tenant_id", "problem", "id"],
        unique=False,
        postgresql_where=sa.text("problem IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column(
            "detail", sa.LargeBinary(), nullable=True, comment="JSON: outcome, reason, the provider's answer, duration"
        ),
        postgresql_partition_by="RANGE (delivery_id)",
    )
    op.create_index("ix_events_delivery_id", "events", ["delivery_id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("key", sa.Uuid(), nullable=False, comment="BLAKE2b-128 of tenant and key"),
        sa.Column("fingerprint", sa.Uuid(), nullable=False, comment="BLAKE2b-128 of method, path and canonical body"),
        sa.Column("notification_id", sa.Uuid(), nullable=True, comment="the answer is rebuilt from it"),
        sa.Column(
            "answer",
            sa.LargeBinary(),
            nullable=True,
            comment="JSON, where there is no one notification to rebuild it from",
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_index(
        "ix_idempotency_expires_at",
        "idempotency",
        ["expires_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7 whose low 16 bits are 0"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True, comment="NULL: an address without a user"),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True, comment="NULL: the words came with the request"),
        sa.Column("template_version", sa.BigInteger(), nullable=False, comment="0 without a template"),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="JSON: template data, or content"),
        sa.Column("decisions", sa.LargeBinary(), nullable=False, comment="JSON: the gates' verdicts and the plan"),
        sa.Column("collapse_id", sa.Text(), nullable=True),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True, comment="the client's own id, echoed"),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_notifications_campaign_id_id",
        "notifications",
        ["campaign_id", "id"],
        unique=False,
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    )
    op.create_index("ix_notifications_tenant_id_id", "notifications", ["tenant_id", "id"], unique=False)
    op.create_index(
        "ix_notifications_user_id_id",
        "notifications",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False, comment="the envelope's id"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("delivery_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False, comment="publish not before"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True, comment="NULL: to be published"),
        sa.Column("watch_at", sa.DateTime(timezone=True), nullable=True, comment="look again if nothing was heard"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["priority", "available_at"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_index(
        "ix_outbox_watch", "outbox", ["watch_at"], unique=False, postgresql_where=sa.text("published_at IS NOT NULL")
    )


def _operations() -> None:
    """What operators work with."""
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True, comment="NULL: the message could not be read"),
        sa.Column("delivery_id", sa.Uuid(), nullable=True, comment="NULL: the message could not be read"),
        sa.Column("channel", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="channel, provider, normalised error, template version"
        ),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True, comment="replayed or discarded"),
        sa.Column("settlement", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("delivery_id", name=op.f("uq_dead_letters_delivery_id")),
    )
    op.create_index("ix_dead_letters_tenant_id_id", "dead_letters", ["tenant_id", "id"], unique=False)
    op.create_table(
        "delivery_counts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False, comment="of the delivery's id"),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "hour", "mode", "channel", "category", "status", name=op.f("pk_delivery_counts")
        ),
    )
    op.create_table(
        "leader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leader")),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False, comment="template, category, tenant, provider, campaign or lane"),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_holds_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
