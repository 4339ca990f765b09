"""Rendered words, ready for a channel: what a template makes and a provider takes."""

from domain.push import Wake
from domain.values import value


@value(frozen=True, slots=True)
class EmailContent:
    """One email's words. `html` may be None, then only text is sent; `unsubscribe_url` fills RFC 8058 headers."""

    subject: str
    text: str
    html: str | None = None
    unsubscribe_url: str | None = None


@value(frozen=True, slots=True)
class SmsContent:
    """One SMS's text, before it is cut into segments."""

    text: str


@value(frozen=True, slots=True)
class PushContent:
    """One push, ready for a device: `payload` is JSON in UTF-8 of at most 4096 bytes.

    `is_silent` wakes the app only; `is_live_only` must not be stored for a device that is away; `topic` is the topic
    it was published to.
    """

    payload: bytes
    wake: Wake = Wake.NOW
    is_silent: bool = False
    is_live_only: bool = False
    topic: str | None = None


RenderedContent = EmailContent | SmsContent | PushContent
