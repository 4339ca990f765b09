"""Unit tests decide things: whoever connects to anything here gets an error that says so."""

import socket
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def sockets_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither plain nor asyncio code can connect; pairs of sockets inside the process still work."""

    def refuse(_socket: socket.socket, address: object) -> NoReturn:
        raise AssertionError(f"a unit test tried to connect to {address}: it belongs in tests/integration")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
