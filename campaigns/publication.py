"""A publication to a topic: what it asks for every subscriber, and for one of them when that is planned. Pure.

Storage `none`: one attempt for whoever is connected. `most_recent`: of each topic a device keeps the newest.
"""

from dataclasses import replace
from datetime import datetime
from hashlib import blake2b

from channels.push.topics import TopicStorage
from domain.lanes import Channel
from domain.notification import Content, NotificationRequest, PushParts, Recipient
from domain.payload import with_alert
from domain.push import LIVE_ONLY_S, MAX_COLLAPSE_BYTES
from fanout.gates import words
from preferences.model import Category


def published(
    request: NotificationRequest, topic: str, category: Category | None, *, storage: TopicStorage
) -> NotificationRequest:
    """The request as every subscriber's: its push made, its life and collapse id said. RequestRefused (422)."""
    if category is None:
        name = words.choose_category(request, None)
        raise words.refuse("unknown_category", "/category", f"there is no category {name!r}")
    if Channel.PUSH not in category.channels:
        detail = f"a topic is reached by push, which category {category.name!r} does not allow"
        raise words.refuse("no_channel", "/category", detail)
    request = replace(request, to=Recipient(), channels=(Channel.PUSH,), category=category.name)
    words.choose_channels(request, category, None)
    content = request.content or Content()
    push = content.push or PushParts(with_alert({}, content.title, content.body))
    is_live_only, collapse_id = storage is TopicStorage.NONE, request.collapse_id
    return replace(
        request,
        content=Content(push=replace(push, topic=topic, is_live_only=is_live_only)),
        collapse_id=collapse_id if collapse_id is not None or is_live_only else collapse_id_of(topic),
        expires_in_s=category.expires_in_s if request.expires_in_s is None else request.expires_in_s,
    )


def collapse_id_of(topic: str) -> str:
    """Under which a device keeps the most recent of a topic: `topic:` and its name, or a hash where that is long."""
    plain = f"topic:{topic}"
    if len(plain.encode()) <= MAX_COLLAPSE_BYTES:
        return plain
    return f"topic:{blake2b(topic.encode(), digest_size=16).hexdigest()}"


def due_now(request: NotificationRequest, *, created_at: datetime, now: datetime) -> NotificationRequest:
    """The request as it is planned `now`: its life counts from the publication, however long that waited. What must not
    be stored lives LIVE_ONLY_S from here on, for one attempt is all it gets."""
    life_s = request.expires_in_s or 0
    left_s = max(0, life_s - max(0, int((now - created_at).total_seconds())))
    push = request.content.push if request.content else None
    if push is not None and push.is_live_only:
        left_s = min(left_s, LIVE_ONLY_S)
    return replace(request, expires_in_s=left_s)
