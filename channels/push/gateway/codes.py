"""Why connections end: the close codes of the gateway, what clients make of them, and how they are counted."""

from enum import IntEnum

import msgspec

from plumbing.push_metrics import Closed


class CloseCode(IntEnum):
    """Close codes of WebSocket (1xxx, RFC 6455 7.4.1) and our own: 44xx is final, 45xx means: later, elsewhere."""

    PROTOCOL = 1002
    UNSUPPORTED = 1003
    INVALID_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    FAULT = 1011
    MALFORMED = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    SILENT = 4408
    GHOSTED = 4409
    GONE = 4410
    TOO_MUCH = 4413
    LEAVING = 4500
    BUSY = 4503
    TOO_SLOW = 4508

    @property
    def why(self) -> Closed:
        """As it is counted."""
        return _WHY.get(self, Closed.MISBEHAVED)


_WHY = {
    CloseCode.UNAUTHENTICATED: Closed.UNAUTHENTICATED,
    CloseCode.FORBIDDEN: Closed.REFUSED,
    CloseCode.GONE: Closed.REFUSED,
    CloseCode.BUSY: Closed.REFUSED,
    CloseCode.SILENT: Closed.SILENT,
    CloseCode.GHOSTED: Closed.GHOSTED,
    CloseCode.TOO_SLOW: Closed.SLOW,
    CloseCode.LEAVING: Closed.DRAINED,
    CloseCode.FAULT: Closed.DRAINED,
}


def come_again(after_s: float) -> str:
    """The reason of a 45xx close: JSON that a script can read, since it sees neither status nor headers of HTTP."""
    return msgspec.json.encode({"retry_after_s": round(after_s, 1)}).decode()
