"""What operators work with: dead letters, holds, the leader's lease and the roll-ups behind statistics."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from plumbing.tables.base import METADATA, Moment, created_at

dead_letters = Table(
    "dead_letters",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, comment="NULL: the message could not be read"),
    Column("delivery_id", Uuid, unique=True, comment="NULL: the message could not be read"),
    Column("channel", SmallInteger),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="channel, provider, normalised error, template version"),
    Column("evidence", JSONB, nullable=False),
    created_at(),
    Column("settled_at", Moment, comment="replayed or discarded"),
    Column("settlement", Text),
    Index("ix_dead_letters_tenant_id_id", "tenant_id", "id"),
)

holds = Table(
    "holds",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE")),
    Column("kind", Text, nullable=False, comment="template, category, tenant, provider, campaign or lane"),
    Column("subject", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    created_at(),
    Column("released_at", Moment),
)

leader = Table(
    "leader",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
)

delivery_counts = Table(
    "delivery_counts",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("hour", Moment, nullable=False, comment="of the delivery's id"),
    Column("mode", SmallInteger, nullable=False),
    Column("channel", SmallInteger, nullable=False),
    Column("category", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("as_of", Moment, nullable=False),
    PrimaryKeyConstraint("tenant_id", "hour", "mode", "channel", "category", "status"),
)
