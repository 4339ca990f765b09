"""Feedback: which tokens died. Reading takes nothing away; who keeps the last cursor misses nothing."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from api.dependencies import Reader, TheHouse
from api.routing import router
from api.schemas.devices import FeedbackItem, FeedbackPage, FeedbackQuery
from channels.push import feedback
from channels.push.feedback import Died, Place

ROUTER = router("/api/v1/feedback", tag="devices")


@ROUTER.get("", summary="Tokens that died, oldest first")
async def read_feedback(house: TheHouse, key: Reader, asked: Annotated[FeedbackQuery, Query()]) -> FeedbackPage:
    """A page from behind `cursor` on, of one app or of all. Keep the last item's `cursor` to go on another day."""
    found = await feedback.page(
        house.reads(key.tenant_id),
        key.tenant_id,
        limit=asked.limit + 1,
        after=_place(asked.cursor) if asked.cursor is not None else None,
        bundle_id=asked.app_bundle_id,
    )
    shown = [_told(each) for each in found[: asked.limit]]
    return FeedbackPage(items=shown, next_cursor=shown[-1].cursor if len(found) > asked.limit else None)


def _place(cursor: str) -> Place:
    written_by, _, last = cursor.partition(".")
    return Place(int(written_by), UUID(last))


def _told(died: Died) -> FeedbackItem:
    return FeedbackItem(
        token_hash=died.token_hash.hex(),
        device_id=died.device_id,
        app_bundle_id=died.bundle_id,
        reason=died.reason,
        timestamp=died.at,
        cursor=f"{died.place.written_by}.{died.place.id.hex}",
    )
