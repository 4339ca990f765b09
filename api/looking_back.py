"""Why somebody got something at a time in the past, or did not: what is kept of that time, and what nobody can say."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from api.auth import Key
from api.dependencies import House
from domain.decision import Gate
from domain.errors import Fault, RequestRefused
from domain.notification import NotificationRequest, Recipient
from fanout.cases import Case, Item, Sender
from plumbing.database import borrow
from preferences import erasures
from preferences.contacts import load
from preferences.model import KnownRecipient
from preferences.past import Then, known_then
from templates.catalog import Message
from tracking.around import Around, around

NOT_KEPT = frozenset({Gate.KEY_LIMIT, Gate.IDEMPOTENCY, Gate.USER_LIMIT, Gate.DEDUPE})
"""Gates of which nobody knows what they would have said then."""

_OF_TODAY = "the words of the template are those of today; the notifications name the version that was sent"


@dataclass(frozen=True, slots=True)
class Past:
    """What is known: the user as of then, what was accepted around that time, and how it would have been judged (None
    where the template is no more)."""

    then: Then
    around: Around
    case: Case | None
    unknown: list[str]


async def look_back(
    house: House, key: Key, *, user: str, template: str, message: Message | None, at: datetime, window: timedelta
) -> Past | None:
    """Look at a time in the past; None when neither the template nor anything sent of it is there.

    Raises RequestRefused for a user nobody knows, and Unavailable.
    """
    now = await _known_now(house, key, user)
    assert now.user_id is not None  # noqa: S101  # recipients that are users have an id
    found = await around(house.reads(key.tenant_id), key.tenant_id, now.user_id, template, at=at, window=window)
    if message is None and not found.within:
        return None
    async with borrow(house.reads(key.tenant_id)) as conn:
        category = message.category if message is not None else None
        then = await known_then(conn, key.tenant_id, now, at, category=category)
    unknown = list(then.unknown)
    case = None
    if message is not None:
        request = NotificationRequest(to=Recipient(user=user), template=template, data=dict(message.sample))
        item = Item(Sender(key.tenant_id, key.mode, key.id, key.prefix), request)
        case = await house.peek(item, now=at, known=then.recipient)
        unknown.append(_OF_TODAY)
    else:
        unknown.append("the template is not there any more: how it would be judged is not known")
    kept_for = timedelta(days=30 * house.settings.retention_months)
    if at < house.clock() - kept_for:
        unknown.append(
            f"notifications are kept for {house.settings.retention_months} months: none of that time is left"
        )
    return Past(then, found, case, unknown)


async def _known_now(house: House, key: Key, user: str) -> KnownRecipient:
    recipient = Recipient(user=user)
    async with borrow(house.reads(key.tenant_id)) as conn:
        known = (await load(conn, house.seal, key.tenant_id, [recipient])).get(recipient)
        if known is not None:
            return known
        subject = house.seal.subject_key(key.tenant_id, user)
        erased = await erasures.list_page(conn, key.tenant_id, limit=1, subject_key=subject)
    detail = f"there is no user {user!r}"
    if erased:
        detail += f": erased at {erased[0].asked_at:%Y-%m-%dT%H:%M:%SZ}, and nothing is known of the time before"
    raise RequestRefused("unknown_recipient", detail, faults=(Fault("/query/user", detail),))
