"""Who is meant and what is known of them, for any number of recipients in a fixed number of statements.

It writes `users` and `contacts` as far as the accept path needs (`preferences.users` does for the API). Every writer
locks users before contacts, each in order: so no two of them deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import uuid7
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences import devices
from preferences.devices import RECEIVES, Owned
from preferences.model import MAX_DEVICES, NOTHING_CHOSEN, KnownRecipient, Preferences

_MARKS = """array_agg(s.channel ORDER BY s.id) AS channels, array_agg(
    CASE WHEN s.category = '' AND s.reason = 'unsubscribe' THEN '*' ELSE s.category END ORDER BY s.id) AS categories"""
_IN_FORCE = "(s.expires_at IS NULL OR s.expires_at > now())"
_USERS = f"""
SELECT u.id, u.external_id, u.version, u.locale, u.timezone, u.name, p.document::text AS document,
  c.ids AS contact_ids, c.channels AS contact_channels, m.channels, m.categories, v.ids AS device_ids, v.foreign_devices
FROM unnest($2::<type>[]) k(key) JOIN users u ON u.<column> = k.key AND u.tenant_id = $1
LEFT JOIN preferences p ON p.user_id = u.id
LEFT JOIN LATERAL (SELECT array_agg(c.id ORDER BY c.channel) AS ids, array_agg(c.channel ORDER BY c.channel) AS channels
  FROM contacts c WHERE c.user_id = u.id) c ON true
LEFT JOIN LATERAL (SELECT {_MARKS} FROM contacts c JOIN suppressions s ON s.address_key = c.address_key
  WHERE c.user_id = u.id AND {_IN_FORCE}) m ON true
LEFT JOIN LATERAL (SELECT array_agg(v.id ORDER BY v.id DESC) FILTER (WHERE {RECEIVES}) AS ids,
    count(*) FILTER (WHERE v.provider <> 'carillon') AS foreign_devices
  FROM devices v WHERE v.user_id = u.id AND v.invalidated_at IS NULL) v ON true
"""  # noqa: S608  # only our own words
_USERS_BY_NAME = _USERS.replace("<type>", "text").replace("<column>", "external_id")
_USERS_BY_ID = _USERS.replace("<type>", "uuid").replace("<column>", "id")
_ALONE = f"""
SELECT c.id, c.channel, c.version, c.address_key, m.channels, m.categories
FROM contacts c
LEFT JOIN LATERAL (SELECT {_MARKS} FROM suppressions s WHERE s.address_key = c.address_key AND {_IN_FORCE}) m ON true
WHERE c.<column> = ANY($2::uuid[]) AND c.tenant_id = $1 AND c.user_id IS NULL
"""  # noqa: S608  # only our own words
"""By `= ANY`: as long as PostgreSQL takes a young table for empty, a join compares each of its rows with each key."""
_ALONE_BY_ADDRESS = _ALONE.replace("<column>", "address_key")
_ALONE_BY_ID = _ALONE.replace("<column>", "id")
_ADD_ALONE = """
INSERT INTO contacts (id, tenant_id, channel, address, address_key)
SELECT x.id, $1, x.channel, x.address, x.key
FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::uuid[]) x(id, channel, address, key) ORDER BY x.key
ON CONFLICT (address_key) WHERE user_id IS NULL DO NOTHING
"""
_NOW = """
SELECT u.external_id, u.name, u.locale, u.timezone, array_agg(c.channel) AS channels, array_agg(c.address_key) AS keys
FROM unnest($2::text[]) k(name) JOIN users u ON u.tenant_id = $1 AND u.external_id = k.name
LEFT JOIN contacts c ON c.user_id = u.id GROUP BY u.id
"""
_PUT_USERS = """
INSERT INTO users AS u (id, tenant_id, external_id, name, locale, timezone)
SELECT x.id, $1, x.external_id, x.name, x.locale, x.timezone
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) x(id, external_id, name, locale, timezone)
ORDER BY x.external_id
ON CONFLICT (tenant_id, external_id) DO UPDATE SET name = coalesce(excluded.name, u.name),
  locale = coalesce(excluded.locale, u.locale), timezone = coalesce(excluded.timezone, u.timezone),
  version = u.version + 1, updated_at = now()
"""
_PUT_CONTACTS = """
INSERT INTO contacts AS c (id, tenant_id, user_id, channel, address, address_key)
SELECT x.id, $1, u.id, x.channel, x.address, x.key
FROM unnest($2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::uuid[]) x(id, external_id, channel, address, key)
JOIN users u ON u.tenant_id = $1 AND u.external_id = x.external_id ORDER BY x.external_id, x.channel
ON CONFLICT (user_id, channel) WHERE user_id IS NOT NULL DO UPDATE SET address = excluded.address,
  address_key = excluded.address_key, version = c.version + 1, updated_at = now()
WHERE c.address_key <> excluded.address_key
"""
_STALE = """
SELECT k.id FROM unnest($1::uuid[], $2::bigint[]) k(id, version) LEFT JOIN users u ON u.id = k.id
WHERE u.version IS DISTINCT FROM k.version
UNION ALL SELECT k.id FROM unnest($3::uuid[], $4::bigint[]) k(id, version)
LEFT JOIN contacts c ON c.id = k.id LEFT JOIN devices v ON v.id = k.id
WHERE coalesce(v.version, c.version) IS DISTINCT FROM k.version
"""

Target = tuple[UUID | None, UUID | None]
"""Whom a delivery goes to: the user's id, and that of the contact or device."""


def addresses(recipient: Recipient) -> list[tuple[Channel, str]]:
    """The addresses that a recipient brings along, in the order of channels."""
    given = ((Channel.EMAIL, recipient.email), (Channel.SMS, recipient.phone))
    return [(channel, address) for channel, address in given if address]


async def put_recipients(conn: asyncpg.Connection, seal: Seal, tenant: UUID, recipients: Sequence[Recipient]) -> None:
    """Create or update the users that come with facts; what they leave out stays, what is equal is not written.

    One statement when nothing changed, three when something did, inside the caller's transaction.
    """
    given: dict[str, Recipient] = {}
    for each in recipients:
        if each.user is not None:
            given[each.user] = _merged(given.get(each.user), each)
    if not given:
        return
    known = {row["external_id"]: row for row in await conn.fetch(_NOW, tenant, list(given))}
    keys = {
        (name, channel): seal.address_key(tenant, channel, address)
        for name, each in given.items()
        for channel, address in addresses(each)
    }
    changed = sorted(name for name, each in given.items() if _is_news(each, known.get(name), keys))
    if not changed:
        return
    each_changed = [given[name] for name in changed]
    await conn.execute(
        _PUT_USERS,
        tenant,
        [uuid7() for _ in changed],
        changed,
        [each.name for each in each_changed],
        [each.locale for each in each_changed],
        [each.timezone for each in each_changed],
    )
    rows = [(name, channel, address) for name in changed for channel, address in addresses(given[name])]
    if rows:
        await conn.execute(
            _PUT_CONTACTS,
            tenant,
            [uuid7() for _ in rows],
            [name for name, _, _ in rows],
            [channel.code for _, channel, _ in rows],
            [address for _, _, address in rows],
            [keys[name, channel] for name, channel, _ in rows],
        )


def _merged(before: Recipient | None, after: Recipient) -> Recipient:
    """Two mentions of one user in one call: the later one's facts win."""
    if before is None:
        return after
    return Recipient(
        after.user,
        after.email or before.email,
        after.phone or before.phone,
        after.locale or before.locale,
        after.timezone or before.timezone,
        after.name or before.name,
    )


def _is_news(given: Recipient, known: asyncpg.Record | None, keys: Mapping[tuple[str, Channel], UUID]) -> bool:
    if known is None:
        return True
    facts = {"name": given.name, "locale": given.locale, "timezone": given.timezone}
    if any(value and value != known[name] for name, value in facts.items()):
        return True
    stored = dict(zip(known["channels"], known["keys"], strict=True))
    return any(stored.get(channel.code) != keys[known["external_id"], channel] for channel, _ in addresses(given))


async def load(
    conn: asyncpg.Connection, seal: Seal, tenant: UUID, recipients: Iterable[Recipient], *, is_read_only: bool = False
) -> dict[Recipient, KnownRecipient]:
    """What is known of each recipient of `tenant` now; users that do not exist are not in the answer.

    Addresses without a user become contacts of their own; when it `is_read_only`, unknown ones are not in the answer.
    Nor are devices that do not exist. At most one statement for users, three for addresses and two for devices.
    """
    wanted = set(recipients)
    users = [each for each in wanted if each.user is not None]
    named = [each for each in wanted if each.user is None and each.names_device]
    alone = [each for each in wanted if each.user is None and not each.names_device]
    found: dict[Recipient, KnownRecipient] = {}
    if users:
        rows = await conn.fetch(_USERS_BY_NAME, tenant, list({each.user for each in users}))
        by_name = {row["external_id"]: _known_user(row) for row in rows}
        found |= {each: by_name[each.user] for each in users if each.user in by_name}
    if alone:
        found |= await _load_alone(conn, seal, tenant, alone, is_read_only=is_read_only)
    if named:
        owned = await devices.named(conn, seal, tenant, named)
        by_id = await _of_devices(conn, tenant, owned.values())
        found |= {each: by_id[device.id] for each, device in owned.items()}
    return found


async def _of_devices(conn: asyncpg.Connection, tenant: UUID, owned: Iterable[Owned]) -> dict[UUID, KnownRecipient]:
    """What is known of each device's user, with that device alone to reach it; without a user it is a stranger."""
    wanted = list(owned)
    users = sorted({device.user_id for device in wanted if device.user_id is not None})
    rows = await conn.fetch(_USERS_BY_ID, tenant, users) if users else []
    by_user = {row["id"]: _known_user(row) for row in rows}
    found = {}
    for device in wanted:
        itself = (device.id,) if device.receives else ()
        foreign = int(device.is_foreign)
        user = by_user.get(device.user_id) if device.user_id is not None else None
        if user is not None:
            found[device.id] = replace(user, contacts={}, devices=itself, foreign_devices=foreign)
        else:
            version = device.version
            found[device.id] = KnownRecipient(
                None, None, version, None, None, None, {}, devices=itself, foreign_devices=foreign
            )
    return found


async def _load_alone(
    conn: asyncpg.Connection, seal: Seal, tenant: UUID, recipients: Sequence[Recipient], *, is_read_only: bool
) -> dict[Recipient, KnownRecipient]:
    keys = {
        each: {channel: seal.address_key(tenant, channel, address) for channel, address in addresses(each)}
        for each in recipients
    }
    wanted = {
        key: (channel, address)
        for each in recipients
        for (channel, address), key in zip(addresses(each), keys[each].values(), strict=True)
    }
    rows = await conn.fetch(_ALONE_BY_ADDRESS, tenant, list(wanted))
    missing = sorted(wanted.keys() - {row["address_key"] for row in rows})
    if missing and not is_read_only:
        codes, texts = [wanted[key][0].code for key in missing], [wanted[key][1] for key in missing]
        await conn.execute(_ADD_ALONE, tenant, [uuid7() for _ in missing], codes, texts, missing)
        rows = await conn.fetch(_ALONE_BY_ADDRESS, tenant, list(wanted))
    by_key = {row["address_key"]: row for row in rows}
    complete = [each for each in recipients if by_key.keys() >= set(keys[each].values())]
    return {each: _known_addresses([by_key[key] for key in keys[each].values()], each) for each in complete}


async def reload(conn: asyncpg.Connection, tenant: UUID, targets: Iterable[Target]) -> dict[Target, KnownRecipient]:
    """What is known now of the recipients of deliveries, by user id or else by contact or device id.

    Erased ones are missing. A device that has got a user since is judged by that user, at its own version still.
    """
    wanted = set(targets)
    users = sorted({user for user, _ in wanted if user is not None})
    alone = sorted({address for user, address in wanted if user is None and address is not None})
    rows = await conn.fetch(_USERS_BY_ID, tenant, users) if users else []
    by_user = {row["id"]: _known_user(row, most_devices=None) for row in rows}
    rows = await conn.fetch(_ALONE_BY_ID, tenant, alone) if alone else []
    by_address = {row["id"]: _known_addresses([row], Recipient()) for row in rows}
    if others := [address for address in alone if address not in by_address]:
        owned = await devices.by_id(conn, tenant, others)
        known = await _of_devices(conn, tenant, owned.values())
        by_address |= {device: replace(one, version=owned[device].version) for device, one in known.items()}
    found = {(user, address): by_user.get(user) if user else by_address.get(address) for user, address in wanted}
    return {target: known for target, known in found.items() if known is not None}


async def stale(
    conn: asyncpg.Connection, users: Sequence[tuple[UUID, int]], alone: Sequence[tuple[UUID, int]]
) -> set[UUID]:
    """Those of these users, and of contacts and devices without one, that no longer have that version, or are gone."""
    columns = [column for pairs in (users, alone) for column in (zip(*pairs, strict=True) if pairs else ([], []))]
    return {row["id"] for row in await conn.fetch(_STALE, *columns)}


def _known_user(row: asyncpg.Record, *, most_devices: int | None = MAX_DEVICES) -> KnownRecipient:
    ids, channels = row["contact_ids"] or (), row["contact_channels"] or ()
    document = row["document"]
    return KnownRecipient(
        row["id"],
        row["external_id"],
        row["version"],
        row["locale"],
        row["timezone"],
        row["name"],
        {Channel.of(channel): contact for channel, contact in zip(channels, ids, strict=True)},
        Preferences.stored(msgspec.json.decode(document)) if document else NOTHING_CHOSEN,
        _marks([row]),
        tuple(row["device_ids"] or ())[:most_devices],
        row["foreign_devices"],
    )


def _known_addresses(rows: Sequence[asyncpg.Record], given: Recipient) -> KnownRecipient:
    """An address without a user, or an email and a phone of somebody unknown: the version is that of the first."""
    return KnownRecipient(
        None,
        None,
        rows[0]["version"],
        given.locale,
        given.timezone,
        given.name,
        {Channel.of(row["channel"]): row["id"] for row in rows},
        NOTHING_CHOSEN,
        _marks(rows),
    )


def _marks(rows: Sequence[asyncpg.Record]) -> frozenset[tuple[Channel, str]]:
    return frozenset(
        (Channel.of(channel), category)
        for row in rows
        if row["channels"]
        for channel, category in zip(row["channels"], row["categories"], strict=True)
    )
