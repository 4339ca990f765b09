"""A sender as it speaks to Apple's push service: it signs its own token with its own key, and knows nothing of us."""

import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt

from api.apns.keys import new_pair, revoke_key, store_key
from ops.rest import CallFailed
from ops.stack.database import connected
from ops.stack.home import Run
from ops.stack.seed import BUNDLE, TENANT

TEAM = "DEMOTEAM01"
_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Provider:
    """An open connection to the provider door, and a signed token."""

    url: str
    client: httpx2.AsyncClient
    token: str

    async def push(
        self, device_token: str, payload: Mapping[str, Any], more: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """The door's answer to one push; `more` are further `apns-` headers. CallFailed when there is none."""
        headers = {
            "authorization": f"bearer {self.token}",
            "apns-topic": BUNDLE,
            "apns-push-type": "alert",
            "apns-priority": "10",
            **(more or {}),
        }
        try:
            return await self.client.post(f"/3/device/{device_token}", content=json.dumps(payload), headers=headers)
        except httpx2.HTTPError as error:
            raise CallFailed(f"POST {self.url}/3/device/…: no answer ({error or type(error).__name__})") from error


@asynccontextmanager
async def a_provider(run: Run, authority: Path | None) -> AsyncIterator[Provider]:
    """A provider with a new signing key for the demo's app, which is revoked at the end.

    `authority` signed the door's certificate; None: one that everybody knows. CallFailed when there is no door.
    """
    if run.provider_url is None:
        raise CallFailed("what runs here has no provider door: `carillon ps` shows what runs")
    pair, key_id = new_pair(), f"DEMO{secrets.token_hex(3).upper()}"
    claims = {"iss": TEAM, "iat": int(time.time())}
    async with connected(run.database_url) as conn:
        await store_key(conn, tenant=TENANT, bundle_id=BUNDLE, team_id=TEAM, key_id=key_id, public_pem=pair.public_pem)
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    client = httpx2.AsyncClient(base_url=run.provider_url, verify=context, timeout=_TIMEOUT_S, trust_env=False)
    async with client:
        try:
            yield Provider(
                run.provider_url, client, jwt.encode(claims, pair.private_pem, "ES256", headers={"kid": key_id})
            )
        finally:
            async with connected(run.database_url) as conn:
                await revoke_key(conn, tenant=TENANT, key=key_id)
