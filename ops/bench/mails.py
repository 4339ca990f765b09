"""Emails through the whole platform: how benchmarks ask for them, and the platform with the mail server they choose."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from domain.errors import CarillonError
from ops.bench.posts import Post, Posted
from ops.stack.home import Run
from ops.stack.parts import StackChoice
from ops.stack.platform import running
from ops.stack.ports import free_port
from plumbing.settings import Settings

PER_REQUEST = 500
_TAKEN = 202


class NotTaken(CarillonError):
    """The door did not take what it was asked for."""


def mail_posts(run: Run, count: int, *, priority: str, per_request: int = PER_REQUEST) -> list[Post]:
    """Requests for `count` emails of a shipped template, each to an address of its own."""
    name = secrets.token_hex(4)
    headers = (("Authorization", f"Bearer {run.api_key}"),)
    wanted = [_wanted(name, number, priority) for number in range(count)]
    if per_request == 1:
        return [Post("/api/v1/notifications", json.dumps(one).encode(), headers) for one in wanted]
    parts = (wanted[start : start + per_request] for start in range(0, count, per_request))
    path = "/api/v1/notifications/bulk"
    return [Post(path, json.dumps({"notifications": part}).encode(), headers) for part in parts]


def deliveries_of(answers: list[Posted]) -> dict[str, float]:
    """The id of each one's only delivery, and when it was asked for (monotonic). NotTaken when one was refused."""
    found: dict[str, float] = {}
    for answer in answers:
        if answer.status != _TAKEN:
            raise NotTaken(f"an email was not taken: {answer.status} {answer.body[:200].decode(errors='replace')}")
        told = json.loads(answer.body)
        for one in told.get("results", [told]):
            if one.get("id") is None:
                raise NotTaken(f"an email was not taken: {json.dumps(one)[:200]}")
            found[str(UUID(int=UUID(one["id"]).int | 1))] = answer.at_s  # the delivery's id is the first after it
    return found


@asynccontextmanager
async def a_mail_platform(settings: Settings, folder: Path, *, smtp_url: str | None = None) -> AsyncIterator[Run]:
    """The platform in `folder`, on servers of its own, sending to `smtp_url` or to its simulated provider."""
    urls = {"database_url": None, "redis_url": None, "amqp_url": None, "sms_url": None}
    smtp = SecretStr(smtp_url) if smtp_url else None
    own = settings.model_copy(update={**urls, "data_path": folder, "smtp_url": smtp})
    async with running(own, choice=StackChoice.AUTO, port=free_port(), say=lambda _: None) as platform:
        if platform.run is None:
            raise NotTaken("the platform is not up")
        yield platform.run


def _wanted(name: str, number: int, priority: str) -> dict[str, Any]:
    return {
        "to": {"email": f"bench-{name}-{number}@example.com"},
        "template": "order_shipped",
        "data": {"order": f"A-{number}", "carrier": "Northway Post"},
        "channels": ["email"],
        "priority": priority,
    }
