"""What providers and devices report later: receipts, applied in any order, never lowering a delivery's rank."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.reasons import Reason


class ReceiptKind(StrEnum):
    """What a receipt says became of a delivery."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"

    @property
    def status(self) -> DeliveryStatus:
        """The status that this receipt raises its delivery to, unless it stands higher already."""
        return DeliveryStatus(self.value)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One report about one delivery, matched by our reference (the delivery id), else by the provider's id."""

    provider: str
    kind: ReceiptKind
    at: datetime
    delivery_id: UUID | None = None
    provider_id: str | None = None
    reason: Reason | None = None
    detail: str = ""
