"""The gate of the recipient: who is meant, what is known of them now, and whether we know them at all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from domain.errors import RequestRefused
from domain.notification import Recipient
from fanout.cases import Case
from fanout.gates.words import refuse
from plumbing.secrets import Seal
from preferences import contacts
from preferences.model import KnownRecipient

Loaded = dict[UUID, dict[Recipient, KnownRecipient]]


async def know_recipients(
    conn: asyncpg.Connection, seal: Seal, cases: Sequence[Case], cached: Mapping[Case, KnownRecipient]
) -> tuple[list[Case], Loaded]:
    """Put to each case what is known of its recipient as of this transaction; unknown users are refused.

    A cached recipient counts only at the version that PostgreSQL has now, so an opt-out is honoured by every
    request accepted after it. What had to be loaded is returned by tenant, to be cached after the commit.
    """
    known: dict[Case, KnownRecipient] = {}
    fetched: Loaded = {}
    for tenant_id, members in _by_tenant(cases).items():
        inline = [case.request.to for case in members if case.request.to.is_inline]
        if inline:
            await contacts.put_recipients(conn, seal, tenant_id, inline)
        known |= await _still_current(conn, {case: cached[case] for case in members if case in cached})
        missing = list(dict.fromkeys(case.request.to for case in members if case not in known))
        if missing:
            loaded = fetched[tenant_id] = await contacts.load(conn, seal, tenant_id, missing)
            missed = [case for case in members if case not in known]
            known |= {case: one for case in missed if (one := loaded.get(case.request.to)) is not None}
    for case in cases:
        if case in known:
            case.recipient = known[case]
        else:
            case.refuse(_unknown(case.request.to))
    return [case for case in cases if case in known], fetched


async def find_missing(
    conn: asyncpg.Connection, seal: Seal, cases: Sequence[Case], cached: Mapping[Case, KnownRecipient]
) -> tuple[dict[Case, KnownRecipient], Loaded]:
    """What is known of recipients that are not cached, and the same by tenant; one question for the users of a tenant.

    Writes nothing: who would have to be written first is missing, as is who has no one version to be compared later.
    """
    found: dict[Case, KnownRecipient] = {}
    fetched: Loaded = {}
    for tenant_id, members in _by_tenant([case for case in cases if case not in cached]).items():
        recipients = [case.request.to for case in members]
        loaded = await contacts.load(conn, seal, tenant_id, recipients, is_read_only=True)
        fetched[tenant_id] = {to: known for to, known in loaded.items() if known.has_one_version}
        found |= {case: known for case in members if (known := fetched[tenant_id].get(case.request.to)) is not None}
    return found, fetched


async def _still_current(conn: asyncpg.Connection, cached: Mapping[Case, KnownRecipient]) -> dict[Case, KnownRecipient]:
    """Those cached recipients whose version is still that of PostgreSQL, asked in one statement."""
    trusted = {case: known for case, known in cached.items() if not case.request.to.is_inline}
    if not trusted:
        return {}
    users = [(known.user_id, known.version) for known in trusted.values() if known.user_id is not None]
    alone = [(identity(known), known.version) for known in trusted.values() if known.user_id is None]
    stale = await contacts.stale(conn, users, alone)
    if not stale:  # nearly always
        return trusted
    return {case: known for case, known in trusted.items() if identity(known) not in stale}


def _unknown(to: Recipient) -> RequestRefused:
    if to.user is None:
        return refuse("unknown_recipient", "/to", "there is no such device")
    detail = f"there is no user {to.user!r}; send its email or phone along to create it"
    return refuse("unknown_recipient", "/to", detail)


def identity(known: KnownRecipient) -> UUID:
    """The user's id, or for an address or a device alone its contact's or the device's."""
    return known.user_id or next(iter((*known.contacts.values(), *known.devices)))


def _by_tenant(cases: Sequence[Case]) -> dict[UUID, list[Case]]:
    grouped: defaultdict[UUID, list[Case]] = defaultdict(list)
    for case in cases:
        grouped[case.tenant_id].append(case)
    return grouped
