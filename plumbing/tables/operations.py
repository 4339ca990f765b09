"""What operators work with: holds, the leader's lease and the roll-ups behind statistics."""

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
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from plumbing.tables.base import METADATA, Moment, created_at

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
    Column("released_by", Text),
    Column("released_why", Text),
    Column("drained_at", Moment, comment="released, and nothing is set aside under it any more"),
    Index("ix_holds_open", "id", postgresql_where=text("released_at IS NULL")),
    Index("ix_holds_leaving", "id", postgresql_where=text("released_at IS NOT NULL AND drained_at IS NULL")),
)

leader = Table(
    "leader",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
)

breaker_orders = Table(
    "breaker_orders",
    METADATA,
    Column("provider", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="auto, open or closed"),
    Column("why", Text, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("ordered_at", Moment, nullable=False, server_default=func.now()),
)

role_beats = Table(
    "role_beats",
    METADATA,
    Column("name", Text, primary_key=True, comment="role, host and process"),
    Column("role", Text, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("at", Moment, nullable=False),
    Column("facts", JSONB, nullable=False),
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
