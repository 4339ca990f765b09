"""The links in every email that may be refused: a page that changes nothing, and a POST that unsubscribes.

The POST is what mail programs send by themselves (RFC 8058): no cookie, no log-in, no redirect, any number of times.
"""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from api.dependencies import TheHouse
from api.forms import read_form
from api.openapi import NO_SUCH_LINK
from api.pages import button, page
from api.routing import router
from domain.clock import rfc3339
from domain.errors import Fault, RequestRefused
from preferences import consent
from preferences.consent import Subscription

ROUTER = router(tag="recipients")

_HTML: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}
_FIELDS = {"type": "object", "properties": {"List-Unsubscribe": {"type": "string", "enum": ["One-Click"]}}}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": _FIELDS},
            "multipart/form-data": {"schema": _FIELDS},
        },
    }
}


@ROUTER.get(
    "/u/{token}",
    response_class=Response,
    summary="The page behind an unsubscribe link; it changes nothing",
    responses={200: {"description": "a page", **_HTML}, 404: {"description": NO_SUCH_LINK, **_HTML}},
)
async def show_page(house: TheHouse, token: str) -> Response:
    """Programs that follow every link in an email must be able to do so without harm."""
    subscription = consent.describe(house.seal, token)
    if subscription is None:
        return _unknown()
    return page(
        "Unsubscribe?",
        f"You get messages of the kind “{subscription.category}” {_by(subscription)}.",
        form=button("Unsubscribe", name="action", value="unsubscribe"),
    )


@ROUTER.post(
    "/u/{token}",
    response_class=Response,
    summary="Unsubscribe: one click (RFC 8058), or the page's own button",
    openapi_extra=_FORM,
    responses={
        200: {"description": "unsubscribed, now or before", **_HTML},
        404: {"description": NO_SUCH_LINK, **_HTML},
    },
)
async def unsubscribe(house: TheHouse, request: Request, token: str) -> Response:
    """200 however often; 404 for a token that is not ours."""
    fields = await read_form(request, timeout_s=house.body_limits.timeout_s)
    is_one_click = fields.get("List-Unsubscribe") == "One-Click"
    if not is_one_click and fields.get("action") != "unsubscribe":
        fault = Fault("/List-Unsubscribe", "must be One-Click")
        raise RequestRefused("invalid_request", "send List-Unsubscribe=One-Click", faults=(fault,))
    source = "one_click" if is_one_click else "page"
    evidence = {"at": rfc3339(house.clock()), "agent": request.headers.get("user-agent", "")[:200]}
    done = await consent.unsubscribe(house.hot_pool, house.seal, token, evidence=evidence, source=source)
    if done is None:
        return _unknown()
    await house.cache.delete(done.stale_keys)
    category = done.subscription.category
    return page(
        "You are unsubscribed", f"No more messages of the kind “{category}” will come {_by(done.subscription)}."
    )


def _by(subscription: Subscription) -> str:
    return f"by {subscription.channel}"


def _unknown() -> Response:
    return page("This link does not work", "It may have been cut off on its way: try the whole link.", status=404)
