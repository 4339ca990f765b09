"""The first peer: FastAPI, SQLAlchemy, Celery, RabbitMQ. `python -m ops.bench.peers.sqlalchemy_celery api|worker`.

Written as the manuals of FastAPI and Celery show it, clients at module level included; decision 0022 says which
settings were tried. A task may run twice (`acks_late`), so it looks at its row before it delivers.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from celery import Celery, group
from fastapi import Depends, FastAPI
from sqlalchemy import DateTime, Text, create_engine, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from ops.bench.peers.programs import become, setting, uvicorn
from ops.bench.peers.wires import ThreadSink
from ops.bench.peers.wishes import AMQP_URL, DATABASE_URL, Wish, Wishes

_ITSELF = "ops.bench.peers.sqlalchemy_celery"

tasks = Celery("peer", broker=AMQP_URL)
tasks.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # with task_reject_on_worker_lost: else a killed worker takes its tasks with it
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=int(
        setting("PREFETCH", "64")
    ),  # "many short-running tasks": 64 or 128, docs.celeryq.dev, Optimizing
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
engine = create_engine(DATABASE_URL.replace("postgresql://", "postgresql+psycopg://") or "sqlite://", pool_size=20)
open_session = sessionmaker(engine, expire_on_commit=False)
sink = ThreadSink()
api = FastAPI()


class Base(DeclarativeBase):
    """The tables."""


class Notification(Base):
    """One row for each; the table is made by the benchmark (`wishes.CREATE`)."""

    __tablename__ = "notifications"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    user_id: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(Text)
    priority: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def _session() -> Iterator[Session]:
    with open_session() as session:
        yield session


@api.post("/notifications", status_code=202)
def send(wish: Wish, session: Annotated[Session, Depends(_session)]) -> dict[str, str]:
    """Keep one, and a task for it."""
    identifier = str(uuid4())
    session.add(Notification(**wish.row(identifier)))
    session.commit()
    deliver.delay(identifier)
    return {"id": identifier, "status": "queued"}


@api.post("/notifications/bulk", status_code=202)
def send_many(wishes: Wishes, session: Annotated[Session, Depends(_session)]) -> dict[str, list[str]]:
    """Keep all in one INSERT, and a group of tasks."""
    rows = [wish.row(str(uuid4())) for wish in wishes.notifications]
    session.execute(insert(Notification), rows)
    session.commit()
    ids = [row["id"] for row in rows]
    group(deliver.s(identifier) for identifier in ids).apply_async()
    return {"ids": ids}


@tasks.task(max_retries=5, autoretry_for=(OSError,), retry_backoff=True)
def deliver(identifier: str) -> None:
    """Hand one to the sink, and note it."""
    with open_session() as session:
        row = session.get(Notification, identifier)
        if row is None or row.status == "sent":
            return
        sink.deliver(identifier, json.dumps(row.payload))
        row.status, row.attempts = "sent", row.attempts + 1
        row.sent_at = row.updated_at = datetime.now(UTC)
        session.commit()


def main() -> None:
    """Become the API, or Celery's worker."""
    if sys.argv[1] == "api":
        become(*uvicorn(f"{_ITSELF}:api"))
    pool = ("--pool", setting("POOL", "threads"), "--concurrency", setting("WORKERS", "16"))
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "warning")
    become("celery", "-A", f"{_ITSELF}:tasks", "worker", *pool, *quiet)


if __name__ == "__main__":
    main()
