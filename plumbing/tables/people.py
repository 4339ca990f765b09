"""Who receives: users and their addresses, what they allow, whom nobody may write to any more, and who was erased."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
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

users = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("external_id", Text, nullable=False, comment="the tenant's own id of this person"),
    Column("name", Text),
    Column("locale", Text),
    Column("timezone", Text, comment="IANA name"),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column(
        "version",
        BigInteger,
        nullable=False,
        server_default=text("1"),
        comment="grows with each write to the user, its contacts, preferences or suppressions",
    ),
    created_at(),
    updated_at(),
    UniqueConstraint("tenant_id", "external_id"),
)

contacts = Table(
    "contacts",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), comment="NULL: an address without a user"),
    Column("channel", SmallInteger, nullable=False),
    Column("address", Text, nullable=False, comment="canonical: e-mail with an ASCII domain, or E.164"),
    Column("address_key", Uuid, nullable=False, comment="128-bit keyed hash of tenant, channel and address"),
    Column(
        "version",
        BigInteger,
        nullable=False,
        server_default=text("1"),
        comment="grows with each write to the address or its suppressions",
    ),
    created_at(),
    updated_at(),
    Index("uq_contacts_user_channel", "user_id", "channel", unique=True, postgresql_where=text("user_id IS NOT NULL")),
    Index("uq_contacts_address", "address_key", unique=True, postgresql_where=text("user_id IS NULL")),
    Index("ix_contacts_address_key", "address_key"),
)

preferences = Table(
    "preferences",
    METADATA,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("document", JSONB, nullable=False, comment="as the API shows it"),
    Column("version", BigInteger, nullable=False, comment="the user's version at the write"),
    updated_at(),
)

preference_history = Table(
    "preference_history",
    METADATA,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("actor", Text, nullable=False, comment="key prefix, 'recipient' or 'system'"),
    Column("source", Text, nullable=False, comment="api, one_click, page, import"),
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("user_id", "version"),
)

suppressions = Table(
    "suppressions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("channel", SmallInteger, nullable=False),
    Column("address_key", Uuid, nullable=False, comment="survives the erasure of the address itself"),
    Column("category", Text, nullable=False, server_default=text("''"), comment="'' for all categories"),
    Column("reason", Text, nullable=False, comment="bounce, complaint, stop, manual or unsubscribe"),
    Column("source", Text, nullable=False),
    created_at(),
    Column("expires_at", Moment),
    UniqueConstraint("address_key", "category"),
    Index("ix_suppressions_tenant_id_id", "tenant_id", "id"),
)

erasures = Table(
    "erasures",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, nullable=False, unique=True, comment="an id that nobody bears any more"),
    Column("subject_key", Uuid, nullable=False, comment="128-bit keyed hash of tenant and the tenant's own id"),
    Column("actor", Text, nullable=False, comment="prefix of the key that asked for it"),
    Column("asked_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False, comment="go on, or look again, from then on"),
    Column("looks", SmallInteger, nullable=False, server_default=text("0"), comment="walks over the past that ended"),
    Column("cursor", Uuid, comment="the last notification of this walk"),
    Column("emptied_at", Moment, comment="the first walk ended: the past holds nothing of the person"),
    Column("closed_at", Moment, comment="the last walk ended: nothing was added since by what was under way"),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'"), comment="rows that were emptied, by table"),
    Index("ix_erasures_due", "due_at", postgresql_where=text("closed_at IS NULL")),
    Index("ix_erasures_tenant_id_id", "tenant_id", "id"),
)
