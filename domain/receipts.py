"""What providers and devices report later: receipts, applied in any order, never lowering a delivery's rank."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from domain.values import value


class ReceiptKind(StrEnum):
    """What a receipt says became of a delivery."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    SEEN = "seen"
    """A person saw it. Engagement is a second axis: the delivery is raised to `delivered` at most."""
    ABSENT = "absent"
    """The device was not there after all, or went before it acknowledged: hand it over another way."""
    COLLAPSED = "collapsed"
    """A newer push with the same collapse id went to the device before it acknowledged this one; `detail` names it."""

    @property
    def status(self) -> DeliveryStatus:
        """The status that this receipt raises its delivery to, unless it stands higher already.

        `absent` raises nothing: it sends what still waits for an acknowledgement back to `queued`.
        """
        return _RAISED[self]


_RAISED = {
    ReceiptKind.DELIVERED: DeliveryStatus.DELIVERED,
    ReceiptKind.BOUNCED: DeliveryStatus.BOUNCED,
    ReceiptKind.FAILED: DeliveryStatus.FAILED,
    ReceiptKind.SEEN: DeliveryStatus.DELIVERED,
    ReceiptKind.ABSENT: DeliveryStatus.QUEUED,
    ReceiptKind.COLLAPSED: DeliveryStatus.COLLAPSED,
}


@value(frozen=True, slots=True)
class Receipt:
    """One report about one delivery, matched by our reference (the delivery id), else by the provider's id."""

    provider: str
    kind: ReceiptKind
    at: datetime
    delivery_id: UUID | None = None
    provider_id: str | None = None
    device_id: UUID | None = None
    """Given by the gateway: the receipt counts only for a delivery to this very device."""
    reason: Reason | None = None
    detail: str = ""
