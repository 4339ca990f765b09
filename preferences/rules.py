"""Who may be written to, about what, when: pure and total. The first row that applies decides.

| no. | rule                 | applies when                                         | verdict                        |
|-----|----------------------|------------------------------------------------------|--------------------------------|
| 1   | suppression_list     | the address is suppressed for all (bounce, stop, …)  | suppression_list               |
| 2   | required             | the category is required                             | pass                           |
| 3   | address_unsubscribed | the address unsubscribed from all; kind not critical | unsubscribed_global            |
| 4   | unsubscribed         | the user unsubscribed from all; kind is not critical | unsubscribed_global            |
| 5   | address_category     | the address unsubscribed from this category          | unsubscribed_category          |
| 6   | category_channel     | the user chose for this category on this channel     | pass, or unsubscribed_category |
| 7   | category_off         | the user refused this category                       | unsubscribed_category          |
| 8   | channel_off          | the user refused this channel                        | channel_opt_out                |
| 9   | category_on          | the user wants this category                         | pass                           |
| 10  | default              | nobody chose: the category's default                 | pass, or consent_missing       |

A yes to a category in general (9) does not overrule a no to a channel (8); only a yes to both at once (6) does.
An unsubscription from one category never touches another: a newsletter's cannot stop a receipt.
"""

from datetime import datetime
from typing import Any

from domain.clock import rfc3339
from domain.decision import Decision, Gate
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from preferences.model import ALL, ALL_OPTIONAL, Category, Choice, Kind, KnownRecipient, QuietMode
from preferences.quiet_hours import next_start, quiet_until, zone_of


def judge(category: Category, recipient: KnownRecipient, channel: Channel, *, now: datetime) -> Decision:
    """Whether the recipient allows this category on this channel; the decision names the rule that spoke."""
    del now  # consent knows no hours; the parameter keeps the gates alike
    rule, reason, looked_at = _speak(category, recipient, channel)
    inputs = {"version": recipient.version, "category": category.name, "rule": rule, **looked_at}
    if reason is None:
        return Decision.passed(Gate.CONSENT, channel, **inputs)
    return Decision.suppress(Gate.CONSENT, reason, channel, **inputs)


_Spoken = tuple[str, Reason | None, dict[str, Any]]
"""The rule that decides, its reason (None passes) and what it looked at."""


def _speak(category: Category, recipient: KnownRecipient, channel: Channel) -> _Spoken:
    chosen = recipient.preferences
    suppressed = recipient.suppressed
    is_critical = category.kind is Kind.CRITICAL
    if (channel, ALL) in suppressed:
        return "suppression_list", Reason.SUPPRESSION_LIST, {}
    if category.required:
        return "required", None, {"required": True}
    if (channel, ALL_OPTIONAL) in suppressed and not is_critical:
        return "address_unsubscribed", Reason.UNSUBSCRIBED_GLOBAL, {}
    if chosen.unsubscribed and not is_critical:
        return "unsubscribed", Reason.UNSUBSCRIBED_GLOBAL, {"unsubscribed": True}
    if (channel, category.name) in suppressed:
        return "address_category", Reason.UNSUBSCRIBED_CATEGORY, {}
    return _by_choice(category, chosen.categories.get(category.name), chosen.channels.get(channel), channel)


def _by_choice(category: Category, choice: Choice | None, channel_allowed: bool | None, channel: Channel) -> _Spoken:
    if isinstance(choice, dict) and channel in choice:
        allowed = choice[channel]
        return "category_channel", None if allowed else Reason.UNSUBSCRIBED_CATEGORY, {"chosen": allowed}
    if choice is False:
        return "category_off", Reason.UNSUBSCRIBED_CATEGORY, {"chosen": False}
    if channel_allowed is False:
        return "channel_off", Reason.CHANNEL_OPT_OUT, {"chosen": False}
    if choice is True:
        return "category_on", None, {"chosen": True}
    default = category.default_allow
    return "default", None if default else Reason.CONSENT_MISSING, {"default": "allow" if default else "deny"}


def quiet(
    category: Category,
    recipient: KnownRecipient,
    channel: Channel,
    priority: Priority,
    *,
    now: datetime,
    expires_at: datetime,
) -> Decision:
    """Whether it is quiet for the recipient now: pass, defer to the end of quiet hours, or suppress.

    It is dropped where the recipient wants that, and where it would have expired by the end.
    """
    hours = recipient.preferences.quiet_hours
    if hours is None:
        return Decision.passed(Gate.QUIET_HOURS, channel, quiet_hours=None)
    zone = zone_of(hours, recipient.timezone)
    inputs = {
        "version": recipient.version,
        "start": f"{hours.start:%H:%M}",
        "end": f"{hours.end:%H:%M}",
        "timezone": str(zone),
        "local_time": f"{now.astimezone(zone):%H:%M}",
        "mode": str(hours.mode),
    }
    until = quiet_until(hours, zone, now=now)
    if until is None:
        return Decision.passed(Gate.QUIET_HOURS, channel, **inputs)
    if _may_disturb(category, priority):
        return Decision.passed(Gate.QUIET_HOURS, channel, may_disturb=True, **inputs)
    if hours.mode is QuietMode.DROP:
        return Decision.suppress(Gate.QUIET_HOURS, Reason.QUIET_HOURS, channel, **inputs)
    if until >= expires_at:
        over = {"ends_at": rfc3339(until), "expires_at": rfc3339(expires_at), "expires_before_end": True}
        return Decision.suppress(Gate.QUIET_HOURS, Reason.QUIET_HOURS, channel, **inputs, **over)
    return Decision.defer(Gate.QUIET_HOURS, Reason.QUIET_HOURS, until, channel, **inputs)


def recheck_at(category: Category, recipient: KnownRecipient, priority: Priority, *, now: datetime) -> datetime | None:
    """When the verdict on quiet hours may change: their next start after `now`. None when they never matter."""
    hours = recipient.preferences.quiet_hours
    if hours is None or _may_disturb(category, priority):
        return None
    return next_start(hours, zone_of(hours, recipient.timezone), now=now)


def _may_disturb(category: Category, priority: Priority) -> bool:
    return priority is Priority.CRITICAL or category.kind is Kind.CRITICAL
