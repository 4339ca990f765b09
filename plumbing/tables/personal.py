"""The register of personal data: for each table which columns tell of a person, how export and erasure treat them.

A house test fails when a table or a column is missing here. A test of the whole platform puts a mark into every column
that is personal, erases the person, and looks for the mark in each table, in Redis and in the logs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Erasure(StrEnum):
    """What erasing a user does to the rows of a table that are about that person."""

    DELETED = "deleted"
    EMPTIED = "emptied"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Holding:
    """What one table holds of people. `exported_as` is the part of the export, None where nothing of it is exported.

    `personal` are the columns that tell of a person; erasing empties them, or the row goes. `other` are all the rest.
    `how` says in a sentence how it is done, or why there is nothing to do.
    """

    erasure: Erasure
    exported_as: str | None
    personal: frozenset[str]
    other: frozenset[str]
    how: str


def _gone(exported_as: str, personal: str, other: str, how: str) -> Holding:
    return Holding(Erasure.DELETED, exported_as, frozenset(personal.split()), frozenset(other.split()), how)


def _emptied(exported_as: str | None, personal: str, other: str, how: str) -> Holding:
    return Holding(Erasure.EMPTIED, exported_as, frozenset(personal.split()), frozenset(other.split()), how)


def _kept(other: str, why: str, exported_as: str | None = None) -> Holding:
    return Holding(Erasure.KEPT, exported_as, frozenset(), frozenset(other.split()), why)


HOLDINGS: Mapping[str, Holding] = {
    "users": _gone(
        "user",
        "external_id name locale timezone attributes",
        "id tenant_id version created_at updated_at",
        "The row goes first, and at once.",
    ),
    "contacts": _gone(
        "contacts",
        "address",
        "id tenant_id user_id channel address_key version created_at updated_at",
        "They go with their user, and with them the same addresses where they stand without a user.",
    ),
    "preferences": _gone("preferences", "document", "user_id version updated_at", "They go with their user."),
    "preference_history": _gone(
        "preference_history",
        "document evidence",
        "user_id version changed_at actor source",
        "It goes with its user.",
    ),
    "suppressions": _kept(
        "id tenant_id channel address_key category reason source created_at expires_at",
        "They stay: a keyed hash of an address that must not be written to, which nobody can turn back.",
        exported_as="suppressions",
    ),
    "notifications": _emptied(
        "notifications",
        "data decisions collapse_id dedupe_key reference locale",
        "id tenant_id user_id campaign_id mode template template_version category priority duplicate_of send_at"
        " expires_at cancelled_at created_at",
        "Ids, times and verdicts stay, so that figures close; words and what the gates looked at go. The user's id is"
        " one of ours, which nobody bears any more.",
    ),
    "deliveries": _emptied(
        "notifications",
        "provider_id",
        "id tenant_id user_id address_id envelope_id recipient_version recheck_at channel priority mode status problem"
        " reason attempt crashes lease_token lease_until next_attempt_at expires_at provider created_at updated_at",
        "Statuses stay; the number by which the provider knows the message goes.",
    ),
    "events": _emptied(
        "notifications",
        "detail",
        "delivery_id at kind attempt",
        "Status, reason and times stay; what the provider answered goes, for it may repeat the address.",
    ),
    "dead_letters": _emptied(
        "dead_letters",
        "detail fingerprint evidence",
        "id tenant_id delivery_id channel reason created_at settled_at settlement recipient_id cluster",
        "Those of the user's deliveries keep their reason, and lose what they show. Letters of messages that nobody"
        " could read belong to nobody.",
    ),
    "dead_letter_edits": _emptied(
        "dead_letters",
        "data",
        "letter_id version tenant_id expires_at created_by created_at",
        "Who edited, and when, stays; the words go.",
    ),
    "dead_letter_audit": _emptied(
        "dead_letters",
        "diff",
        "id tenant_id letter_id who what why run_id created_at",
        "Who did what, and why, stays; what differed goes: the only change that the table lets through.",
    ),
    "dead_letter_runs": _kept(
        "id tenant_id status chosen canary rate_per_s matched looked_at replayed refused cursor watched why created_by"
        " request_key request_fingerprint created_at updated_at finished_at",
        "Ids and counts.",
    ),
    "devices": _emptied(
        "devices",
        "device_info",
        "id tenant_id app_id bundle_id user_id token_hash token_sealed provider platform region version created_at"
        " updated_at last_seen_at invalidated_at invalidation_reason",
        "A device is a copy of an app: it stays without a user, and forgets what it told of itself.",
    ),
    "topic_subscriptions": _gone(
        "topics", "topic", "device_id tenant_id subscribed_at", "What the user's devices subscribed to tells of them."
    ),
    "mailbox": _gone(
        "mailbox",
        "payload topic fold",
        "delivery_id tenant_id device_id wake not_before expires_at stored_at",
        "What waits for the user's devices is taken out and ends cancelled.",
    ),
    "erasures": _kept(
        "id tenant_id user_id subject_key actor asked_at due_at looks cursor emptied_at closed_at counts",
        "The proof that somebody was erased: a keyed hash of the id, who asked, when, and counts.",
    ),
    "outbox": _kept(
        "id tenant_id channel priority delivery_ids available_at published_at watch_at held_by",
        "Ids of deliveries alone.",
    ),
    "idempotency": _kept(
        "key fingerprint notification_id answer expires_at",
        "Hashes; an answer holds ids and refusals, and is forgotten after 24 hours.",
    ),
    "dedupe": _kept("key notification_id expires_at", "A keyed hash, until its window is over."),
    "feedback": _kept(
        "id tenant_id app_id written_by device_id token_hash reason at", "Of a device's token, by its hash."
    ),
    "token_audit": _kept(
        "id tenant_id device_id bundle_id operation token_prefix actor reason at",
        "Of a device's token, by the first digits of its hash; the actor is a key of the tenant's.",
    ),
    "broadcasts": _kept(
        "id tenant_id topic mode key_id request cursor planned created_at finished_at cancelled_at withdrawn_to",
        "Words for everybody who subscribes, of nobody in particular.",
    ),
    "topics": _kept("tenant_id name storage created_at", "Names that the tenant gave, for everybody."),
    "tenants": _kept("id name created_at", "Organisations."),
    "api_keys": _kept(
        "id tenant_id name mode prefix secret_hash scopes created_at expires_at last_used_at revoked_at",
        "Of the tenant's own programs.",
    ),
    "categories": _kept(
        "tenant_id name kind default_allow required channels dedupe_window_s expires_in_s ambiguous updated_at",
        "Rules of the tenant's.",
    ),
    "templates": _kept("tenant_id name version content schema created_at published_at", "Words before a name is in."),
    "apps": _kept(
        "id tenant_id bundle_id app_key web_origins expires_in_s overflow silent_per_hour braked_at released_at"
        " names_users created_at",
        "The tenant's programs.",
    ),
    "apns_keys": _kept("id tenant_id app_id team_id key_id public_key created_at revoked_at", "The tenant's keys."),
    "holds": _kept(
        "id tenant_id kind subject why created_by created_at released_at released_by released_why drained_at",
        "What operators stopped, never a person.",
    ),
    "webhooks": _kept(
        "id tenant_id url statuses secret_sealed old_secret_sealed old_secret_until failing_since disabled_at"
        " disabled_reason deleted_at created_at",
        "Endpoints of the tenant's.",
    ),
    "webhook_messages": _kept(
        "id webhook_id tenant_id delivery_id status reason delivery_attempt at outcome attempts unheard"
        " next_attempt_at",
        "Ids and statuses; words are put together when they are told, without the name of who was erased.",
    ),
    "webhook_attempts": _kept(
        "id webhook_id message_id number status_code answer error duration_ms",
        "What the tenant's own endpoint answered, forgotten after 30 days.",
    ),
    "breaker_orders": _kept("provider state why ordered_by ordered_at", "What operators ordered."),
    "role_beats": _kept("name role begun_at at facts", "Processes."),
    "leader": _kept("name owner epoch until", "Processes."),
    "delivery_counts": _kept("tenant_id hour mode channel category status count as_of", "Numbers."),
}
