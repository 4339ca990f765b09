"""Is a server ready? One short conversation per protocol on a plain socket; no client library, so it costs nothing."""

import socket
import struct
from http.client import HTTPConnection, HTTPException

from ops.stack.ports import HOST

_TIMEOUT_S = 1.0
_STARTUP = 196_608  # protocol 3.0: https://www.postgresql.org/docs/current/protocol-message-formats.html
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1, section 4.2.2


def postgres_answers(port: int) -> bool:
    """Whether PostgreSQL asks for a password: while it still starts it answers with an error instead."""
    words = b"user\0carillon\0database\0postgres\0\0"
    return _first_byte(port, struct.pack("!ii", len(words) + 8, _STARTUP) + words) == b"R"


def redis_answers(port: int, password: str | None) -> bool:
    """Whether Redis says PONG. While it loads its data it says -LOADING."""
    words = _resp("AUTH", password) if password else b""
    try:
        with socket.create_connection((HOST, port), _TIMEOUT_S) as conn:
            conn.sendall(words + _resp("PING"))
            heard = b""
            while b"PONG" not in heard:
                more = conn.recv(256)
                if not more or heard.startswith(b"-"):
                    return False
                heard += more
    except OSError:
        return False
    return True


def amqp_answers(port: int) -> bool:
    """Whether a broker begins the AMQP handshake (a method frame with Connection.Start)."""
    return _first_byte(port, _AMQP_HEADER) == b"\x01"


def http_answers(port: int, path: str) -> bool:
    """Whether `GET path` answers 2xx."""
    conn = HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        conn.request("GET", path)
        return 200 <= conn.getresponse().status < 300
    except (OSError, HTTPException):
        return False
    finally:
        conn.close()


def accepts(port: int) -> bool:
    """Whether anybody takes connections there; for protocols in which the client speaks first."""
    try:
        socket.create_connection((HOST, port), _TIMEOUT_S).close()
    except OSError:
        return False
    return True


def smtp_answers(port: int) -> bool:
    """Whether a mail server greets (RFC 5321: 220)."""
    return _first_byte(port, b"") == b"2"


def _resp(*words: str) -> bytes:
    """A command as RESP array, which fakeredis needs; the real one would take plain text too."""
    return b"".join((b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)))


def _first_byte(port: int, words: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), _TIMEOUT_S) as conn:
            conn.sendall(words)
            return conn.recv(1)
    except OSError:
        return b""
