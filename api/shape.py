"""The shape of a notification request: JSON in, `domain.notification.NotificationRequest` out, or every fault at once.

It asks nothing of any database: whether a user, template or category exists is for the gates of accept.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from api.fields import Faults, Fields, kind_of
from api.push_shape import read_collapse_id, read_push
from api.words import FARTHEST, fault_of_line, fault_of_locale, fault_of_timezone, moment
from domain.lanes import OPEN_CHANNELS, Channel, Priority
from domain.notification import Content, EmailParts, NotificationRequest, Recipient
from preferences.addresses import canonical_email, canonical_phone

MAX_ID = 255
MAX_NAME = 200
MAX_TITLE = 500
MAX_TOKEN = 4096
MAX_BODY = 16 * 1024
MAX_HTML = 200 * 1024
MAX_DATA_BYTES = 64 * 1024
MAX_EXPIRES_S = 2_592_000
MAX_VERSION = 2**63 - 1

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
"""Names of templates and categories."""

_encode = msgspec.json.Encoder().encode


def read_request(document: Any, *, now: datetime) -> NotificationRequest:
    """One notification request. RequestRefused(422) with a pointer for each fault."""
    fields = begin(document)
    return read_wishes(fields, document, to=_recipient(fields), now=now)


def begin(document: Any) -> Fields:
    """The fields of a request, none of them read. RequestRefused(422) for what is no object."""
    faults = Faults()
    if not isinstance(document, dict):
        faults.add("", f"must be an object, not {kind_of(document)}")
    faults.raise_if_any()
    return Fields(document, "", faults)


def read_wishes(fields: Fields, document: dict[str, Any], *, to: Recipient, now: datetime) -> NotificationRequest:
    """Everything but the recipient, and the end of reading. RequestRefused(422) with a pointer for each fault."""
    fields.not_yet("fallback", "fallback")
    template = _name(fields, "template")
    content = read_content(fields)
    request = NotificationRequest(
        to=to,
        template=template,
        version=fields.whole("version", 1, MAX_VERSION),
        locale=_checked(fields, "locale", 35, fault_of_locale),
        data=_data(fields),
        content=content,
        channels=_channels(fields),
        priority=fields.choice("priority", Priority) or Priority.NORMAL,
        category=read_category(fields),
        collapse_id=read_collapse_id(fields),
        dedupe_key=fields.text("dedupe_key", MAX_ID),
        expires_in_s=fields.whole("expires_in_s", 1, MAX_EXPIRES_S),
        send_at=_send_at(fields, now),
    )
    fields.end()
    _refuse_half_words(document, request, fields.faults)
    fields.faults.raise_if_any()
    return request


def _refuse_half_words(document: dict[str, Any], request: NotificationRequest, faults: Faults) -> None:
    """Words come from a template or with the request, never from both or neither."""
    has_template, has_content = (document.get(name) is not None for name in ("template", "content"))
    if has_template and has_content:
        faults.add("/content", "send either template or content, not both")
    elif not has_template and not has_content:
        faults.add("/template", "send a template or content")
    if request.version is not None and not has_template:
        faults.add("/version", "a version needs a template")
    if request.data and has_content:
        faults.add("/data", "data fills a template; content is sent as it stands")


def _recipient(fields: Fields) -> Recipient:
    value = fields.take("to")
    if isinstance(value, str):
        fields = Fields({"user": value}, "", fields.faults)
        return Recipient(user=_user(fields, "user", pointer_name="to"))
    if not isinstance(value, dict):
        what = "is missing" if value is None else f"must be a user id or an object, not {kind_of(value)}"
        fields.fault("to", what)
        return Recipient()
    to = Fields(value, "/to", fields.faults)
    is_empty = not any(to.has(name) for name in ("user", "email", "phone", "device_token"))
    if to.has("device_token"):
        return _device(to)
    to.take("device_token")
    recipient = Recipient(
        user=_user(to, "user"),
        email=_canonical(to, "email", canonical_email),
        phone=_canonical(to, "phone", canonical_phone),
        locale=_checked(to, "locale", 35, fault_of_locale),
        timezone=_checked(to, "timezone", 64, fault_of_timezone),
        name=_checked(to, "name", MAX_NAME, fault_of_line),
    )
    to.end()
    if is_empty:
        fields.fault("to", "names nobody: send a user, an email, a phone or a device_token")
    elif not value.get("user"):
        _refuse_facts_of_nobody(recipient, to)
    return recipient


def _device(to: Fields) -> Recipient:
    """One device, by its token alone: whose it is, we know."""
    token = to.text("device_token", MAX_TOKEN)
    for name in ("user", "email", "phone", "locale", "timezone", "name"):
        if to.take(name) is not None:
            to.fault(name, "does not go with device_token, which names one device alone")
    to.end()
    return Recipient(device_token=token)


def _refuse_facts_of_nobody(recipient: Recipient, to: Fields) -> None:
    """Facts are kept with a user; beside an address alone they would be taken and ignored."""
    for name in ("locale", "timezone", "name"):
        if getattr(recipient, name) is not None:
            instead = ", or `locale` beside `template`" if name == "locale" else ""
            to.fault(name, f"is kept with a user: send `user` along{instead}")


def _user(fields: Fields, name: str, *, pointer_name: str | None = None) -> str | None:
    value = fields.take(name)
    shown = pointer_name or name
    if value is None:
        return None
    if not isinstance(value, str):
        fields.fault(shown, f"must be a string, not {kind_of(value)}")
    elif (detail := fault_of_user(value)) is not None:
        fields.fault(shown, detail)
    else:
        return value
    return None


def fault_of_user(text: str) -> str | None:
    """Why a text may not be the id of a user, or None."""
    if not text or len(text) > MAX_ID:
        return f"must have 1 to {MAX_ID} characters"
    if text != text.strip() or not text.isprintable():
        return "must not hold control characters, or spaces at its ends"
    return None


def _canonical(fields: Fields, name: str, canonical: Callable[[str], str]) -> str | None:
    text = fields.text(name, 320)
    if text is None:
        return None
    try:
        return canonical(text)
    except ValueError as error:
        fields.fault(name, str(error))
        return None


def _checked(fields: Fields, name: str, longest: int, fault_of: Callable[[str], str | None]) -> str | None:
    text = fields.text(name, longest)
    if text is None:
        return None
    if (detail := fault_of(text)) is not None:
        fields.fault(name, detail)
        return None
    return text


def read_category(fields: Fields) -> str | None:
    """The name of a category; None when absent or wrong."""
    return _name(fields, "category")


def _name(fields: Fields, name: str) -> str | None:
    return _checked(fields, name, 100, fault_of_name)


def fault_of_name(text: str) -> str | None:
    """Why a text may not name a template or a category, or None."""
    return None if NAME.fullmatch(text) else "must match [a-z0-9][a-z0-9_.-]{0,99}"


def read_content(fields: Fields) -> Content | None:
    """The words of the field `content`; None when absent or wrong."""
    content = fields.object("content")
    if content is None:
        return None
    title = _checked(content, "title", MAX_TITLE, fault_of_line)
    body = content.text("body", MAX_BODY)
    email = _email(content)
    sms_text = None
    if (sms := content.object("sms")) is not None:
        sms_text = sms.text("text", MAX_BODY)
        if sms_text is None and not sms.faults:
            sms.fault("text", "is missing")
        sms.end()
    push = read_push(content, title=title, body=body)
    content.end()
    if not content.faults and all(words is None for words in (title, body, email, sms_text, push)):
        fields.fault("content", "holds no words")
    return Content(title, body, email, sms_text, push)


def _email(content: Fields) -> EmailParts | None:
    email = content.object("email")
    if email is None:
        return None
    if not email.has("subject"):
        email.fault("subject", "is missing")
    if not email.has("text") and not email.has("html"):
        email.fault("text", "an email needs text or html")
    subject = _checked(email, "subject", MAX_TITLE, fault_of_line)
    parts = EmailParts(subject or "", email.text("text", MAX_HTML), email.text("html", MAX_HTML))
    email.end()
    return parts


def _data(fields: Fields) -> dict[str, Any]:
    value = fields.take("data")
    if value is None:
        return {}
    if not isinstance(value, dict):
        fields.fault("data", f"must be an object, not {kind_of(value)}")
    elif (size := len(_encode(value))) > MAX_DATA_BYTES:
        fields.fault("data", f"has {size} bytes as JSON, at most {MAX_DATA_BYTES} are allowed")
    else:
        return value
    return {}


def _channels(fields: Fields) -> tuple[Channel, ...]:
    value = fields.take("channels")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        fields.fault("channels", "must be an array of at least one channel")
        return ()
    chosen: list[Channel] = []
    for position, name in enumerate(value[:20]):
        pointer = f"/channels/{position}"
        if not isinstance(name, str) or name not in _KNOWN_CHANNELS:
            fields.faults.add(pointer, f"must be one of {', '.join(OPEN_CHANNELS)}")
        elif Channel(name) not in OPEN_CHANNELS:
            fields.faults.not_yet(pointer, f"channel {name}")
        elif name in chosen:
            fields.faults.add(pointer, "stands twice")
        else:
            chosen.append(Channel(name))
    if len(value) > 20:
        fields.fault("channels", "has too many entries")
    return tuple(chosen)


_KNOWN_CHANNELS = frozenset(map(str, Channel))


def _send_at(fields: Fields, now: datetime) -> datetime | None:
    text = fields.text("send_at", 40)
    if text is None:
        return None
    try:
        at = moment(text)
    except ValueError as error:
        fields.fault("send_at", str(error))
        return None
    if at > now + FARTHEST:
        fields.fault("send_at", "must be at most one year ahead")
        return None
    return at if at > now else None
