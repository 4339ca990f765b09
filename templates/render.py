"""A message and its data → the words of one channel. Values are data: they are escaped or literal, never compiled.

Every way to fail ends as Permanent: TEMPLATE_MISSING_VARIABLE, TEMPLATE_ERROR or CONTENT_TOO_LARGE. Details name the
file, the line and the variable, and never a value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from jinja2 import Template, TemplateError, UndefinedError
from jinja2.runtime import Context

from domain.content import EmailContent, PushContent, RenderedContent, SmsContent
from domain.errors import Permanent
from domain.lanes import Channel, Priority
from domain.notification import Content, PushParts
from domain.payload import encode, with_alert
from domain.push import MAX_PAYLOAD_BYTES, is_silent, wake_of
from domain.reasons import Reason
from templates.catalog import Message
from templates.environment import TEXT, Repeats, context_of, run
from templates.links import unsafe_scheme
from templates.push import NoPayload, fill

MAX_SIZE_BYTES = 256 * 1024
"""No rendered part of a message may be larger, in UTF-8."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Person:
    """The reader, as far as messages may know them: a name, a zone (IANA) and the sender's own id of the user."""

    name: str | None
    timezone: str | None
    user: str | None


def render(
    message: Message,
    channel: Channel,
    data: Mapping[str, Any],
    *,
    locale: str | None,
    person: Person,
    unsubscribe_url: str | None,
    priority: Priority = Priority.NORMAL,
) -> RenderedContent:
    """The words of one channel in the nearest locale. Permanent when they cannot be made of this data.

    `priority` decides about the wake of a push that does not say it.
    """
    given = {**data, "person": person, "unsubscribe_url": unsubscribe_url}
    if channel is Channel.PUSH:
        return _render_push(message, given, locale=locale, priority=priority)
    if channel is Channel.EMAIL:
        subject, text = (_render(message, part, given, locale=locale) for part in ("email.subject", "email.txt"))
        html = _render(message, "email.html", given, locale=locale)
        if subject is None or text is None:
            raise _no_words(message.name, channel)
        if html is not None:
            _refuse_unsafe_links(html, message.name)
        return EmailContent(_one_line(subject), text, html, unsubscribe_url)
    if channel is Channel.SMS:
        text = _render(message, "sms.txt", given, locale=locale)
        if text is None:
            raise _no_words(message.name, channel)
        return SmsContent(text.strip())
    raise _no_words(message.name, channel)


def _render_push(message: Message, given: dict[str, Any], *, locale: str | None, priority: Priority) -> PushContent:
    words = message.push_words(locale)
    if words is None:
        raise _no_words(message.name, Channel.PUSH)
    given["range"] = Repeats()
    context = context_of(TEXT, given)
    name = f"{message.name}/push.json"
    try:
        filled = fill(words, lambda template: _run(template, context, message.name), priority)
    except NoPayload as error:
        raise Permanent(Reason.TEMPLATE_ERROR, f"{name}: {error}") from error
    except ValueError as error:
        raise Permanent(Reason.TEMPLATE_ERROR, f"{name}: what came out is no JSON") from error
    return PushContent(_refuse_large_payload(filled.payload, name), filled.wake, filled.is_silent)


def _push(parts: PushParts, priority: Priority) -> PushContent:
    try:
        payload = encode(parts.payload)
    except ValueError as error:
        raise Permanent(Reason.TEMPLATE_ERROR, "content: what came out is no JSON") from error
    return PushContent(
        _refuse_large_payload(payload, "content"),
        wake_of(priority, parts.payload, parts.wake),
        is_silent=is_silent(parts.payload),
        is_live_only=parts.is_live_only,
        topic=parts.topic,
    )


def _refuse_large_payload(payload: bytes, name: str) -> bytes:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Permanent(Reason.CONTENT_TOO_LARGE, f"{name}: more than {MAX_PAYLOAD_BYTES} bytes")
    return payload


def render_content(
    content: Content, channel: Channel, *, unsubscribe_url: str | None, priority: Priority = Priority.NORMAL
) -> RenderedContent:
    """Words that came with the request, as they are; what the channel lacks is taken from title and body."""
    if channel is Channel.PUSH:
        parts = content.push
        if parts is None and not (content.title or content.body):
            raise _no_words("content", channel)
        return _push(parts or PushParts(with_alert({}, content.title, content.body)), priority)
    email = content.email
    if channel is Channel.EMAIL:
        subject = (email.subject if email else None) or content.title
        if not subject:
            raise _no_words("content", channel)
        text = (email.text if email else None) or content.body or content.title or subject
        html = email.html if email else None
        _refuse_large(html or "", "html")
        return EmailContent(_one_line(subject), _refuse_large(text, "text"), html, unsubscribe_url)
    words = content.sms_text or content.body or content.title
    if channel is not Channel.SMS or not words:
        raise _no_words("content", channel)
    return SmsContent(_refuse_large(words, "sms"))


def _render(message: Message, part: str, given: Mapping[str, Any], *, locale: str | None) -> str | None:
    """One part's words; None when the message has no such part."""
    words = message.part(part, locale)
    if words is None:
        return None
    context = context_of(words.template.environment, {**given, "range": Repeats()})
    rendered = _run(words.template, context, message.name)
    if not rendered.strip():
        raise Permanent(Reason.TEMPLATE_ERROR, f"{message.name}/{words.template.name}: nothing came out")
    return rendered


def _run(template: Template, context: Context, name: str) -> str:
    """Run the compiled template, and stop as soon as it has said too much."""
    try:
        text = run(template, context, at_most=MAX_SIZE_BYTES)
    except UndefinedError as error:
        raise Permanent(Reason.TEMPLATE_MISSING_VARIABLE, _where(template, name, error)) from error
    except Exception as error:  # whatever an author's expression can raise: it is theirs to repair, not ours to die of
        raise Permanent(Reason.TEMPLATE_ERROR, _where(template, name, error)) from error
    return _refuse_large(text, f"{name}/{template.name}")


def _where(template: Template, name: str, error: Exception) -> str:
    """File, line and what happened. Only Jinja2's own sentences are told: others may quote a value."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == template.filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    told = (isinstance(error, TemplateError) and error.message) or type(error).__name__
    return f"{name}/{PurePath(template.filename or '').name}:{line}: {told}"


def _no_words(name: str, channel: Channel) -> Permanent:
    return Permanent(Reason.TEMPLATE_ERROR, f"{name} has no words for {channel}")


def _refuse_large(text: str, name: str) -> str:
    size_bytes = len(text) if len(text) * 4 <= MAX_SIZE_BYTES else len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_SIZE_BYTES:
        raise Permanent(Reason.CONTENT_TOO_LARGE, f"{name}: more than {MAX_SIZE_BYTES} bytes")
    return text


def _one_line(subject: str) -> str:
    """The subject with line breaks and runs of spaces folded into one; other control characters are refused."""
    if _CONTROL.search(subject):
        raise Permanent(Reason.TEMPLATE_ERROR, "the subject holds control characters")
    return " ".join(subject.split())


def _refuse_unsafe_links(html: str, name: str) -> None:
    scheme = unsafe_scheme(html)
    if scheme is not None:
        raise Permanent(Reason.TEMPLATE_ERROR, f"{name}: a link with the scheme {scheme}: is not for readers")
