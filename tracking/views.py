"""What the ledger tells of a notification, its deliveries, their attempts and their events: from rows, ready for JSON.

A row becomes what is told in one step, as plain values: a page of fifty is some hundred and fifty rows, and objects in
between cost more than all the rest. The names are those of `api/schemas/notifications.py`; a contract test holds every
kind of row to that schema.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.clock import rfc3339
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Mode, derive_status
from domain.reasons import Reason
from tracking.events import EventKind

Row = Mapping[Any, Any]
View = dict[str, Any]
"""Plain values: texts, numbers, UUIDs, closed words; times are texts already."""

_FIRST_OTHER_KIND = EventKind.NOT_SENT.code
_UNSAID: View = {"channel": None, "reason": None, "until": None, "inputs": {}}

NOTIFICATION_COLUMNS = """n.id, n.mode, n.template, n.template_version, n.locale, n.category, n.priority, n.collapse_id,
  n.dedupe_key, n.duplicate_of, n.send_at, n.expires_at, n.cancelled_at, n.created_at"""
DELIVERY_COLUMNS = """d.id, d.channel, (SELECT v.id FROM devices v WHERE v.id = d.address_id) AS device_id, d.status,
  d.reason, d.attempt, d.provider, d.provider_id, d.next_attempt_at, d.updated_at"""
"""A push's device is told as long as there is one."""
EVENT_COLUMNS = "e.delivery_id, e.at, e.kind, e.attempt, e.detail"


def notification_view(row: Row, deliveries: Sequence[View]) -> View:
    """A notification from its row (with `user`, its user's external id) and its deliveries."""
    return {
        "id": row["id"],
        "status": derive_status([each["status"] for each in deliveries]),
        "mode": Mode.of(row["mode"]),
        "user": row["user"],
        "template": row["template"],
        "template_version": row["template_version"],
        "locale": row["locale"],
        "category": row["category"],
        "priority": Priority.of(row["priority"]),
        "collapse_id": row["collapse_id"],
        "dedupe_key": row["dedupe_key"],
        "duplicate_of": row["duplicate_of"],
        "send_at": _moment(row["send_at"]),
        "expires_at": rfc3339(row["expires_at"]),
        "cancelled_at": _moment(row["cancelled_at"]),
        "created_at": rfc3339(row["created_at"]),
        "deliveries": deliveries,
    }


def state_view(notification: UUID, deliveries: Sequence[tuple[UUID, int]]) -> View:
    """Where a notification stands, from the ids of its deliveries and the codes of their statuses."""
    statuses = [DeliveryStatus.of(code) for _, code in deliveries]
    states = [{"id": each, "status": status} for (each, _), status in zip(deliveries, statuses, strict=True)]
    return {"id": notification, "status": derive_status(statuses), "deliveries": states}


def delivery_view(row: Row) -> View:
    """A delivery from its row."""
    reason = row["reason"]
    return {
        "id": row["id"],
        "channel": Channel.of(row["channel"]),
        "device_id": row["device_id"],
        "status": DeliveryStatus.of(row["status"]),
        "reason": None if reason is None else Reason.of(reason),
        "attempt": row["attempt"],
        "provider": row["provider"],
        "provider_id": row["provider_id"],
        "next_attempt_at": _moment(row["next_attempt_at"]),
        "updated_at": rfc3339(row["updated_at"]),
    }


def delivery_in_full(row: Row, events: Iterable[View]) -> View:
    """The same with its attempts, oldest first; `outcome` and `ended_at` are None while one is under way."""
    attempts: list[View] = [
        {"attempt": event["attempt"], "outcome": event["kind"], "ended_at": event["at"], "facts": event["facts"]}
        for event in events
        if event["kind"].code < _FIRST_OTHER_KIND
    ]
    if row["status"] == DeliveryStatus.SENDING.code:
        begun = {"begun_at": row["updated_at"].isoformat()}
        attempts.append({"attempt": row["attempt"], "outcome": None, "ended_at": None, "facts": begun})
    return {**delivery_view(row), "attempts": attempts}


def event_view(row: Row) -> View:
    """One event; `facts` are its detail: the status it led to, reason, provider, answer, times."""
    return {
        "delivery_id": row["delivery_id"],
        "at": rfc3339(row["at"]),
        "kind": EventKind.of(row["kind"]),
        "attempt": row["attempt"],
        "facts": msgspec.json.decode(row["detail"]) if row["detail"] else {},
    }


def gate_views(row: Row) -> list[View]:
    """Every gate's verdict, as accept recorded it in `decisions`, at the moment of the request."""
    decisions = msgspec.json.decode(row["decisions"])
    gates = decisions.get("gates", ()) if isinstance(decisions, dict) else ()
    at = rfc3339(row["created_at"])
    return [{**_UNSAID, **gate, "at": at} for gate in gates]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
