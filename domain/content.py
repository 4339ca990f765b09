"""Rendered words, ready for a channel: what a template makes and a provider takes."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EmailContent:
    """One email's words. `html` may be None, then only text is sent; `unsubscribe_url` fills RFC 8058 headers."""

    subject: str
    text: str
    html: str | None = None
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class SmsContent:
    """One SMS's text, before it is cut into segments."""

    text: str


@dataclass(frozen=True, slots=True)
class PushContent:
    """One push payload, as JSON for the device."""

    payload: dict[str, object] = field(default_factory=dict)


RenderedContent = EmailContent | SmsContent | PushContent
