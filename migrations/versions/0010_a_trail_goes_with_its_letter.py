"""The trail of a dead letter goes when the letter has gone, and never before."""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ONLY_ADDED = """
CREATE OR REPLACE FUNCTION dead_letter_audit_is_only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.diff IS NULL THEN  -- whoever erases a person takes the words out, and nothing else
    OLD.diff := NULL;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
{past_retention}  RAISE EXCEPTION 'dead_letter_audit is only added to';
END $$
"""
_PAST_RETENTION = """  IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.id = OLD.letter_id) THEN
    RETURN OLD;
  END IF;
"""


def upgrade() -> None:
    """Another body of the same function."""
    op.execute(_ONLY_ADDED.format(past_retention=_PAST_RETENTION))


def downgrade() -> None:
    """As it was."""
    op.execute(_ONLY_ADDED.format(past_retention=""))
