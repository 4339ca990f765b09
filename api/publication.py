"""The shape of a publication to a topic: a notification request that names no recipient, and is for push alone."""

from datetime import datetime
from typing import Any

from api.fields import Faults
from api.shape import begin, read_wishes
from domain.lanes import Channel
from domain.notification import NotificationRequest, Recipient

_OTHER_WORDS = ("email", "sms")


def read_publication(document: Any, *, now: datetime) -> NotificationRequest:
    """One publication, with an empty recipient. RequestRefused(422) with a pointer for each fault."""
    fields = begin(document)
    if fields.take("to") is not None:
        fields.fault("to", "must not stand here: the topic's subscribers are the recipients")
    fields.not_yet("send_at", "send_at of a publication")
    for name in ("template", "version", "data"):
        if document.get(name) is not None:
            fields.faults.not_yet(f"/{name}", f"{name} of a publication")
    content = document.get("content")
    for name in _OTHER_WORDS if isinstance(content, dict) else ():
        if content.get(name) is not None:
            fields.faults.add(f"/content/{name}", "has no reader: a topic is reached by push alone")
    request = read_wishes(fields, document, to=Recipient(), now=now)
    faults = Faults()
    for position, channel in enumerate(request.channels):
        if channel is not Channel.PUSH:
            faults.add(f"/channels/{position}", "must be push: a topic is reached by nothing else")
    faults.raise_if_any()
    return request
