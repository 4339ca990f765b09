"""The second wall around tenants: which rows the role of readers sees, written down again by every `carillon migrate`.

Not a revision, because a revision runs once: a server on which no role could be made has its wall with the next
`carillon migrate` after one could, and a new table with a tenant stands behind it without a line here.
"""

from collections.abc import Iterator

import asyncpg

from plumbing.reading import CONTEXT, READER
from plumbing.tables import METADATA

SECRET = frozenset({"api_keys", "apns_keys"})
"""Tables of tenants that no reading route asks: readers get nothing of them at all."""

PARENTS = {
    "events": ("delivery_id", "deliveries"),
    "preferences": ("user_id", "users"),
    "preference_history": ("user_id", "users"),
    "webhook_attempts": ("webhook_id", "webhooks"),
}
"""Tables whose rows belong to the tenant of another row."""

_HIS = f"tenant_id = current_setting('{CONTEXT}')::uuid"
_OF_THE_PLATFORM_TOO = {"holds": f"tenant_id IS NULL OR {_HIS}"}
_POLICY = "one_tenant"
_MAKE_ROLE = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN CREATE ROLE {READER} NOLOGIN; END IF;
  IF NOT pg_has_role('{READER}', 'MEMBER') THEN GRANT {READER} TO CURRENT_USER; END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
END $$
"""
"""Roles belong to the server: another database of it may make the same one at the same time."""

_MAY = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'MEMBER'))"
_STANDING = """
SELECT c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_roles r ON r.oid = ANY(p.polroles)
WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = $1 AND r.rolname = $2 AND c.relrowsecurity
  AND has_table_privilege(r.oid, c.oid, 'SELECT')
"""


def rules() -> Iterator[tuple[str, str]]:
    """Every table that a tenant reads, and the condition under which a row is shown."""
    for table in METADATA.sorted_tables:
        if table.name in PARENTS:
            column, parent = PARENTS[table.name]
            # a sub-select for each row, never a join: no planner reads whole tables for it
            yield table.name, f"(SELECT p.tenant_id FROM {parent} p WHERE p.id = {column}) IS NOT NULL"
        elif "tenant_id" in table.c and table.name not in SECRET:
            yield table.name, _OF_THE_PLATFORM_TOO.get(table.name, _HIS)


async def raise_walls(conn: asyncpg.Connection) -> bool:
    """Write down what is missing of the rules, in the caller's transaction; False where no role may be made."""
    await conn.execute(_MAKE_ROLE)
    if not await conn.fetchval(_MAY, READER):
        return False
    standing = {row["relname"] for row in await conn.fetch(_STANDING, _POLICY, READER)}
    missing = [(table, rule) for table, rule in rules() if table not in standing]
    if missing:
        schema = await conn.fetchval("SELECT quote_ident(current_schema())")
        await conn.execute(f"GRANT USAGE ON SCHEMA {schema} TO {READER}")
    for table, rule in missing:
        await conn.execute(
            f"DROP POLICY IF EXISTS {_POLICY} ON {table};"
            f" CREATE POLICY {_POLICY} ON {table} FOR SELECT TO {READER} USING ({rule});"
            f" ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; GRANT SELECT ON {table} TO {READER}"
        )
    return True
