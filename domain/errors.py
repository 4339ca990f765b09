"""The one tree of failures. Names say what happened; each type has a consequence of its own.

CarillonError
├── Unavailable            a service of ours (PostgreSQL, RabbitMQ) does not answer: 503, try again
├── Misconfigured          a setting is missing or wrong: the process stops and says which
├── RequestRefused         the caller's request cannot be taken: a 4xx with pointers
└── DeliveryFailure        a channel could not hand a delivery over
    ├── Transient          the provider may take it later: rest, then again
    │   └── Throttled      the provider named a pace: rest at least that long
    ├── Permanent          it will never be taken: failed
    │   └── RecipientGone  the address itself is dead: failed, and suppressed for later
    ├── Ambiguous          the provider may have taken it: the category decides between retry and hold
    └── NotSent            nothing was handed over and no attempt is counted: parked
        └── CircuitOpen    the provider's breaker is open
"""

from dataclasses import dataclass, field

from domain.reasons import Reason


class CarillonError(Exception):
    """The root of everything this platform raises on purpose."""


OURSELVES = "Carillon"
"""The service that is named when it is we who have too much to do."""


class Unavailable(CarillonError):
    """A service of ours does not answer; `retry_after_s` is a promise worth keeping in a header."""

    def __init__(self, service: str, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(f"{service} is not available: {detail}" if detail else f"{service} is not available")
        self.service = service
        self.retry_after_s = retry_after_s


class Misconfigured(CarillonError):
    """A setting is missing or wrong. The message is one line: what, where it was looked for, what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (RFC 6901 pointer) and what."""

    pointer: str
    detail: str


@dataclass(eq=False)
class RequestRefused(CarillonError):
    """The request cannot be taken. `reason` is a stable label, `status` an HTTP status code of the 4xx family."""

    reason: str
    detail: str
    status: int = 422
    faults: tuple[Fault, ...] = ()
    retry_after_s: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(f"{self.reason}: {self.detail}")


class DeliveryFailure(CarillonError):
    """A channel could not hand a delivery over.

    `reason` is from the closed list; `answer` is what the provider said, shortened, for people to read.
    """

    def __init__(self, reason: Reason, answer: str = "") -> None:
        super().__init__(f"{reason}: {answer}" if answer else str(reason))
        self.reason = reason
        self.answer = answer[:500]


class Transient(DeliveryFailure):
    """The provider may take it later. `retry_after_s` is the provider's own wish, where it named one."""

    def __init__(self, reason: Reason, answer: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(reason, answer)
        self.retry_after_s = retry_after_s


class Throttled(Transient):
    """The provider asks for a slower pace."""


class Permanent(DeliveryFailure):
    """It will never be taken, whatever we do."""


class RecipientGone(Permanent):
    """The address itself is dead."""


class Ambiguous(DeliveryFailure):
    """Bytes left and no answer came: it may have arrived."""


class NotSent(DeliveryFailure):
    """Nothing was handed over; the attempt does not count."""


class CircuitOpen(NotSent):
    """The provider's breaker is open; `retry_after_s` is when the next trial is due."""

    def __init__(self, provider: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(Reason.CIRCUIT_OPEN, f"breaker of {provider} is open")
        self.provider = provider
        self.retry_after_s = retry_after_s
