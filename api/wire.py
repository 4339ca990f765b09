"""What the server offers beyond ASGI, by an extension of its scope: to know that a body is there, one write per answer.

Where it is missing (other servers, tests without one), everything goes the ordinary way.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

EXTENSION = "carillon.wire"

Headers = Sequence[tuple[bytes, bytes]]

_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
_FRAMING = (b"connection", b"transfer-encoding")


def offer(cycle: RequestResponseCycle) -> None:
    """Let the application use `cycle` itself.

    Weakly: it holds its scope. As a ring, all that belongs to a request would be left to the garbage collector, which
    then stopped every other request for tens of milliseconds.
    """
    cycle.scope["extensions"] = {EXTENSION: ref(cycle)}  # type: ignore[dict-item]  # it wants dictionaries; this is ours


def has_arrived(scope: Mapping[str, Any]) -> bool:
    """Whether the whole body is here, so that nothing has to be waited for."""
    cycle = _of(scope)
    return cycle is not None and not cycle.more_body


def write_at_once(scope: Mapping[str, Any], status: int, headers: Headers, body: bytes) -> bool:
    """Write a whole answer in one piece; False when it has to go the ordinary way, and nothing was written."""
    cycle = _of(scope)
    if (
        cycle is None
        or cycle.disconnected
        or cycle.response_started
        or not cycle.keep_alive
        or cycle.flow.write_paused
        or scope["method"] == "HEAD"
    ):
        return False
    framing = dict(headers)
    if framing.get(b"content-length") != b"%d" % len(body) or any(name in framing for name in _FRAMING):
        return False
    lines = [*cycle.default_headers, *headers]
    head = b"\n".join([b"%b: %b" % line for line in lines])
    if _CONTROL.search(head) is not None or head.count(b"\n") != len(lines) - 1:
        return False  # the ordinary way complains about it
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], head.replace(b"\n", b"\r\n"), body))
    cycle.message_event.set()
    cycle.on_response()
    return True


def _of(scope: Mapping[str, Any]) -> RequestResponseCycle | None:
    extensions = scope.get("extensions")
    offered = None if extensions is None else extensions.get(EXTENSION)
    return None if offered is None else offered()
