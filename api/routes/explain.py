"""What would become of a notification, sent now or at another time, without sending it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query

from api.dependencies import Reader, TheHouse
from api.routing import router
from api.schemas.explain import ForecastQuery, ForecastTold
from domain.clock import rfc3339
from domain.decision import Decision
from domain.errors import Fault, RequestRefused
from domain.lanes import Channel
from domain.notification import NotificationRequest, Recipient
from fanout.cases import Item, PlannedDelivery, Sender

ROUTER = router("/api/v1/explain", tag="notifications")


@ROUTER.get("", summary="What would become of a notification")
async def forecast(house: TheHouse, key: Reader, asked: Annotated[ForecastQuery, Query()]) -> ForecastTold:
    """Every gate is asked as by a send of the template with its sample data; nothing is kept and nothing spent."""
    message = house.catalog.get(asked.template)
    if message is None:
        detail = f"there is no template {asked.template!r}"
        raise RequestRefused("unknown_template", detail, faults=(Fault("/query/template", detail),))
    request = NotificationRequest(to=Recipient(user=asked.user), template=asked.template, data=dict(message.sample))
    sender = Sender(key.tenant_id, key.mode, key.id, key.prefix)
    at = asked.at or house.clock()
    try:
        case = await house.peek(Item(sender, request), now=at)
    except RequestRefused as refusal:
        raise _as_query(refusal, asked) from refusal
    return ForecastTold.model_validate(
        {
            "user": asked.user,
            "template": asked.template,
            "at": at,
            "gates": [_gate(decision, at) for decision in case.decisions],
            "deliveries": [_delivery(each) for each in case.deliveries],
        }
    )


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
