"""The schema as SQLAlchemy Core tables, one file per family; migrations and every query import them from here.

A table has one writer and many readers: any SQL may join these. `notifications`, `deliveries` and `events` are
partitioned by month of their id and carry no foreign keys (docs/decisions/0004): what those would do is done by name.
"""

from plumbing.tables.base import METADATA
from plumbing.tables.dead_letters import dead_letter_audit, dead_letter_edits, dead_letter_runs, dead_letters
from plumbing.tables.journey import dedupe, deliveries, events, idempotency, notifications, outbox
from plumbing.tables.operations import delivery_counts, holds, leader
from plumbing.tables.people import contacts, erasures, preference_history, preferences, suppressions, users
from plumbing.tables.push import (
    apns_keys,
    apps,
    broadcasts,
    devices,
    feedback,
    mailbox,
    token_audit,
    topic_subscriptions,
    topics,
)
from plumbing.tables.tenancy import api_keys, categories, templates, tenants
from plumbing.tables.webhooks import webhook_attempts, webhook_messages, webhooks

__all__ = [
    "METADATA",
    "api_keys",
    "apns_keys",
    "apps",
    "broadcasts",
    "categories",
    "contacts",
    "dead_letter_audit",
    "dead_letter_edits",
    "dead_letter_runs",
    "dead_letters",
    "dedupe",
    "deliveries",
    "delivery_counts",
    "devices",
    "erasures",
    "events",
    "feedback",
    "holds",
    "idempotency",
    "leader",
    "mailbox",
    "notifications",
    "outbox",
    "preference_history",
    "preferences",
    "suppressions",
    "templates",
    "tenants",
    "token_audit",
    "topic_subscriptions",
    "topics",
    "users",
    "webhook_attempts",
    "webhook_messages",
    "webhooks",
]
