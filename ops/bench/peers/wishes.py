"""What both peers are asked and what they keep: the request's shape, the table, and where their servers are."""

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

DATABASE_URL = os.environ.get("PEER_DATABASE_URL", "")
AMQP_URL = os.environ.get("PEER_AMQP_URL", "")
TENANT = "7d0e6f0c-3a60-4d0e-9b51-0d1d9b3c1b11"
"""Peers serve one tenant and ask for no key: what that costs is a favour to them."""

CREATE = """\
CREATE TABLE IF NOT EXISTS notifications (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id text NOT NULL,
    channel text NOT NULL,
    category text NOT NULL,
    priority text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz,
    sent_at timestamptz
);
CREATE INDEX IF NOT EXISTS notifications_tenant ON notifications (tenant_id, created_at);
CREATE INDEX IF NOT EXISTS notifications_user ON notifications (user_id, created_at);
"""
"""No index names the status, so that updates stay HOT: a favour as well."""


class Words(BaseModel):
    """What it says."""

    title: Annotated[str, Field(max_length=200)]
    body: Annotated[str, Field(max_length=2000)]


class Wish(BaseModel):
    """One notification, as Carillon's door takes it."""

    to: Annotated[str, Field(min_length=1, max_length=200)]
    content: Words
    channels: list[Literal["push"]]
    category: str = "general"
    priority: Literal["critical", "high", "normal", "low"] = "normal"

    def row(self, identifier: str) -> dict[str, Any]:
        """The columns that the request decides."""
        return {
            "id": identifier,
            "tenant_id": TENANT,
            "user_id": self.to,
            "channel": self.channels[0],
            "category": self.category,
            "priority": self.priority,
            "payload": {"aps": {"alert": self.content.model_dump()}},
            "status": "queued",
        }


class Wishes(BaseModel):
    """Many at once."""

    notifications: Annotated[list[Wish], Field(min_length=1, max_length=1000)]
