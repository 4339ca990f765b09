"""Is this process alive, are its dependencies, and its metrics for whoever stands at the machine."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from api.auth import Scope
from api.dependencies import TheHouse, identify
from api.openapi import NOT_READY
from api.routing import router
from api.schemas.health import Live, Ready
from plumbing import metrics
from plumbing.health import ask_all, is_ready

ROUTER = router(tag="operation")

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


@ROUTER.get("/health/live", summary="This process answers")
async def live() -> Live:
    """Says yes as long as the process can say anything; asks nobody."""
    return Live()


@ROUTER.get(
    "/health/ready", summary="Each dependency by name", responses={503: {"model": Ready, "description": NOT_READY}}
)
async def ready(house: TheHouse, response: Response) -> Ready:
    """200 when everything answers without which nothing can be accepted, else 503; each asked for at most 1 s."""
    answers = await ask_all(house.checks)
    response.status_code = 200 if is_ready(answers) else 503
    return Ready.model_validate({"is_ready": is_ready(answers), "dependencies": answers})


@ROUTER.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={401: {"description": "asked from elsewhere without a key"}, 403: {"description": "without scope ops"}},
)
async def show_metrics(house: TheHouse, request: Request) -> Any:
    """For callers on this machine, or with a key of scope `ops`. What a proxy forwards never counts as this machine."""
    peer = request.client.host if request.client else ""
    is_here = peer in _LOOPBACK and not any(name in request.headers for name in _FORWARDED)
    if not is_here:
        await identify(request, house.keys, Scope.OPS)
    return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)
