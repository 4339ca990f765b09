"""Apps, devices, topics and feedback in the OpenAPI document: what each route takes and answers, shown once."""

from typing import Any

from api.examples.base import AT, Example, Examples, page

_DEVICE_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0d01"
_HASH = "5f" * 32
_APP = "/api/v1/apps/{bundle_id}"
_DEVICE = "/api/v1/devices/{device_id}"
_TOPIC = "/api/v1/topics/{topic}"
_SUBSCRIPTION = f"{_DEVICE}/topics/{{topic}}"

_APP_ASKED: dict[str, Any] = {"web_origins": ["https://shop.example"]}
_APP_TOLD: dict[str, Any] = {
    "bundle_id": "com.example.shop",
    "app_key": "cn_app_…",
    "web_origins": ["https://shop.example"],
    "expires_in_s": 2592000,
    "overflow": "drop_oldest_lowest_priority",
    "silent_per_hour": 10,
    "names_users": False,
    "braked_at": None,
}
_REGISTRATION: dict[str, Any] = {
    "app_bundle_id": "com.example.shop",
    "user": "user-42",
    "platform": "ios",
    "region": "eu",
    "device_info": {"model": "Phone 9"},
}
_REGISTERED: dict[str, Any] = {
    "device_id": _DEVICE_ID,
    "token": "c0ffee" * 10 + "abcd",
    "token_hash": _HASH,
    "gateways": ["wss://eu-1.push.example/v1/connect", "wss://us-1.push.example/v1/connect"],
}
_DEVICE_TOLD: dict[str, Any] = {
    "device_id": _DEVICE_ID,
    "app_bundle_id": "com.example.shop",
    "user": "user-42",
    "provider": "carillon",
    "platform": "ios",
    "region": "eu",
    "device_info": {"model": "Phone 9"},
    "token_hash": _HASH,
    "is_valid": True,
    "invalidated_at": None,
    "invalidation_reason": None,
    "created_at": AT,
    "updated_at": AT,
    "last_seen_at": AT,
}
_LINE: dict[str, Any] = {
    "operation": "invalidated",
    "token_prefix": "5f5f5f5f",
    "actor": "cn_live_a1b2c3",
    "reason": "reported",
    "at": AT,
}
_DIED: dict[str, Any] = {
    "token_hash": _HASH,
    "device_id": _DEVICE_ID,
    "app_bundle_id": "com.example.shop",
    "reason": "unregistered",
    "timestamp": AT,
    "cursor": "7342.01930b7a6c007f2e8a515d3c2b1a0fee",
}
_TOPIC_TOLD: dict[str, Any] = {"topic": "news", "storage": "most_recent", "subscribers": 12, "created_at": AT}
_SUBSCRIBED: dict[str, Any] = {"topic": "news", "subscribed_at": AT}

EXAMPLES: Examples = {
    ("/api/v1/apps", "get"): page(_APP_TOLD),
    (_APP, "get"): Example(told=_APP_TOLD),
    (_APP, "put"): Example(_APP_ASKED, _APP_TOLD),
    (f"{_APP}/release-brake", "post"): Example(told=_APP_TOLD),
    ("/api/v1/devices/register", "post"): Example(_REGISTRATION, _REGISTERED),
    ("/api/v1/devices", "get"): page(_DEVICE_TOLD),
    (_DEVICE, "get"): Example(told=_DEVICE_TOLD),
    (_DEVICE, "patch"): Example(
        {"user": "user-43", "region": None}, {**_DEVICE_TOLD, "user": "user-43", "region": None}
    ),
    (f"{_DEVICE}/audit", "get"): page(_LINE),
    (f"{_DEVICE}/topics", "get"): page(_SUBSCRIBED),
    (_SUBSCRIPTION, "put"): Example(told=_SUBSCRIBED),
    ("/api/v1/topics", "get"): page(_TOPIC_TOLD),
    (_TOPIC, "get"): Example(told=_TOPIC_TOLD),
    (_TOPIC, "put"): Example({"storage": "most_recent"}, _TOPIC_TOLD),
    (f"{_TOPIC}/subscriptions", "post"): Example(
        {"subscribe": [_DEVICE_ID], "unsubscribe": []}, {"subscribed": 1, "unsubscribed": 0, "full": [], "unknown": []}
    ),
    ("/api/v1/feedback", "get"): page(_DIED),
}
