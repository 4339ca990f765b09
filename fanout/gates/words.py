"""The gate of words: which template, which category and channels, and whether the data fits. Pure."""

from collections.abc import Iterable

from domain.errors import Fault, RequestRefused
from domain.lanes import OPEN_CHANNELS, Channel
from domain.notification import Content, NotificationRequest
from preferences.model import Category
from templates.catalog import Catalog, Message
from templates.fitting import check


def refuse(reason: str, pointer: str, detail: str) -> RequestRefused:
    """A 422 that points at one place of the request."""
    return RequestRefused(reason, detail, faults=(Fault(pointer, detail),))


def pass_template(request: NotificationRequest, catalog: Catalog) -> Message | None:
    """The message a request names, its data checked; None when the words came along."""
    if request.template is None:
        return None
    message = catalog.get(request.template)
    if message is None:
        raise refuse("unknown_template", "/template", f"there is no template {request.template!r}")
    if request.version is not None and request.version != message.version:
        raise refuse("unknown_version", "/version", f"{request.template!r} stands at version {message.version}")
    return message


def choose_category(request: NotificationRequest, message: Message | None) -> str:
    """The name of the category that governs a request: its own, else its template's, else `general`."""
    return request.category or (message.category if message else None) or "general"


def choose_channels(request: NotificationRequest, category: Category, message: Message | None) -> tuple[Channel, ...]:
    """The channels to try, in order; those a sender names must have words, those nobody named need an address too."""
    worded = _worded_channels(request, message)
    for position, channel in enumerate(request.channels):
        if channel not in worded:
            raise refuse("no_content_for_channel", f"/channels/{position}", _lacks_words(request, channel))
    if request.channels:
        return request.channels
    reachable = _reachable_channels(request)
    chosen = tuple(c for c in category.channels if c in OPEN_CHANNELS and c in worded and c in reachable)
    if not chosen:
        raise refuse("no_channel", "/channels", _has_no_channel(request, category, worded, reachable))
    return chosen


def _lacks_words(request: NotificationRequest, channel: Channel) -> str:
    if request.template is not None:
        return f"template {request.template!r} has no words for {channel}"
    return f"there are no words for {channel}: send content with {_NEEDED[channel]}"


_NEEDED = {
    Channel.PUSH: "body, title or content.push",
    Channel.EMAIL: "title or content.email",
    Channel.SMS: "body, title or content.sms",
}


def _has_no_channel(
    request: NotificationRequest, category: Category, worded: Iterable[Channel], reachable: Iterable[Channel]
) -> str:
    """Why nothing is left, by the three sets that have nothing in common."""
    allowed, words, known = (", ".join(sorted(each)) or "none" for each in (category.channels, worded, reachable))
    detail = f"no channel is left: category {category.name!r} allows {allowed}; there are words for {words}; "
    detail += f"the recipient can have {known}"
    if request.template is None and Channel.EMAIL in reachable and Channel.EMAIL not in worded:
        return f"{detail}. {_lacks_words(request, Channel.EMAIL)}"
    return detail


def pass_data(request: NotificationRequest, channels: Iterable[Channel], message: Message | None) -> None:
    """Refuse data that the words of these channels cannot be made of, naming each variable."""
    faults = check(message, channels, request.data) if message else []
    if faults:
        detail = f"data does not fit template {request.template!r}: {faults[0].detail}"
        raise RequestRefused("invalid_data", detail, faults=tuple(faults))


def _worded_channels(request: NotificationRequest, message: Message | None) -> frozenset[Channel]:
    """The channels for which a template or the request itself has words."""
    if message is not None:
        return message.channels
    content = request.content or Content()
    plain = bool(content.body or content.title)
    worded = set()
    if content.email is not None or (content.title and plain):
        worded.add(Channel.EMAIL)
    if content.sms_text is not None or plain:
        worded.add(Channel.SMS)
    if content.push is not None or plain:
        worded.add(Channel.PUSH)
    return frozenset(worded)


def _reachable_channels(request: NotificationRequest) -> frozenset[Channel]:
    """The channels that make sense for this kind of recipient: an address alone reaches one, a user any."""
    if request.to.user is not None:
        return frozenset(OPEN_CHANNELS)
    if request.to.names_device:
        return frozenset({Channel.PUSH})
    given = ((Channel.EMAIL, request.to.email), (Channel.SMS, request.to.phone))
    return frozenset(channel for channel, address in given if address)
