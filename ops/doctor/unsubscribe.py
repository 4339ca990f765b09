"""Unsubscribe coverage: whoever sends promotional news must let people out, in the mail itself and by one click."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import asyncpg

from ops.doctor.findings import Finding, Level, bad, ok, warn
from ops.doctor.patient import Patient
from preferences.categories import Categories
from preferences.model import Category, Kind
from templates.catalog import SHIPPED, Catalog, Message

_TENANTS = "SELECT id, name FROM tenants ORDER BY name LIMIT 1000"
_LINK = "unsubscribe_url"


async def look(patient: Patient, conn: asyncpg.Connection) -> AsyncIterator[Finding]:
    """Every finding about messages and the ways out of them. Misconfigured for messages that cannot be read."""
    own = patient.settings.template_path
    folders = [SHIPPED, *([own] if own is not None else [])]
    catalog = Catalog(folders)
    messages = [message for name in catalog.names() if (message := catalog.get(name)) is not None]
    promotional, wrong = await _categories(conn)
    without = sorted(_without_link(messages, promotional, folders))
    if without:
        words = f"promotional words without {{{{ unsubscribe_url }}}}: {', '.join(without[:5])}"
        yield warn("unsubscribe.words", words, "put the link into each; the header is there in any case")
    else:
        yield ok("unsubscribe.words", "every promotional email shows the link")
    if wrong:
        words = f"promotional categories that nobody can refuse: {', '.join(wrong[:5])}"
        yield bad("unsubscribe.categories", words, "PUT them with required false: nobody may be forced to read adverts")
    else:
        yield ok("unsubscribe.categories", "every promotional category can be refused")
    if promotional and not patient.settings.public_url.startswith("https://"):
        words = "one-click unsubscribe needs https:// (RFC 8058): big mailboxes show no button without it"
        level = Level.WARN if patient.is_local else Level.FAIL
        yield Finding("unsubscribe.one_click", level, words, "set CARILLON_PUBLIC_URL=https://…")
    else:
        yield ok("unsubscribe.one_click", patient.settings.public_url)


async def _categories(conn: asyncpg.Connection) -> tuple[set[str], list[str]]:
    """Names of promotional categories of any tenant, and those among them that are required."""
    promotional: set[str] = set()
    wrong: list[str] = []
    categories = Categories()
    for tenant in await conn.fetch(_TENANTS):
        found: list[Category] = await categories.list_all(conn, tenant["id"])
        mine = [each for each in found if each.kind is Kind.PROMOTIONAL]
        promotional |= {each.name for each in mine}
        wrong += [f"{each.name} of {tenant['name']}" for each in mine if each.required]
    return promotional, wrong


def _without_link(messages: Iterable[Message], promotional: set[str], folders: Iterable[Path]) -> Iterable[str]:
    for message in messages:
        if message.category in promotional:
            for folder in folders:
                for path in sorted((folder / message.name).glob("email*")):
                    if not path.name.startswith("email.subject") and _LINK not in path.read_text():
                        yield f"{message.name}/{path.name}"
