"""Who sends: tenants, their keys, their categories and stored templates."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from plumbing.tables.base import METADATA, Moment, created_at, updated_at

tenants = Table(
    "tenants",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    created_at(),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("mode", SmallInteger, nullable=False, comment="1 live, 2 test, 3 team"),
    Column("prefix", Text, nullable=False, comment="the first characters, to recognise it by"),
    Column("secret_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole key"),
    Column("scopes", ARRAY(Text), nullable=False),
    created_at(),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

categories = Table(
    "categories",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="transactional, promotional or critical"),
    Column("default_allow", Boolean, nullable=False, comment="what holds for those who never chose"),
    Column("required", Boolean, nullable=False, comment="no preference silences it"),
    Column("channels", ARRAY(Text), nullable=False, comment="in this order when the sender names none"),
    Column("dedupe_window_s", Integer, nullable=False),
    Column("expires_in_s", Integer, nullable=False),
    Column("ambiguous", Text, nullable=False, comment="retry or hold"),
    updated_at(),
    PrimaryKeyConstraint("tenant_id", "name"),
)

templates = Table(
    "templates",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("content", JSONB, nullable=False, comment="per channel and locale"),
    Column("schema", JSONB, comment="JSON Schema of the data"),
    created_at(),
    Column("published_at", Moment),
    PrimaryKeyConstraint("tenant_id", "name", "version"),
)
