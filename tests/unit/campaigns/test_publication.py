"""What a publication asks for each subscriber: its push, its collapse id, and how long it lives when it is late."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.publication import collapse_id_of, due_now, published
from channels.push.topics import TopicStorage
from domain.errors import RequestRefused
from domain.lanes import Channel
from domain.notification import Content, EmailParts, NotificationRequest, PushParts, Recipient
from domain.push import LIVE_ONLY_S, MAX_COLLAPSE_BYTES
from preferences.model import AmbiguousPolicy, Category, Kind

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NEWS = Category("news", Kind.PROMOTIONAL, True, False, (Channel.PUSH,), 0, 3600, AmbiguousPolicy.RETRY)


def a_publication(storage: TopicStorage = TopicStorage.MOST_RECENT, **wishes: object) -> NotificationRequest:
    asked = NotificationRequest(Recipient(), **{"content": Content(title="Goal!"), "category": "news", **wishes})  # type: ignore[arg-type]  # wishes of any kind
    return published(asked, "match-17", NEWS, storage=storage)


def test_words_become_a_push_and_nothing_else_is_kept_of_them() -> None:
    made = a_publication(content=Content(title="Goal!", body="Two to one.", email=EmailParts("x")))

    push = PushParts({"aps": {"alert": {"title": "Goal!", "body": "Two to one."}}}, topic="match-17")
    assert made.content == Content(push=push)
    assert made.channels == (Channel.PUSH,)
    assert made.expires_in_s == 3600


def test_long_names_of_topics_make_short_collapse_ids_that_differ() -> None:
    names = ["a" * 99 + "b", "a" * 99 + "c", "a" * 58, "a" * 59]

    ids = [collapse_id_of(name) for name in names]

    assert len(set(ids)) == 4
    assert all(len(one.encode()) <= MAX_COLLAPSE_BYTES for one in ids)
    assert ids[2] == f"topic:{names[2]}"


@pytest.mark.parametrize(
    ("storage", "asked_s", "late_s", "left_s"),
    [
        (TopicStorage.MOST_RECENT, 600, 0, 600),
        (TopicStorage.MOST_RECENT, 600, 599.9, 1),
        (TopicStorage.MOST_RECENT, 600, 601, 0),
        (TopicStorage.MOST_RECENT, 600, -5, 600),
        (TopicStorage.NONE, 600, 0, LIVE_ONLY_S),
        (TopicStorage.NONE, 600, 595, 5),
        (TopicStorage.NONE, 10, 0, 10),
    ],
)
def test_its_life_counts_from_the_publication(storage: TopicStorage, asked_s: int, late_s: float, left_s: int) -> None:
    made = a_publication(storage, expires_in_s=asked_s)

    assert due_now(made, created_at=AT, now=AT + timedelta(seconds=late_s)).expires_in_s == left_s


def test_without_words_for_push_it_is_refused() -> None:
    with pytest.raises(RequestRefused, match="no_content_for_channel"):
        a_publication(content=Content(sms_text="x"))
