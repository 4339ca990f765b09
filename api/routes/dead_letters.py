"""The dead-letter bench: letters listed, told with their whole story, clustered, edited and discarded."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query

from api.auth import Scope
from api.dependencies import OpsKey, Reader, TheHouse
from api.idempotency import refuse_key
from api.letter_telling import cursor_of, in_full, in_list, mark_of
from api.letter_words import Wish, letter_not_found, revision_of
from api.masks import masked
from api.routing import router
from api.schemas import dead_letters as told
from domain.errors import RequestRefused
from plumbing.database import borrow
from tracking.dead import edit, listing
from tracking.dead.hold import hold
from tracking.dead.listing import Chosen, LetterState
from tracking.dead.trail import Act, Note, note

ROUTER = router("/api/v1/dead-letters", tag="dead letters")

MAX_EDITED = 1000
MAX_DISCARDED = 10_000
_DISCARDED_AT_ONCE = 500

NoKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]


@ROUTER.get("", summary="Dead letters, the last that died first")
async def list_letters(house: TheHouse, key: Reader, asked: Annotated[told.LetterQuery, Query()]) -> told.LetterPage:
    """A page of this tenant's; open ones unless `state` says otherwise."""
    chosen = Chosen(
        channel=asked.channel,
        reason=asked.reason,
        cluster=asked.cluster,
        since=asked.since,
        until=asked.until,
        state=asked.state,
    )
    found = await listing.list_page(
        house.reads(key.tenant_id), key.tenant_id, chosen, limit=asked.limit + 1, after=mark_of(asked.cursor)
    )
    shown = found[: asked.limit]
    return told.LetterPage(
        items=[told.LetterInList(**in_list(letter)) for letter in shown],
        next_cursor=cursor_of(shown[-1].mark) if len(found) > asked.limit else None,
    )


@ROUTER.get("/clusters", summary="Dead letters by cause, the largest clusters first")
async def list_clusters(
    house: TheHouse, key: Reader, asked: Annotated[told.ClusterQuery, Query()]
) -> told.ClustersTold:
    """One cluster: channel, provider, error without its numbers and addresses, template version."""
    chosen = Chosen(channel=asked.channel, reason=asked.reason, since=asked.since, until=asked.until, state=asked.state)
    found = await listing.clusters(house.reads(key.tenant_id), key.tenant_id, chosen)
    return told.ClustersTold.model_validate({"items": found})


@ROUTER.get("/{letter_id}", summary="One dead letter, with its whole story")
async def get_letter(
    house: TheHouse, key: Reader, letter_id: UUID, asked: Annotated[told.RevealQuery, Query()]
) -> told.LetterInFull:
    """People's data is masked; `reveal=true` shows it, needs the scope `ops` and is noted in the letter's trail."""
    if asked.reveal and Scope.OPS not in key.scopes:
        raise RequestRefused("scope_missing", f"to reveal people's data this API key lacks the scope {Scope.OPS}", 403)
    letter = await listing.get(house.reads(key.tenant_id), key.tenant_id, letter_id)
    if letter is None:
        raise letter_not_found(letter_id)
    if asked.reveal:
        async with borrow(house.hot_pool) as conn:
            await note(conn, key.tenant_id, [Note(letter_id, Act.REVEALED)], who=key.prefix)
    return await in_full(house, letter, is_revealed=asked.reveal)


@ROUTER.patch("/{letter_id}", summary="Edit what a replay sends")
async def edit_letter(house: TheHouse, key: OpsKey, letter_id: UUID, asked: told.EditAsked) -> told.EditedTold:
    """A new version beside the original, checked as accept checks; nothing is sent before the replay."""
    wish = Wish(data=asked.data, content=asked.content, expires_at=asked.expires_at, now=house.clock())
    async with borrow(house.hot_pool) as conn, conn.transaction():
        held = await hold(conn, key.tenant_id, Chosen(ids=(letter_id,), state=LetterState.ALL), limit=1)
        if not held:
            raise letter_not_found(letter_id)
        revision = revision_of(held[0], wish, house.catalog)
        await edit.revise(conn, key.tenant_id, [revision], who=key.prefix, why=asked.why)
    shown = [{**one, "was": masked(one["was"])} if "was" in one else one for one in revision.diff]
    return told.EditedTold(id=letter_id, version=revision.journey.version + 1, diff=shown)


@ROUTER.patch("", summary="Edit many dead letters alike")
async def edit_letters(house: TheHouse, key: OpsKey, asked: told.EditManyAsked) -> told.EditedManyTold:
    """Up to 1,000 at once; those that the edit does not fit are told, and left as they are."""
    wish = Wish(
        data=asked.set.data,
        content=asked.set.content,
        expires_at=asked.set.expires_at,
        pointer="/set",
        now=house.clock(),
    )
    refused, revisions = [], []
    async with borrow(house.hot_pool) as conn, conn.transaction():
        held = await hold(conn, key.tenant_id, chosen_of(asked), limit=MAX_EDITED + 1)
        if len(held) > MAX_EDITED:
            raise too_many(MAX_EDITED)
        refuse_unknown(asked, {one.id for one in held})
        for one in held:
            try:
                revisions.append(revision_of(one, wish, house.catalog))
            except RequestRefused as error:
                refused.append(told.EditRefusedTold(id=one.id, reason=error.reason, detail=error.detail))
        await edit.revise(conn, key.tenant_id, revisions, who=key.prefix, why=asked.set.why)
    return told.EditedManyTold(edited=len(revisions), refused=refused)


@ROUTER.post("/discard", summary="Settle dead letters without sending them again")
async def discard_letters(
    house: TheHouse, key: OpsKey, asked: told.DiscardAsked, idempotency_key: NoKey = None
) -> told.DiscardedTold:
    """At most 10,000 at once, with who and why in their trail; doing it twice is doing it once."""
    refuse_key(idempotency_key)
    discarded = settled = 0
    after, is_complete = None, False
    while discarded + settled < MAX_DISCARDED and not is_complete:
        async with borrow(house.hot_pool) as conn, conn.transaction():
            held = await hold(
                conn, key.tenant_id, chosen_of(asked), limit=_DISCARDED_AT_ONCE, after=after, with_journeys=False
            )
            if after is None and len(held) < _DISCARDED_AT_ONCE:
                refuse_unknown(asked, {one.id for one in held})
            count = await edit.discard(conn, key.tenant_id, held, who=key.prefix, why=asked.why)
        discarded += count
        settled += len(held) - count
        is_complete = len(held) < _DISCARDED_AT_ONCE
        after = held[-1].id if held else None
    return told.DiscardedTold(discarded=discarded, already_settled=settled, is_complete=is_complete)


def chosen_of(asked: told.ChosenAsked) -> Chosen:
    """The letters that a request means: those it names, settled or not, or open ones that its filter lets through."""
    if asked.ids is not None:
        return Chosen(ids=tuple(sorted(set(asked.ids))), state=LetterState.ALL)
    wanted = asked.filter or told.FilterAsked()
    return Chosen(
        channel=wanted.channel,
        reason=wanted.reason,
        cluster=wanted.cluster,
        since=wanted.since,
        until=wanted.until,
    )


def refuse_unknown(asked: told.ChosenAsked, known: set[UUID]) -> None:
    """RequestRefused(404) when a letter was named that does not exist, or is somebody else's."""
    for letter_id in asked.ids or ():
        if letter_id not in known:
            raise letter_not_found(letter_id)


def too_many(most: int) -> RequestRefused:
    """422: more letters than one request may mean."""
    return RequestRefused("too_many", f"that would be more than {most:,} letters: narrow the filter, and ask in parts")
