"""Provider tokens: JSON Web Tokens that a provider signs with ES256 to say who it is, as Apple has them.

What a token says of itself is data to be looked up and checked: algorithm, curve and key are ours to choose, and
headers that point to other keys (jku, jwk, x5u) are not read. A verified token is remembered by its exact bytes.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jwt
import msgspec

from api.apns.keys import NAME
from api.apns.reasons import ApnsReason, PushRefused
from api.apns.signing_keys import KeyName, SigningKey, SigningKeys

OLDEST_S = 3600
"""Apple: a token older than an hour is refused."""

FUTURE_S = 60
"""What clocks may differ."""

MAX_UPDATES, UPDATES_WINDOW_S = 10, 60.0
"""New tokens of one key, and the time in which no more of them are taken. Apple asks for 20 minutes between two; a
fleet whose processes sign for themselves must get through."""

MAX_TOKEN = 2048
MAX_REMEMBERED = 10_000

_K = TypeVar("_K")
_V = TypeVar("_V")
_JWS = jwt.PyJWS()


class Claims(msgspec.Struct):
    """What a provider says: its team, and when it signed (a whole number of seconds since 1970, and nothing else)."""

    iss: str
    iat: int


@dataclass(frozen=True, slots=True)
class Provider:
    """Who a token proved to be: a name, and the keys that it may speak with, one for each app."""

    name: KeyName
    keys: tuple[SigningKey, ...]


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature was good, by the public keys (PEM) that said so."""

    name: KeyName
    issued_at: int
    pems: frozenset[str]


class ProviderTokens:
    """Verifies tokens, remembers the good ones, and counts how often a key changes its token."""

    def __init__(
        self,
        keys: SigningKeys,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._timer = timer
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._updates: OrderedDict[KeyName, deque[float]] = OrderedDict()

    async def verify(self, authorization: str | None) -> Provider:
        """Who sent this header. PushRefused: 403, or 429 when tokens change too often. Raises Unavailable."""
        token = _bearer(authorization)
        known = self._verified.get(token)
        name = read_name(token) if known is None else known.name
        found = await self._keys.find(name)
        verified = self._verified.get(token) or self._admit(token, name, found)
        check_age(verified.issued_at, now=self._clock())
        keys = tuple(key for key in found if key.pem in verified.pems)
        if not keys:
            raise _invalid()
        return Provider(name, keys)

    def _admit(self, token: str, name: KeyName, found: tuple[SigningKey, ...]) -> _Verified:
        """Verify a token that is new here, and remember it when it is good."""
        signed = {key.pem: claims for key in found if (claims := verify(token, key)) is not None}
        if not signed:
            raise _invalid()
        issued_at = next(iter(signed.values())).iat
        check_age(issued_at, now=self._clock())
        self._count(name)
        verified = _Verified(name, issued_at, frozenset(signed))
        _put(self._verified, token, verified)
        return verified

    def _count(self, name: KeyName) -> None:
        """Note that a key changed its token. PushRefused(429) when it does so too often."""
        now = self._timer()
        updates = self._updates.get(name)
        if updates is None:
            updates = deque()
            _put(self._updates, name, updates)
        while updates and now - updates[0] >= UPDATES_WINDOW_S:
            updates.popleft()
        if len(updates) >= MAX_UPDATES:
            raise PushRefused(ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES)
        updates.append(now)


def read_name(token: str) -> KeyName:
    """Whose token it claims to be, unverified. PushRefused(InvalidProviderToken)."""
    try:
        parts = _JWS.decode_complete(token, options={"verify_signature": False})
        claims = msgspec.json.decode(parts["payload"], type=Claims)
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
        raise _invalid() from None
    kid = parts["header"].get("kid")
    if not isinstance(kid, str) or not NAME.fullmatch(kid) or not NAME.fullmatch(claims.iss):
        raise _invalid()
    return claims.iss, kid


def verify(token: str, key: SigningKey) -> Claims | None:
    """The claims of a token that this key signed, or None. The algorithm is ours: ES256, whatever the token says."""
    try:
        payload = _JWS.decode(token, key.public_key, algorithms=["ES256"])
        return msgspec.json.decode(payload, type=Claims)
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def check_age(issued_at: int, *, now: float) -> None:
    """PushRefused: ExpiredProviderToken after an hour, InvalidProviderToken for one from the future."""
    if issued_at < now - OLDEST_S:
        raise PushRefused(ApnsReason.EXPIRED_PROVIDER_TOKEN)
    if issued_at > now + FUTURE_S:
        raise _invalid()


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise PushRefused(ApnsReason.MISSING_PROVIDER_TOKEN)
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN or not token.isascii():
        raise _invalid()
    return token


def _invalid() -> PushRefused:
    return PushRefused(ApnsReason.INVALID_PROVIDER_TOKEN)


def _put(remembered: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Remember; the oldest makes room."""
    remembered[key] = value
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
