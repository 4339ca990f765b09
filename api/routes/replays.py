"""Replays of dead letters: asked for, counted without being done, watched, cancelled."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query
from starlette.responses import Response

from api.dependencies import OpsKey, Reader, TheHouse
from api.errors import not_found
from api.idempotency import read_key
from api.routes.dead_letters import chosen_of, refuse_unknown
from api.routing import router
from api.schemas import dead_letters as told
from fanout.replaying import count_dry
from plumbing.database import borrow
from tracking.dead import runs
from tracking.dead.hold import hold
from tracking.dead.runs import Run

PATH = "/api/v1/dead-letters"
ROUTER = router(PATH, tag="dead letters")

DRY_RUN_S = 3.0
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="the same request again gets the first replay, as it is"),
]


@ROUTER.post(
    "/replay",
    status_code=202,
    summary="Send dead letters again",
    responses={409: {"description": "another replay is under way: its id is in the detail"}},
)
async def replay(
    house: TheHouse,
    key: OpsKey,
    asked: told.ReplayAsked,
    response: Response,
    idempotency_key: IdempotencyKeyHeader = None,
) -> told.ReplayTold:
    """A canary, then ten, then the rest at their pace; it stops by itself when one of the first fails again. Each
    letter is asked about again: its life, consent and suppressions, duplicates. With `dry_run` it is only counted."""
    path, body = f"{PATH}/replay", asked.model_dump(mode="json")
    known = read_key(idempotency_key or "-", key.tenant_id, key.mode, method="POST", path=path, body=body)
    assert known is not None  # noqa: S101  # there is a header, or what stands for it
    chosen = chosen_of(asked)
    if asked.ids is not None:
        async with borrow(house.hot_pool) as conn:
            held = await hold(conn, key.tenant_id, chosen, limit=told.MAX_IDS, is_locking=False, with_journeys=False)
        refuse_unknown(asked, {one.id for one in held})
    if asked.dry_run:
        return await _count(house, key, asked, response)
    run, is_known = await runs.start(
        house.hot_pool,
        key.tenant_id,
        chosen,
        canary=asked.canary,
        rate_per_s=asked.rate_per_s,
        who=key.prefix,
        fingerprint=known.fingerprint,
        key=known.key if idempotency_key is not None else None,
    )
    response.headers["location"] = f"{PATH}/replays/{run.id}"
    if is_known:
        response.headers["idempotent-replayed"] = "true"
    return _told(run)


@ROUTER.get("/replays", summary="Replays, newest first")
async def list_replays(house: TheHouse, key: Reader, asked: Annotated[told.ReplayQuery, Query()]) -> told.ReplayPage:
    """A page of this tenant's."""
    found = await runs.list_page(house.reads(key.tenant_id), key.tenant_id, below=asked.cursor, limit=asked.limit + 1)
    shown = [_told(run) for run in found[: asked.limit]]
    return told.ReplayPage(items=shown, next_cursor=str(shown[-1].id) if len(found) > asked.limit else None)


@ROUTER.get("/replays/{run_id}", summary="One replay, and how far it is")
async def get_replay(house: TheHouse, key: Reader, run_id: UUID) -> told.ReplayTold:
    """404 for what does not exist, or is somebody else's."""
    return _told(await runs.get(house.reads(key.tenant_id), key.tenant_id, run_id))


@ROUTER.delete("/replays/{run_id}", summary="Cancel a replay")
async def cancel_replay(house: TheHouse, key: OpsKey, run_id: UUID) -> told.ReplayTold:
    """Nothing more is put back from the answer on; what was, goes on. Doing it twice is doing it once."""
    return _told(await runs.cancel(house.hot_pool, key.tenant_id, run_id))


async def _count(house: TheHouse, key: OpsKey, asked: told.ReplayAsked, response: Response) -> told.ReplayTold:
    response.status_code = 200
    async with borrow(house.hot_pool) as conn:
        found = await count_dry(conn, house.categories, key.tenant_id, chosen_of(asked), within_s=DRY_RUN_S)
    now = house.clock()
    return told.ReplayTold(
        id=None,
        status=None,
        dry_run=True,
        is_complete=found.is_complete,
        matched=found.matched,
        looked_at=found.looked_at,
        replayed=found.replayed,
        refused=dict(found.refused),
        canary=asked.canary,
        rate_per_s=asked.rate_per_s,
        why=None,
        created_by=key.prefix,
        created_at=now,
        updated_at=now,
        finished_at=now,
    )


def _told(run: Run | None) -> told.ReplayTold:
    if run is None:
        raise not_found("replay")
    return told.ReplayTold(
        id=run.id,
        status=run.status,
        dry_run=False,
        is_complete=run.finished_at is not None,
        matched=run.matched,
        looked_at=run.looked_at,
        replayed=run.replayed,
        refused=dict(run.refused),
        canary=run.canary,
        rate_per_s=run.rate_per_s,
        why=run.why,
        created_by=run.created_by,
        created_at=run.created_at,
        updated_at=run.updated_at,
        finished_at=run.finished_at,
    )
