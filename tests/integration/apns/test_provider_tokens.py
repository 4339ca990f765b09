"""Provider tokens that must not open the door, and those that must."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import asyncpg
import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm

from api.apns.keys import new_pair, revoke_key
from api.apns.reasons import ApnsReason
from tests.apns_doors import Answer, Provider, a_provider, a_token, push
from tests.integration.devices import an_app

INVALID = (403, ApnsReason.INVALID_PROVIDER_TOKEN)
EXPIRED = (403, ApnsReason.EXPIRED_PROVIDER_TOKEN)


async def push_with(client: httpx2.AsyncClient, pool: asyncpg.Pool, provider: Provider, bearer: str) -> Answer:
    """Push with this token; everything else is in order."""
    token, _ = await a_token(pool, provider)
    return await push(client, token, provider.headers(authorization=f"bearer {bearer}"))


def by_hand(header: dict[str, Any], claims: bytes, signature: bytes = b"") -> str:
    """A token put together from its parts."""
    return ".".join(map(_b64, (json.dumps(header).encode(), claims, signature)))


def signed_by_hand(provider: Provider, header: dict[str, Any], claims: bytes) -> str:
    """A token that this provider's key did sign, whatever stands in it."""
    content = f"{_b64(json.dumps(header).encode())}.{_b64(claims)}"
    return f"{content}.{_b64(_raw(_key_of(provider), content, hashes.SHA256(), 32))}"


# 33


@pytest.mark.parametrize("algorithm", ["none", "nOnE", "None", "NONE", ""])
async def test_33_a_token_without_a_signature_is_refused(
    algorithm: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    claims = json.dumps({"iss": provider.team, "iat": int(time.time())}).encode()

    answer = await push_with(client, hot_pool, provider, by_hand({"alg": algorithm, "kid": provider.key_id}, claims))

    assert (answer.status, answer.reason) == INVALID


# 34


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
async def test_34_a_token_signed_with_our_public_key_as_a_secret_is_refused(
    form: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    public = serialization.load_pem_public_key(provider.pair.public_pem.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    secret = {"pem": provider.pair.public_pem.encode(), "der": der, "jwk": ECAlgorithm.to_jwk(public).encode()}[form]
    header = _b64(json.dumps({"alg": "HS256", "kid": provider.key_id}).encode())
    content = f"{header}.{_b64(json.dumps({'iss': provider.team, 'iat': int(time.time())}).encode())}"
    signature = hmac.new(secret, content.encode(), hashlib.sha256).digest()

    answer = await push_with(client, hot_pool, provider, f"{content}.{_b64(signature)}")

    assert (answer.status, answer.reason) == INVALID


# 35


@pytest.mark.parametrize("signature", ["zeroed", "empty", "der", "too long", "of P-384", "SHA-384", "flipped"])
async def test_35_a_signature_that_is_not_64_raw_bytes_of_our_key_is_refused(
    signature: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    good = provider.sign()
    content, _, raw = good.rpartition(".")
    key, p384 = _key_of(provider), ec.generate_private_key(ec.SECP384R1())
    forged = {
        "zeroed": bytes(64),
        "empty": b"",
        "der": key.sign(content.encode(), ec.ECDSA(hashes.SHA256())),
        "too long": _unb64(raw) + b"\0",
        "of P-384": _raw(p384, content, hashes.SHA384(), 48),
        "SHA-384": _raw(key, content, hashes.SHA384(), 32),
        "flipped": bytes([_unb64(raw)[0] ^ 1]) + _unb64(raw)[1:],
    }[signature]

    answer = await push_with(client, hot_pool, provider, f"{content}.{_b64(forged)}")

    assert (answer.status, answer.reason) == INVALID


@pytest.mark.parametrize("algorithm", ["ES384", "ES512", "RS256", "EdDSA", "ES256K"])
async def test_35_no_other_algorithm_is_believed_even_with_a_good_signature(
    algorithm: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    claims = json.dumps({"iss": provider.team, "iat": int(time.time())}).encode()

    answer = await push_with(
        client, hot_pool, provider, signed_by_hand(provider, {"alg": algorithm, "kid": provider.key_id}, claims)
    )

    assert (answer.status, answer.reason) == INVALID


# 36


@pytest.mark.parametrize(
    ("issued_at", "expected"),
    [
        ("missing", INVALID),
        ("{old}", EXPIRED),
        ("{early}", INVALID),
        ('"{now}"', INVALID),
        ("true", INVALID),
        ("-1", EXPIRED),
        ("1e30", INVALID),
        ("NaN", INVALID),
        ("{now}.0", INVALID),
        ("null", INVALID),
        ("9" * 400, INVALID),
    ],
)
async def test_36_a_time_of_issue_that_is_no_recent_whole_number_is_refused(
    issued_at: str, expected: tuple[int, str], client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    now = int(time.time())
    said = issued_at.format(now=now, old=now - 61 * 60, early=now + 120)
    claims = f'{{"iss":"{provider.team}"' + ("" if issued_at == "missing" else f',"iat":{said}') + "}"

    answer = await push_with(
        client, hot_pool, provider, signed_by_hand(provider, {"alg": "ES256", "kid": provider.key_id}, claims.encode())
    )

    assert (answer.status, answer.reason) == expected


@pytest.mark.parametrize("age_s", [0, 59 * 60, -30])
async def test_36_a_time_within_the_hour_or_a_clock_that_is_a_little_ahead_is_taken(
    age_s: int, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    answer = await push_with(client, hot_pool, provider, provider.sign(iat=int(time.time()) - age_s))

    assert answer.status == 200


# 37


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' or 1=1--", "", "a" * 300, "nobody", 7, None, ["a"], "a\0b"])
async def test_37_a_key_id_is_data_and_leads_nowhere_unless_it_is_known(
    kid: object, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    claims = json.dumps({"iss": provider.team, "iat": int(time.time())}).encode()

    answer = await push_with(client, hot_pool, provider, signed_by_hand(provider, {"alg": "ES256", "kid": kid}, claims))

    assert (answer.status, answer.reason) == INVALID


async def test_37_the_key_id_of_another_tenant_is_refused(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    other = await a_provider(hot_pool)
    stolen_id = provider.sign(header={"kid": other.key_id}, iss=other.team)
    mixed = provider.sign(header={"kid": other.key_id})

    answers = [await push_with(client, hot_pool, provider, token) for token in (stolen_id, mixed)]

    assert [(answer.status, answer.reason) for answer in answers] == [INVALID, INVALID]


async def test_two_tenants_may_call_their_keys_alike_and_each_speaks_for_itself(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    twin = await a_provider(hot_pool, team=provider.team, key_id=provider.key_id)
    token, _ = await a_token(hot_pool, provider)

    own = await push(client, token, provider.headers())
    foreign = await push(client, token, twin.headers())

    assert own.status == 200
    assert (foreign.status, foreign.reason) == (400, ApnsReason.BAD_DEVICE_TOKEN)


# 38


@pytest.mark.parametrize("pointer", ["jku", "jwk", "x5u", "x5c"])
async def test_38_a_header_that_brings_a_key_along_is_not_read(
    pointer: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    mine = new_pair()
    public = serialization.load_pem_public_key(mine.public_pem.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    brought = {"jwk": ECAlgorithm.to_jwk(public, as_dict=True)}.get(pointer, "https://keys.example/set.json")

    forged = await push_with(client, hot_pool, provider, provider.sign(key=mine.private_pem, header={pointer: brought}))
    genuine = await push_with(client, hot_pool, provider, provider.sign(header={pointer: brought}))

    assert (forged.status, forged.reason) == INVALID
    assert genuine.status == 200


# 39


async def test_39_a_token_that_is_refreshed_ten_times_in_a_minute_is_too_much(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    first = provider.sign()
    answers = [await push_with(client, hot_pool, provider, first)]

    answers += [await push_with(client, hot_pool, provider, provider.sign()) for _ in range(10)]
    again = await push_with(client, hot_pool, provider, first)

    assert [answer.status for answer in answers] == [200] * 10 + [429]
    assert answers[-1].reason == ApnsReason.TOO_MANY_PROVIDER_TOKEN_UPDATES
    assert again.status == 200


async def test_39_tokens_that_are_no_good_count_for_nobody(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    stranger = new_pair()
    for _ in range(20):
        await push_with(client, hot_pool, provider, provider.sign(key=stranger.private_pem))

    answer = await push_with(client, hot_pool, provider, provider.sign())

    assert answer.status == 200


# Keys come and go


async def test_one_key_may_serve_several_apps(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    bundle = "com.example.second"
    app = await an_app(hot_pool, provider.tenant, bundle)
    second = Provider(provider.tenant, app, provider.team, provider.key_id, provider.pair, bundle)
    await hot_pool.execute(
        """INSERT INTO apns_keys (id, tenant_id, app_id, team_id, key_id, public_key)
           SELECT gen_random_uuid(), tenant_id, $2, team_id, key_id, public_key FROM apns_keys WHERE tenant_id = $1""",
        provider.tenant,
        app,
    )
    bearer = provider.sign()

    answers = [await push_with(client, hot_pool, one, bearer) for one in (provider, second)]

    assert [answer.status for answer in answers] == [200, 200]


async def test_a_revoked_key_opens_nothing_after_a_few_seconds(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    bearer = provider.sign()
    before = await push_with(client, hot_pool, provider, bearer)
    async with hot_pool.acquire() as conn:
        assert await revoke_key(conn, tenant=f"test-{provider.tenant}", key=provider.key_id) == 1

    deadline = time.monotonic() + 5
    while (answer := await push_with(client, hot_pool, provider, bearer)).status == 200:
        assert time.monotonic() < deadline

    assert before.status == 200
    assert (answer.status, answer.reason) == INVALID


def _key_of(provider: Provider) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(provider.pair.private_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _raw(key: ec.EllipticCurvePrivateKey, content: str, digest: hashes.HashAlgorithm, size: int) -> bytes:
    """The signature as JWS has it: r and s, one after the other."""
    r, s = decode_dss_signature(key.sign(content.encode(), ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
