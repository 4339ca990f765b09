"""Logging: one line per event, as JSON or for a console, without addresses, tokens, payloads or keys.

It sets structlog up for a process and routes the libraries' own warnings into the same stream. What is logged, and
when, is decided by whoever logs.
"""

import logging
import re
import sys
from typing import Any

import msgspec
import structlog

from plumbing.settings import Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_SECRET_NAMES = frozenset(
    {
        "authorization",
        "password",
        "secret",
        "token",
        "api_key",
        "email",
        "phone",
        "address",
        "to",
        "body",
        "data",
        "content",
        "payload",
    }
)
"""Fields that are never written, whoever logs them."""

_SECRET_WORDS = re.compile(
    r"cn_(?:live|test|team|app)_[\w-]{20,}"  # our keys; the few letters by which one is called may stand
    r"|whsec_[\w+/=-]{20,}"  # what webhooks are signed with
    r"|Bearer\s+\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password of a URL
    r"|[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"  # e-mail addresses
    r"|\+\d{7,15}\b"  # phone numbers
    r"|\b(?:[\da-f]{64,400}|[\dA-F]{64,400})\b"  # tokens of devices, and whatever else looks so random
)
"""What is taken out of every text, for libraries put anything into their messages."""

_SHORTEST_KEY = 27
"""Of what is taken for a key; the few letters by which one is called stand in every request's line."""

_SHORTEST_TOKEN = 64


def without_secrets(text: str) -> str:
    """A text without keys, addresses, phone numbers and tokens."""
    return _SECRET_WORDS.sub("[hidden]", text)


def _spell(value: object) -> str:
    """What JSON has no form for, as text without secrets."""
    return without_secrets(str(value))


_encode = msgspec.json.Encoder(enc_hook=_spell, order=None).encode


def configure(settings: Settings, role: str) -> None:
    """Set logging up for this process: every line carries `role`. To be called once, at the door."""
    level = _LEVELS[settings.log_level]
    console = settings.log_format == "console"
    structlog.contextvars.clear_contextvars()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _Role(role),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.dev.ConsoleRenderer() if console else _render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory() if console else structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_IntoStructlog()]
    root.setLevel(max(level, logging.WARNING))


def hide_secrets(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Take secrets and people's addresses out of an event, by the name of a field and by the look of a text."""
    for name, value in event.items():
        if name in _SECRET_NAMES:
            event[name] = "[hidden]"
        elif isinstance(value, str) and (
            "@" in value
            or "+" in value
            or "earer" in value
            or (len(value) >= _SHORTEST_KEY and (len(value) >= _SHORTEST_TOKEN or "cn_" in value or "whsec_" in value))
        ):
            event[name] = without_secrets(value)
    return event


def _render_json(_logger: object, _method: str, event: structlog.typing.EventDict) -> bytes:
    try:
        return _encode(event)
    except UnicodeEncodeError:  # half a surrogate pair in what somebody sent: no reason to lose the line
        return _encode({name: str(value).encode("utf-8", "replace").decode() for name, value in event.items()})


class _Role:
    """Puts the role of this process into every line."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("role", self._role)
        return event


class _IntoStructlog(logging.Handler):
    """Libraries log by the standard library; their lines join ours."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        try:
            structlog.get_logger().log(record.levelno, "library.spoke", detail=record.getMessage(), **fields)
        except Exception:  # a broken log line must not break its caller; sys.stderr is what is left
            print("a log line of", record.name, "could not be written", file=sys.stderr)
