"""The application: the house's public door, put together from its parts."""

from fastapi import FastAPI

from api import errors, hot, origins, to_device, webclient
from api.dependencies import House
from api.door import Door
from api.openapi import describe
from api.routes import (
    apps,
    broadcasts,
    callbacks,
    categories,
    devices,
    explain,
    feedback,
    health,
    notifications,
    preferences,
    registration,
    suppressions,
    topics,
    unsubscribe,
    users,
)

VERSION = "0.1.0"


def create_app(house: House) -> FastAPI:
    """The application over `house`. It opens and closes nothing."""
    app = FastAPI(
        title="Carillon",
        version=VERSION,
        description="One request, many channels: send notifications, and learn what became of each.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.house = house
    app.router.routes[0:0] = [*hot.routes(), *to_device.routes()]
    for family in (
        notifications,
        explain,
        users,
        preferences,
        categories,
        suppressions,
        apps,
        registration,
        devices,
        topics,
        broadcasts,
        feedback,
        unsubscribe,
        callbacks,
        health,
    ):
        app.router.routes.extend(family.ROUTER.routes)
    app.router.routes += [*origins.routes(), *webclient.routes()]
    errors.install(app)
    app.add_middleware(Door)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to extend its document
    return app
