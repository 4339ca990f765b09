"""Dead letters and what operators do with them: edits beside the original, replays, and a trail that is only added to.

Lists go by `created_at`, which is new again when a delivery dies again; replays go by `id`, which stays.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from plumbing.tables.base import METADATA, Moment, created_at, updated_at

_OPEN = text("settled_at IS NULL")

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
    Column("recipient_id", Uuid, comment="the user, else the contact or device"),
    Column(
        "cluster",
        Text,
        Computed("left(md5(fingerprint), 12)", persisted=True),
        nullable=False,
        comment="a short name of the fingerprint",
    ),
    Index("ix_dead_letters_tenant_id_id", "tenant_id", "id"),
    Index("ix_dead_letters_tenant_id_created_at_id", "tenant_id", "created_at", "id"),
    Index("ix_dead_letters_open", "tenant_id", "created_at", "id", postgresql_where=_OPEN),
    Index("ix_dead_letters_open_channel", "tenant_id", "channel", "created_at", "id", postgresql_where=_OPEN),
    Index("ix_dead_letters_open_reason", "tenant_id", "reason", "created_at", "id", postgresql_where=_OPEN),
    Index("ix_dead_letters_open_cluster", "tenant_id", "cluster", "created_at", "id", postgresql_where=_OPEN),
)

dead_letter_edits = Table(
    "dead_letter_edits",
    METADATA,
    Column("letter_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False, comment="0: as it was accepted"),
    Column("tenant_id", Uuid, nullable=False),
    Column("data", LargeBinary, nullable=False, comment="JSON: template data, or content"),
    Column("expires_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    created_at(),
    PrimaryKeyConstraint("letter_id", "version"),
)

dead_letter_audit = Table(
    "dead_letter_audit",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    Column("who", Text, nullable=False, comment="key prefix"),
    Column("what", Text, nullable=False, comment="revealed, edited, replayed, refused or discarded"),
    Column("why", Text),
    Column("diff", JSONB, comment="as RFC 6902, with `was`"),
    Column("run_id", Uuid),
    created_at(),
    Index("ix_dead_letter_audit_letter_id_id", "letter_id", "id"),
)
"""A trigger refuses every change but one: erasing a person sets `diff` to NULL."""

dead_letter_runs = Table(
    "dead_letter_runs",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("status", Text, nullable=False, comment="canary, ten, rest, stopped, finished or cancelled"),
    Column("chosen", JSONB, nullable=False, comment="ids, or a filter"),
    Column("canary", Integer, nullable=False),
    Column("rate_per_s", Integer, nullable=False),
    Column("matched", BigInteger, nullable=False, comment="letters, when it was asked for"),
    Column("looked_at", BigInteger, nullable=False, server_default=text("0")),
    Column("replayed", BigInteger, nullable=False, server_default=text("0")),
    Column("refused", JSONB, nullable=False, server_default=text("'{}'"), comment="letters by why not"),
    Column("cursor", Uuid, comment="the last letter that was looked at"),
    Column("watched", ARRAY(Uuid), nullable=False, comment="deliveries that decide how it goes on"),
    Column("why", Text, comment="of a stop"),
    Column("created_by", Text, nullable=False),
    Column("request_key", Uuid, unique=True, comment="Idempotency-Key, hashed with its tenant"),
    Column("request_fingerprint", Uuid, nullable=False),
    created_at(),
    updated_at(),
    Column("finished_at", Moment),
    Index("ix_dead_letter_runs_tenant_id_id", "tenant_id", "id"),
    Index("uq_dead_letter_runs_under_way", "tenant_id", unique=True, postgresql_where=text("finished_at IS NULL")),
)
