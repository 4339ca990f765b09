"""The small door of roles without an API: metrics and health on the loopback, and a word about a port in use."""

import asyncio

import pytest

from domain.errors import Misconfigured, Unavailable
from plumbing.health import Check
from plumbing.side_door import open_door


async def ask(url: str, path: str, *, method: str = "GET") -> tuple[int, str]:
    """One request; status and body."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def up() -> None:
    """A dependency that answers."""


async def down() -> None:
    raise Unavailable("RabbitMQ")


async def test_metrics_and_health_are_served() -> None:
    async with open_door(0, {"postgres": Check(up)}) as url:
        metrics, live, ready = [await ask(url, path) for path in ("/metrics", "/health/live", "/health/ready")]

    assert metrics[0] == live[0] == ready[0] == 200
    assert "carillon_deliveries_total" in metrics[1]
    assert ready[1] == '{"status":"up","dependencies":{"postgres":true}}'


async def test_it_opens_where_it_is_told() -> None:
    async with open_door(0, {}, host="127.0.0.2") as url:
        assert url.startswith("http://127.0.0.2:")
        assert (await ask(url, "/health/live"))[0] == 200


async def test_a_missing_dependency_makes_it_not_ready_and_is_named() -> None:
    async with open_door(0, {"postgres": Check(up), "rabbitmq": Check(down)}) as url:
        status, body = await ask(url, "/health/ready")

    assert status == 503
    assert '"rabbitmq":false' in body


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/metrics", 405)])
async def test_other_requests_are_refused(method: str, path: str, status: int) -> None:
    async with open_door(0, {}) as url:
        assert (await ask(url, path, method=method))[0] == status


async def test_noise_closes_the_connection_and_stops_nothing() -> None:
    async with open_door(0, {}) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x00" * 20_000 + b"\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert (await ask(url, "/health/live"))[0] == 200


async def test_a_port_in_use_is_told_in_one_line() -> None:
    async with open_door(0, {}) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(Misconfigured, match=f"CARILLON_METRICS_PORT {port}"):
            async with open_door(port, {}):
                pass
