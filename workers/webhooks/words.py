"""The words of a message to a webhook: JSON that is the same at every attempt, and holds no address. Pure."""

import msgspec

from domain.clock import rfc3339
from domain.ids import notification_of
from domain.webhooks import event_of
from tracking.webhooks.messages import Message

_encode = msgspec.json.Encoder().encode


def body_of(message: Message) -> bytes | None:
    """`{type, timestamp, data}`; None when the delivery it speaks of is kept no longer."""
    if message.delivery_id is None:
        data: dict[str, object] = {"webhook_id": str(message.webhook_id)}
    elif message.facts is None:
        return None
    else:
        data = {
            "notification_id": str(notification_of(message.delivery_id)),
            "delivery_id": str(message.delivery_id),
            "channel": message.facts.channel,
            "mode": message.facts.mode,
            "status": message.status,
            "reason": message.reason,
            "user": message.facts.user,
            "category": message.facts.category,
            "template": message.facts.template,
            "reference": message.facts.reference,
            "attempt": message.delivery_attempt,
        }
    return _encode({"type": event_of(message.status), "timestamp": rfc3339(message.at), "data": data})
