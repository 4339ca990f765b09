"""Who was erased: the proof, without saying who it was."""

from typing import Annotated

from fastapi import Query

from api.dependencies import Reader, TheHouse
from api.routing import router
from api.schemas.exports import ErasurePage, ErasureQuery, ErasureTold
from preferences import erasures

ROUTER = router("/api/v1/erasures", tag="users")


@ROUTER.get("", summary="Erasures of users, newest first")
async def list_erasures(house: TheHouse, key: Reader, asked: Annotated[ErasureQuery, Query()]) -> ErasurePage:
    """A page of this tenant's, or those of one user: who asked, when, and how many rows. `emptied_at` says when the
    past held nothing of the person any more, `closed_at` when it was looked at for the last time."""
    subject = house.seal.subject_key(key.tenant_id, asked.user) if asked.user is not None else None
    found = await erasures.list_page(
        house.reads(key.tenant_id), key.tenant_id, limit=asked.limit + 1, below=asked.cursor, subject_key=subject
    )
    shown = [ErasureTold.model_validate(each) for each in found[: asked.limit]]
    return ErasurePage(items=shown, next_cursor=str(shown[-1].id) if len(found) > asked.limit else None)
