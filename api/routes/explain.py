"""What would become of a notification, sent now or at another time, without sending it; and what became of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from api.dependencies import Reader, TheHouse
from api.looking_back import NOT_KEPT, Past, look_back
from api.routes.suppressions import told as suppression_told
from api.routing import router
from api.schemas.explain import ForecastQuery, ForecastTold, PastTold
from api.schemas.notifications import ExplanationTold
from api.schemas.people import PreferenceChange
from domain.clock import rfc3339
from domain.decision import Decision
from domain.errors import Fault, RequestRefused
from domain.lanes import Channel
from domain.notification import NotificationRequest, Recipient
from fanout.cases import Item, PlannedDelivery, Sender

ROUTER = router("/api/v1/explain", tag="notifications")

_JUST_NOW = timedelta(seconds=1)


@ROUTER.get("", summary="What would become of a notification, or why there was one or none")
async def forecast(house: TheHouse, key: Reader, asked: Annotated[ForecastQuery, Query()]) -> ForecastTold:
    """Every gate is asked as by a send of the template with its sample data; nothing is kept and nothing spent. For a
    time that is over the answer comes from what is known of it: see `past`."""
    message = house.catalog.get(asked.template)
    at = asked.at or house.clock()
    if at < house.clock() - _JUST_NOW:
        window = timedelta(seconds=asked.window_s)
        past = await look_back(
            house, key, user=asked.user, template=asked.template, message=message, at=at, window=window
        )
        if past is not None:
            return _of_past(past, asked, at)
    if message is None:
        detail = f"there is no template {asked.template!r}"
        raise RequestRefused("unknown_template", detail, faults=(Fault("/query/template", detail),))
    request = NotificationRequest(to=Recipient(user=asked.user), template=asked.template, data=dict(message.sample))
    sender = Sender(key.tenant_id, key.mode, key.id, key.prefix)
    try:
        case = await house.peek(Item(sender, request), now=at)
    except RequestRefused as refusal:
        raise _as_query(refusal, asked) from refusal
    return _told(asked, at, case.decisions, case.deliveries)


def _told(
    asked: ForecastQuery, at: datetime, decisions: Sequence[Decision], deliveries: Sequence[PlannedDelivery]
) -> ForecastTold:
    return ForecastTold.model_validate(
        {
            "user": asked.user,
            "template": asked.template,
            "at": at,
            "gates": [_gate(decision, at) for decision in decisions],
            "deliveries": [_delivery(each) for each in deliveries],
        }
    )


def _of_past(past: Past, asked: ForecastQuery, at: datetime) -> ForecastTold:
    decisions = [each for each in past.case.decisions if each.gate not in NOT_KEPT] if past.case else []
    told = _told(asked, at, decisions, past.case.deliveries if past.case else [])
    then = past.then
    told.past = PastTold(
        notifications=[ExplanationTold.model_validate(each) for each in past.around.within],
        before=past.around.before,
        after=past.around.after,
        preferences=PreferenceChange.model_validate(then.chosen) if then.chosen is not None else None,
        suppressions=[suppression_told(each) for each in then.suppressions],
        unknown=past.unknown,
    )
    return told


def _delivery(planned: PlannedDelivery) -> dict[str, Any]:
    device = planned.address_id if planned.channel is Channel.PUSH else None
    facts = {"channel": planned.channel, "device_id": device, "status": planned.status}
    return {**facts, "reason": planned.reason, "until": planned.until}


def _as_query(refusal: RequestRefused, asked: ForecastQuery) -> RequestRefused:
    """A refusal of accept, pointing into the query instead of a body that nobody sent."""
    if refusal.status != 422:
        return refusal
    is_user = refusal.reason == "unknown_recipient"
    detail = f"there is no user {asked.user!r}" if is_user else refusal.detail
    fault = Fault("/query/user" if is_user else "/query/template", detail)
    return RequestRefused(refusal.reason, detail, faults=(fault,))


def _gate(decision: Decision, at: datetime) -> dict[str, Any]:
    return {
        "at": at,
        "gate": decision.gate,
        "verdict": decision.verdict,
        "channel": decision.channel,
        "reason": decision.reason,
        "until": rfc3339(decision.until) if decision.until else None,
        "inputs": decision.inputs,
    }
