"""The dead-letter bench: letters are found by what they have in common, edits, replays and an audit trail are kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OPEN = sa.text("settled_at IS NULL")
_WAYS = {
    "ix_dead_letters_open": ["tenant_id", "created_at", "id"],
    "ix_dead_letters_open_channel": ["tenant_id", "channel", "created_at", "id"],
    "ix_dead_letters_open_reason": ["tenant_id", "reason", "created_at", "id"],
    "ix_dead_letters_open_cluster": ["tenant_id", "cluster", "created_at", "id"],
}
_ONLY_ADDED = """
CREATE FUNCTION dead_letter_audit_is_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.diff IS NULL THEN  -- whoever erases a person takes the words out, and nothing else
    OLD.diff := NULL;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'dead_letter_audit is only added to';
END $$
"""


def upgrade() -> None:
    """New columns, tables and indexes beside what is there."""
    op.add_column(
        "dead_letters",
        sa.Column("recipient_id", sa.Uuid(), nullable=True, comment="the user, else the contact or device"),
    )
    op.add_column(
        "dead_letters",
        sa.Column(
            "cluster",
            sa.Text(),
            sa.Computed("left(md5(fingerprint), 12)", persisted=True),
            nullable=False,
            comment="a short name of the fingerprint",
        ),
    )
    op.execute(
        "UPDATE dead_letters l SET recipient_id = coalesce(d.user_id, d.address_id)"
        " FROM deliveries d WHERE d.id = l.delivery_id"
    )
    for name, columns in _WAYS.items():
        op.create_index(name, "dead_letters", columns, postgresql_where=_OPEN)
    op.create_index("ix_dead_letters_tenant_id_created_at_id", "dead_letters", ["tenant_id", "created_at", "id"])
    _edits()
    _audit()
    _runs()


def _edits() -> None:
    op.create_table(
        "dead_letter_edits",
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="0: as it was accepted"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="JSON: template data, or content"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", "version", name=op.f("pk_dead_letter_edits")),
    )


def _audit() -> None:
    op.create_table(
        "dead_letter_audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False, comment="key prefix"),
        sa.Column("what", sa.Text(), nullable=False, comment="revealed, edited, replayed, refused or discarded"),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("diff", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="as RFC 6902, with `was`"),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_audit")),
    )
    op.create_index("ix_dead_letter_audit_letter_id_id", "dead_letter_audit", ["letter_id", "id"])
    op.execute(_ONLY_ADDED)
    op.execute(
        "CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON dead_letter_audit"
        " FOR EACH ROW EXECUTE FUNCTION dead_letter_audit_is_only_added()"
    )


def _runs() -> None:
    op.create_table(
        "dead_letter_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="canary, ten, rest, stopped, finished or cancelled"),
        sa.Column("chosen", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="ids, or a filter"),
        sa.Column("canary", sa.Integer(), nullable=False),
        sa.Column("rate_per_s", sa.Integer(), nullable=False),
        sa.Column("matched", sa.BigInteger(), nullable=False, comment="letters, when it was asked for"),
        sa.Column("looked_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("replayed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "refused",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="letters by why not",
        ),
        sa.Column("cursor", sa.Uuid(), nullable=True, comment="the last letter that was looked at"),
        sa.Column("watched", sa.ARRAY(sa.Uuid()), nullable=False, comment="deliveries that decide how it goes on"),
        sa.Column("why", sa.Text(), nullable=True, comment="of a stop"),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Uuid(), nullable=True, comment="Idempotency-Key, hashed with its tenant"),
        sa.Column("request_fingerprint", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_runs")),
        sa.UniqueConstraint("request_key", name=op.f("uq_dead_letter_runs_request_key")),
    )
    op.create_index("ix_dead_letter_runs_tenant_id_id", "dead_letter_runs", ["tenant_id", "id"])
    op.create_index(
        "uq_dead_letter_runs_under_way",
        "dead_letter_runs",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def downgrade() -> None:
    """Forget edits, runs and the trail."""
    op.drop_table("dead_letter_runs")
    op.drop_table("dead_letter_audit")
    op.execute("DROP FUNCTION dead_letter_audit_is_only_added()")
    op.drop_table("dead_letter_edits")
    op.drop_index("ix_dead_letters_tenant_id_created_at_id", "dead_letters")
    for name in _WAYS:
        op.drop_index(name, "dead_letters")
    op.drop_column("dead_letters", "cluster")
    op.drop_column("dead_letters", "recipient_id")
