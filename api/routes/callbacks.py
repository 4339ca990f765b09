"""What providers report later: the signature is checked, the report published as a receipt, and 202 answered."""

from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from api.body import read_body, refuse_other_media
from api.dependencies import TheHouse
from api.errors import not_found
from api.routing import router
from api.strict_json import read_clean
from channels.sms import callbacks
from domain.errors import RequestRefused, Unavailable

ROUTER = router(tag="providers")

_EXAMPLE = {"message_id": "m-1", "reference": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001", "status": "delivered"}
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")
_DESCRIPTION: dict[str, Any] = {
    "parameters": [{"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in _SIGNED],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "message_id": {"type": "string", "minLength": 1, "maxLength": 200},
                        "reference": {"type": "string", "format": "uuid"},
                        "status": {"type": "string"},
                        "error": {"type": ["string", "null"]},
                    },
                },
                "example": _EXAMPLE,
            }
        },
    },
}


@ROUTER.post(
    "/callbacks/sms",
    status_code=202,
    response_class=Response,
    summary="A report of the SMS provider, signed as Standard Webhooks",
    openapi_extra=_DESCRIPTION,
    responses={
        401: {"description": "wrong, missing or old signature"},
        404: {"description": "CARILLON_SMS_CALLBACK_SECRET is not set"},
    },
)
async def report_sms(house: TheHouse, request: Request) -> Response:
    """202 once RabbitMQ has it. 401 without a good signature, 404 while no secret is set, 503 to be sent again.

    Whose message it was is not asked here: a report may be quicker than what it reports on. The worker waits for that,
    and what matches nothing ends among the dead.
    """
    secret = house.settings.sms_callback_secret
    if secret is None or not secret.get_secret_value():
        raise not_found("provider callback: CARILLON_SMS_CALLBACK_SECRET is not set")
    refuse_other_media(request)
    limits = house.body_limits
    body = await read_body(request, limits.size_bytes, timeout_s=limits.timeout_s)
    now = house.clock()
    if not callbacks.verify(request.headers, body, secret.get_secret_value(), now):
        raise RequestRefused("bad_signature", "the signature is wrong, missing or too old", 401)
    read_clean(body)
    receipt = callbacks.parse(body, now=now)
    if receipt is not None and await house.publish_receipts([msgspec.json.encode(receipt)]) != 1:
        raise Unavailable("RabbitMQ", "the receipt was not confirmed", retry_after_s=5)
    return Response(status_code=202)
