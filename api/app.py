"""The application: the house's public door, put together from its parts."""

from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from api import errors, hot, origins, to_device, webclient
from api.dependencies import House
from api.door import Door
from api.hot import HotRoutes
from api.openapi import describe
from api.routes import (
    apps,
    broadcasts,
    callbacks,
    categories,
    dead_letters,
    deliveries,
    devices,
    erasures,
    explain,
    feedback,
    health,
    holds,
    notifications,
    overview,
    preferences,
    registration,
    replays,
    stuck,
    suppressions,
    topics,
    unsubscribe,
    users,
    webhooks,
)

VERSION = "0.1.0"


class Application(FastAPI):
    """FastAPI behind the door, with the hot routes before it."""

    def __init__(self, house: House, **named: Any) -> None:
        super().__init__(**named)
        self.state.house = house
        self._front = Door(HotRoutes(super().__call__, house))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


def create_app(house: House) -> FastAPI:
    """The application over `house`. It opens and closes nothing."""
    app = Application(
        house,
        title="Carillon",
        version=VERSION,
        description="One request, many channels: send notifications, and learn what became of each.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.routes[0:0] = [*hot.routes(), *to_device.routes()]
    for family in (
        notifications,
        explain,
        users,
        erasures,
        preferences,
        categories,
        suppressions,
        apps,
        registration,
        devices,
        topics,
        broadcasts,
        feedback,
        replays,
        dead_letters,
        deliveries,
        webhooks,
        holds,
        overview,
        stuck,
        unsubscribe,
        callbacks,
        health,
    ):
        app.router.routes.extend(family.ROUTER.routes)
    app.router.routes += [*origins.routes(), *webclient.routes()]
    errors.install(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to extend its document
    return app
