"""What every family of tables shares: the metadata with its naming rules, and the columns of a creation time."""

from sqlalchemy import Column, DateTime, MetaData, func

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Moment = DateTime(timezone=True)


def created_at() -> Column[object]:
    """A creation time that the database fills in."""
    return Column("created_at", Moment, nullable=False, server_default=func.now())


def updated_at() -> Column[object]:
    """A time of last change; the writer sets it."""
    return Column("updated_at", Moment, nullable=False, server_default=func.now())
